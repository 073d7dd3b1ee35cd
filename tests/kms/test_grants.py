"""Grants: created, listed, retired, revoked; their tokens, names and limits. Numbers are those of the facts about KMS (A.11)."""

from __future__ import annotations

import base64

import botocore.session
import pytest

from strongroom.kms.grant_tokens import GrantTokens
from strongroom.kms.grants import Grants
from strongroom.kms.names import KeyName
from strongroom.kms.paging import Markers
from tests.kms.test_keys import UNKNOWN
from tests.kms.world import HIDDEN, KMS_KEY, REGION, START, A, B

ROOT, OTHER = (f"arn:aws:iam::{account}:root" for account in (A, B))
ANN, BOB = (f"arn:aws:iam::{A}:user/{name}" for name in ("ann", "bob"))
ROLE, SESSION = f"arn:aws:iam::{A}:role/path/R", f"arn:aws:sts::{A}:assumed-role/R/session"
BAD_TOKEN = ("InvalidGrantTokenException", "The grant token is not valid.")
NOBODYS_ID = "0" * 64


@pytest.fixture(autouse=True)
def people(world):
    world.principals |= {ANN, BOB, ROLE, SESSION}


async def granted(world, key_id: str, **given) -> tuple[str, str]:
    answer = await world.ask("CreateGrant", **{"KeyId": key_id, "GranteePrincipal": ANN, "Operations": ["Decrypt"], **given})
    return answer["GrantId"], answer["GrantToken"]


async def listed(world, key_id: str, **given) -> list[str]:
    return [entry["GrantId"] for entry in (await world.ask("ListGrants", KeyId=key_id, **given))["Grants"]]


class TestCreate:
    async def test_a71_a_grant_has_an_id_and_a_token(self, world):
        key_id, arn = await world.key()
        answer = await world.ask("CreateGrant", KeyId=key_id, GranteePrincipal=ANN, Operations=["Decrypt"])
        assert set(answer) == {"GrantId", "GrantToken"}
        assert len(bytes.fromhex(answer["GrantId"])) == 32
        assert world.asked == [("kms:CreateGrant", arn)]

    async def test_a71_same_name_and_all_else_the_same(self, world):
        key_id, _ = await world.key()
        first, token = await granted(world, key_id, Name="n", Operations=["Decrypt", "Encrypt"])
        again, fresh = await granted(world, key_id, Name="n", Operations=["Encrypt", "Decrypt"])
        assert (first, token != fresh) == (again, True)
        others = [
            await granted(world, key_id, **{"Name": "n", "Operations": ["Decrypt", "Encrypt"], **other})
            for other in (
                {"Operations": ["Decrypt"]},
                {"GranteePrincipal": BOB},
                {"RetiringPrincipal": BOB},
                {"Name": "m"},
                {"Constraints": {"EncryptionContextSubset": {"a": "b"}}},
                {"Constraints": {"EncryptionContextEquals": {"a": "b"}}},
                {"Constraints": {"SourceArn": f"arn:aws:s3:{REGION}:{A}:bucket"}},
            )
        ]
        assert len({first, *(grant_id for grant_id, _ in others)}) == 8
        await world.ask("RevokeGrant", KeyId=key_id, GrantId=first)
        assert (await granted(world, key_id, Name="n", Operations=["Decrypt", "Encrypt"]))[0] != first

    async def test_a71_the_same_name_on_two_keys_and_no_name_twice(self, world):
        (one, _), (two, _) = await world.key(), await world.key()
        ids = {(await granted(world, key_id, Name="n"))[0] for key_id in (one, two)}
        ids |= {(await granted(world, one))[0] for _ in range(2)}
        assert len(ids) == 4

    async def test_a72_the_operations_of_a_symmetric_key(self, world):
        key_id, arn = await world.key()
        allowed = [
            "Decrypt",
            "Encrypt",
            "GenerateDataKey",
            "GenerateDataKeyWithoutPlaintext",
            "GenerateDataKeyPair",
            "GenerateDataKeyPairWithoutPlaintext",
            "ReEncryptFrom",
            "ReEncryptTo",
            "CreateGrant",
            "RetireGrant",
            "DescribeKey",
        ]
        grant_id, _ = await granted(world, key_id, Operations=allowed)
        (entry,) = (await world.ask("ListGrants", KeyId=key_id, GrantId=grant_id))["Grants"]
        assert (entry["Operations"], entry["KeyId"]) == (allowed, arn)
        for other in ("Sign", "Verify", "GetPublicKey", "GenerateMac", "VerifyMac", "DeriveSharedSecret"):
            code, message = await world.refusal("CreateGrant", KeyId=key_id, GranteePrincipal=ANN, Operations=["Decrypt", other])
            assert (code, other in message) == ("ValidationException", True)

    @pytest.mark.parametrize(
        ("spec", "usage", "fits", "not_these"),
        [
            ("RSA_2048", "ENCRYPT_DECRYPT", ["Encrypt", "Decrypt", "ReEncryptTo", "GetPublicKey"], ["GenerateDataKey", "Sign"]),
            ("ECC_NIST_P256", "SIGN_VERIFY", ["Sign", "Verify", "GetPublicKey"], ["Encrypt", "GenerateMac"]),
            ("HMAC_256", "GENERATE_VERIFY_MAC", ["GenerateMac", "VerifyMac", "DescribeKey"], ["Sign", "GetPublicKey"]),
            ("ECC_NIST_P256", "KEY_AGREEMENT", ["DeriveSharedSecret", "GetPublicKey"], ["Sign", "Decrypt"]),
        ],
    )
    async def test_a72_the_operations_of_other_kinds(self, world, spec, usage, fits, not_these):
        key_id, _ = await world.key()
        await world.remake(key_id, spec=spec, usage=usage)
        await granted(world, key_id, Operations=fits)
        for operation in not_these:
            given = {"KeyId": key_id, "GranteePrincipal": ANN, "Operations": [operation]}
            assert (await world.refusal("CreateGrant", **given))[0] == "ValidationException"
        given = {"KeyId": key_id, "GranteePrincipal": ANN, "Operations": fits}
        constraints = {"EncryptionContextSubset": {"a": "b"}}
        assert (await world.refusal("CreateGrant", **given, Constraints=constraints))[0] == "ValidationException"

    @pytest.mark.parametrize(
        ("given", "code", "message"),
        [
            ({"Operations": ["CreateGrant"]}, "ValidationException", "Grants must not contain only the CreateGrant operation."),
            ({"Operations": []}, "ValidationException", "A grant must contain at least one operation."),
            (
                {"GranteePrincipal": None},
                "ValidationException",
                "You must specify either GranteePrincipal or GranteeServicePrincipal.",
            ),
            (
                {"Constraints": {"EncryptionContextSubset": {"a": "b"}, "EncryptionContextEquals": {"a": "b"}}},
                "ValidationException",
                "More than one constraint supplied",
            ),
            (
                {"Constraints": {"EncryptionContextSubset": {str(n): "" for n in range(9)}}},
                "ValidationException",
                "A grant constraint can have at most 8 encryption context pairs.",
            ),
            (
                {"Constraints": {"EncryptionContextEquals": {"a": "x" * 385}}},
                "ValidationException",
                "An encryption context value of a grant constraint can have at most 384 characters.",
            ),
            (
                {"GranteeServicePrincipal": "s3.amazonaws.com"},
                "UnsupportedOperationException",
                "GranteeServicePrincipal is not supported by this server.",
            ),
            (
                {"RetiringServicePrincipal": "s3.amazonaws.com"},
                "UnsupportedOperationException",
                "RetiringServicePrincipal is not supported by this server.",
            ),
        ],
    )
    async def test_what_is_no_grant(self, world, given, code, message):
        key_id, _ = await world.key()
        asked = {"KeyId": key_id, "GranteePrincipal": ANN, "Operations": ["Decrypt"], **given}
        assert await world.refusal("CreateGrant", **asked) == (code, message)
        assert await listed(world, key_id) == []

    async def test_a73_constraints_at_their_limits(self, world):
        key_id, _ = await world.key()
        constraints = {"EncryptionContextEquals": {str(n): "x" * 384 for n in range(8)}, "SourceArn": f"arn:aws:s3:::{A}:b"}
        await granted(world, key_id, Constraints=constraints)
        (entry,) = (await world.ask("ListGrants", KeyId=key_id))["Grants"]
        assert entry["Constraints"] == constraints

    @pytest.mark.parametrize(
        "principal",
        [
            f"arn:aws:iam::{A}:user/nobody",
            f"arn:aws:iam::{'9' * 12}:root",
            f"arn:aws:iam::{A}:group/g",
            f"arn:aws:iam::{A}:user/",
            "arn:aws:iam::1:root",
            A,
            "ann",
            "s3.amazonaws.com",
        ],
    )
    async def test_a77_principals_that_do_not_exist(self, world, principal):
        key_id, _ = await world.key()
        refused = ("InvalidArnException", f"ARN does not refer to a valid principal: {principal}")
        asked = {"KeyId": key_id, "GranteePrincipal": ANN, "Operations": ["Decrypt"]}
        assert await world.refusal("CreateGrant", **asked | {"GranteePrincipal": principal}) == refused
        assert await world.refusal("CreateGrant", **asked, RetiringPrincipal=principal) == refused
        assert await listed(world, key_id) == []

    async def test_every_form_of_principal(self, world):
        key_id, _ = await world.key()
        for principal in (ROOT, OTHER, ANN, ROLE, SESSION):
            await granted(world, key_id, GranteePrincipal=principal, RetiringPrincipal=principal)

    async def test_a78_names_of_keys(self, world):
        given = {"GranteePrincipal": ANN, "Operations": ["Decrypt"]}
        assert await world.refusal("CreateGrant", KeyId="nonsense", **given) == ("NotFoundException", "Invalid keyId 'nonsense'")
        assert (await world.refusal("CreateGrant", KeyId=UNKNOWN, **given))[0] == "NotFoundException"
        assert await world.refusal("CreateGrant", KeyId="alias/x", **given) == ("NotFoundException", "Invalid keyId 'alias/x'")

    async def test_the_managed_key_takes_none(self, world):
        managed = (await world.ask("DescribeKey", KeyId="alias/aws/s3"))["KeyMetadata"]["KeyId"]
        given = {"GranteePrincipal": ANN, "Operations": ["Decrypt"]}
        assert (await world.refusal("CreateGrant", KeyId=managed, **given))[0] == "AccessDenied"
        assert await listed(world, managed) == []

    async def test_so_many_grants_on_a_key(self, world, monkeypatch):
        (key_id, arn), (other, _) = await world.key(), await world.key()
        monkeypatch.setattr(world.rooms.grants, "_most", 2)
        first, _ = await granted(world, key_id, Name="n")
        await granted(world, key_id)
        given = {"KeyId": key_id, "GranteePrincipal": ANN, "Operations": ["Decrypt"]}
        assert await world.refusal("CreateGrant", **given) == ("LimitExceededException", f"{arn} has 2 grants already.")
        assert (await granted(world, key_id, Name="n"))[0] == first  # which is there already
        await granted(world, other)
        await world.ask("RevokeGrant", KeyId=key_id, GrantId=first)
        await granted(world, key_id)

    def test_50000_by_default(self):
        assert Grants.__init__.__defaults__ == (50_000,)

    async def test_a_dry_run(self, world):
        key_id, _ = await world.key()
        given = {"KeyId": key_id, "GranteePrincipal": ANN, "Operations": ["Decrypt"], "DryRun": True}
        assert (await world.refusal("CreateGrant", **given))[0] == "DryRunOperationException"
        assert (await world.refusal("CreateGrant", **given | {"GranteePrincipal": BOB + "2"}))[0] == "InvalidArnException"
        assert await listed(world, key_id) == []
        grant_id, token = await granted(world, key_id)
        named = {"KeyId": key_id, "GrantId": grant_id}
        for operation, names in (("RevokeGrant", named), ("RetireGrant", named), ("RetireGrant", {"GrantToken": token})):
            assert (await world.refusal(operation, **names, DryRun=True))[0] == "DryRunOperationException"
        assert await listed(world, key_id) == [grant_id]


class TestTokens:
    async def test_a_true_one_is_taken_wherever_one_may_be_sent(self, world):
        key_id, _ = await world.key()
        _, token = await granted(world, key_id)
        blob = (await world.ask("Encrypt", KeyId=key_id, Plaintext=b"x", GrantTokens=[token]))["CiphertextBlob"]
        for operation, given in (
            ("Decrypt", {"CiphertextBlob": blob}),
            ("ReEncrypt", {"CiphertextBlob": blob, "DestinationKeyId": key_id}),
            ("GenerateDataKey", {"KeyId": key_id, "KeySpec": "AES_256"}),
            ("GenerateDataKeyWithoutPlaintext", {"KeyId": key_id, "KeySpec": "AES_256"}),
            ("DescribeKey", {"KeyId": key_id}),
            ("CreateGrant", {"KeyId": key_id, "GranteePrincipal": ANN, "Operations": ["Decrypt"]}),
        ):
            await world.ask(operation, **given, GrantTokens=[token])
            assert await world.refusal(operation, **given, GrantTokens=[token, token[:-4]]) == BAD_TOKEN, operation

    async def test_every_operation_that_takes_tokens_looks_at_them(self, world):
        model = botocore.session.get_session().get_service_model("kms")
        taking = {
            name
            for name in model.operation_names
            if "GrantTokens" in getattr(model.operation_model(name).input_shape, "members", ())
        }
        built = {operation.name for operation in world.register} & taking
        assert len(built) >= 15
        for name in sorted(built):
            given = {"KeyId": UNKNOWN, "CiphertextBlob": b"x", "GranteePrincipal": ANN, "Operations": ["Decrypt"]}
            assert await world.refusal(name, **given, GrantTokens=["x"]) == BAD_TOKEN, name

    async def test_g19_nothing_else_is_one(self, world):
        (key_id, _), (other, _) = await world.key(), await world.key()
        _, token = await granted(world, key_id)
        await granted(world, key_id)
        marker = (await world.ask("ListGrants", KeyId=key_id, Limit=1))["NextMarker"]
        raw = bytearray(base64.urlsafe_b64decode(token))
        moved = base64.urlsafe_b64encode(bytes(raw).replace(key_id.encode(), other.encode())).decode()
        for place in (0, 31, 32, 47, 48, len(raw) - 1):
            changed = bytearray(raw)
            changed[place] ^= 1
            flipped = base64.urlsafe_b64encode(bytes(changed)).decode()
            assert await world.refusal("DescribeKey", KeyId=key_id, GrantTokens=[flipped]) == BAD_TOKEN
        for bad in ("x", "é", marker, moved, token + "AAAA", token[:64]):
            assert await world.refusal("DescribeKey", KeyId=key_id, GrantTokens=[bad]) == BAD_TOKEN, bad
            assert await world.refusal("RetireGrant", GrantToken=bad) == BAD_TOKEN, bad
        assert (await world.refusal("ListGrants", KeyId=key_id, Marker=token))[0] == "InvalidMarkerException"
        assert (await world.refusal("ListKeys", Marker=token))[0] == "InvalidMarkerException"

    async def test_that_of_a_grant_that_is_gone_is_none(self, world):
        key_id, _ = await world.key()
        grant_id, token = await granted(world, key_id)
        await world.ask("RevokeGrant", KeyId=key_id, GrantId=grant_id)
        assert await world.refusal("DescribeKey", KeyId=key_id, GrantTokens=[token]) == BAD_TOKEN
        assert await world.refusal("RetireGrant", GrantToken=token) == BAD_TOKEN

    async def test_another_servers_is_none(self, world, tmp_path):
        key_id, _ = await world.key()
        grant_id, _ = await granted(world, key_id)
        place = f"{A}/{REGION}/{key_id}/{grant_id}"
        foreign = base64.urlsafe_b64encode(bytes(48) + place.encode()).decode()
        assert await world.refusal("RetireGrant", GrantToken=foreign) == BAD_TOKEN
        assert Markers(KMS_KEY)  # the same key, another label: test_g19


class TestRetireAndRevoke:
    @pytest.mark.parametrize("form", ["token", "arn", "id"])
    async def test_a75_both_forms(self, world, form):
        key_id, arn = await world.key()
        grant_id, token = await granted(world, key_id, RetiringPrincipal=ANN, Name="n")
        names = {"GrantToken": token} if form == "token" else {"KeyId": arn if form == "arn" else key_id, "GrantId": grant_id}
        assert await world.ask("RetireGrant", **names) == {}
        assert await listed(world, key_id) == []
        assert (await world.ask("ListRetirableGrants", RetiringPrincipal=ANN))["Grants"] == []
        refused = BAD_TOKEN if form == "token" else ("NotFoundException", f"Grant ID {grant_id} not found")
        assert await world.refusal("RetireGrant", **names) == refused

    async def test_neither_form_and_both(self, world):
        key_id, arn = await world.key()
        grant_id, token = await granted(world, key_id)
        for names in (
            {},
            {"KeyId": arn},
            {"GrantId": grant_id},
            {"GrantToken": token, "KeyId": arn, "GrantId": grant_id},
            {"GrantToken": token, "KeyId": arn},
            {"GrantToken": token, "GrantId": grant_id},
        ):
            assert (await world.refusal("RetireGrant", **names))[0] == "ValidationException", names

    async def test_a75_who_may_retire(self, world):
        key_id, arn = await world.key()
        by_retiring = {"RetiringPrincipal": BOB}
        by_grantee = {"Operations": ["Decrypt", "RetireGrant"]}
        for given, who, asked in (
            (by_retiring, "user/bob", []),
            (by_grantee, "user/ann", []),
            ({}, "root", [("kms:RetireGrant", arn)]),  # the issuing account decides by its identities
            ({}, "user/ann", [("kms:RetireGrant", arn)]),
        ):
            grant_id, _ = await granted(world, key_id, **given)
            world.asked.clear()
            await world.ask("RetireGrant", KeyId=arn, GrantId=grant_id, who=who)
            assert world.asked == asked
        grant_id, _ = await granted(world, key_id, **by_retiring)
        world.denied = {"kms:RetireGrant"}
        assert (await world.refusal("RetireGrant", KeyId=arn, GrantId=grant_id, who="user/ann"))[0] == "AccessDenied"
        await world.ask("RetireGrant", KeyId=arn, GrantId=grant_id, who="user/bob")

    async def test_a75_another_account(self, world):
        key_id, arn = await world.key()
        mine, my_token = await granted(world, key_id)
        denied = ("AccessDenied", HIDDEN.format(B, "kms:RetireGrant"))
        for names in ({"KeyId": arn, "GrantId": mine}, {"GrantToken": my_token}, {"KeyId": arn, "GrantId": NOBODYS_ID}):
            assert await world.refusal("RetireGrant", account=B, **names) == denied
            assert (await world.refusal("RetireGrant", anonymous=True, **names))[0] in {"AccessDenied", "NotFoundException"}
        theirs, _ = await granted(world, key_id, RetiringPrincipal=OTHER)
        await world.ask("RetireGrant", account=B, KeyId=arn, GrantId=theirs)
        assert await listed(world, key_id) == [mine]

    async def test_what_another_account_issued_it_may_end(self, world):
        key_id, arn = await world.key()
        world.shared.add(B)
        grant_id, token = await granted(world, arn, account=B, GranteePrincipal=OTHER)
        (entry,) = (await world.ask("ListGrants", KeyId=key_id))["Grants"]
        assert entry["IssuingAccount"] == OTHER
        assert await world.refusal("RetireGrant", GrantToken=token) == (
            "AccessDenied",
            HIDDEN.format(A, "kms:RetireGrant"),
        )  # the owner of the key did not issue it: it revokes
        await world.ask("RetireGrant", account=B, GrantToken=token)
        grant_id, _ = await granted(world, arn, account=B, GranteePrincipal=OTHER)
        await world.ask("RevokeGrant", KeyId=key_id, GrantId=grant_id)
        assert await listed(world, key_id) == []

    async def test_revoke(self, world):
        (key_id, arn), (other, _) = await world.key(), await world.key()
        grant_id, _ = await granted(world, key_id)
        missing = ("NotFoundException", f"Grant ID {grant_id} not found")
        assert await world.refusal("RevokeGrant", KeyId=other, GrantId=grant_id) == missing
        world.denied = {"kms:RevokeGrant"}
        assert (await world.refusal("RevokeGrant", KeyId=key_id, GrantId=grant_id))[0] == "AccessDenied"
        world.denied = set()
        world.asked.clear()
        assert await world.ask("RevokeGrant", KeyId=arn, GrantId=grant_id) == {}
        assert world.asked == [("kms:RevokeGrant", arn)]
        assert await world.refusal("RevokeGrant", KeyId=key_id, GrantId=grant_id) == missing

    @pytest.mark.parametrize("grant_id", ["x", NOBODYS_ID[:-1], NOBODYS_ID + "0", "A" * 64])
    async def test_ids_that_no_grant_has(self, world, grant_id):
        key_id, _ = await world.key()
        for operation in ("RevokeGrant", "RetireGrant", "ListGrants"):
            assert (await world.refusal(operation, KeyId=key_id, GrantId=grant_id))[0] == "InvalidGrantIdException"


class TestList:
    async def test_a76_entries(self, world):
        key_id, arn = await world.key()
        constraints = {"EncryptionContextSubset": {"a": "b"}}
        operations = ["Decrypt", "DescribeKey"]
        grant_id, _ = await granted(
            world, key_id, Name="all/of:it", RetiringPrincipal=BOB, Operations=operations, Constraints=constraints
        )
        full = {
            "KeyId": arn,
            "GrantId": grant_id,
            "Name": "all/of:it",
            "CreationDate": START,
            "GranteePrincipal": ANN,
            "RetiringPrincipal": BOB,
            "IssuingAccount": ROOT,
            "Operations": operations,
            "Constraints": constraints,
        }
        assert await world.ask("ListGrants", KeyId=key_id) == {"Grants": [full], "Truncated": False}
        await world.ask("RevokeGrant", KeyId=key_id, GrantId=grant_id)
        await granted(world, key_id)
        (bare,) = (await world.ask("ListGrants", KeyId=key_id))["Grants"]
        assert set(bare) == set(full) - {"RetiringPrincipal", "Constraints"}
        assert bare["Name"] == ""
        world.clock.days(10_000)  # a76: they never expire
        assert len(await listed(world, key_id)) == 1

    async def test_filters(self, world):
        (key_id, _), (other, _) = await world.key(), await world.key()
        anns = sorted([(await granted(world, key_id))[0] for _ in range(2)])
        bobs, _ = await granted(world, key_id, GranteePrincipal=BOB)
        await granted(world, other)
        assert await listed(world, key_id) == sorted([*anns, bobs])
        assert await listed(world, key_id, GranteePrincipal=ANN) == anns
        assert await listed(world, key_id, GranteePrincipal=ANN + "/x") == []
        assert await listed(world, key_id, GrantId=bobs) == [bobs]
        assert await listed(world, key_id, GrantId=bobs, GranteePrincipal=ANN) == []
        assert await listed(world, other, GrantId=bobs) == []
        refused = await world.refusal("ListGrants", KeyId=key_id, GranteeServicePrincipal="s3.amazonaws.com")
        assert refused[0] == "UnsupportedOperationException"

    @pytest.mark.parametrize("filters", [{}, {"GranteePrincipal": ANN}])
    async def test_pages(self, world, filters):
        key_id, _ = await world.key()
        made = sorted([(await granted(world, key_id))[0] for _ in range(5)])
        found, marker = [], {}
        for more in (True, True, False):
            page = await world.ask("ListGrants", KeyId=key_id, Limit=2, **filters, **marker)
            found += [entry["GrantId"] for entry in page["Grants"]]
            assert (page["Truncated"], "NextMarker" in page) == (more, more)
            marker = {"Marker": page.get("NextMarker")}
        assert found == made
        wrong = {"GranteePrincipal": BOB, "Marker": (await world.ask("ListGrants", KeyId=key_id, Limit=2))["NextMarker"]}
        assert (await world.refusal("ListGrants", KeyId=key_id, **wrong))[0] == "InvalidMarkerException"
        assert (await world.refusal("ListGrants", KeyId=key_id, Limit=101))[0] == "ValidationException"

    async def test_fifty_by_default(self, world):
        key_id, _ = await world.key()
        for _ in range(51):
            await granted(world, key_id, RetiringPrincipal=ANN)
        for operation, names in (("ListGrants", {"KeyId": key_id}), ("ListRetirableGrants", {"RetiringPrincipal": ANN})):
            page = await world.ask(operation, **names)
            assert (len(page["Grants"]), page["Truncated"]) == (50, True)
            rest = await world.ask(operation, **names, Marker=page["NextMarker"])
            assert (len(rest["Grants"]), rest["Truncated"]) == (1, False)
            assert (await world.refusal(operation, **names, Limit=101))[0] == "ValidationException"

    async def test_retirable_grants_of_all_keys_of_a_region(self, world):
        world.shared.add(A)
        world.principals.add(f"{ANN}/x")
        keys = [(await world.key())[1], (await world.key())[1], (await world.key(account=B))[1]]
        expected = {(await granted(world, arn, RetiringPrincipal=ANN))[0] for arn in keys}
        await granted(world, keys[0], RetiringPrincipal=BOB)
        await granted(world, keys[0], RetiringPrincipal=f"{ANN}/x")
        await granted(world, keys[0])
        away = (await world.key(region="us-east-1"))[1]
        await granted(world, away, region="us-east-1", RetiringPrincipal=ANN)
        world.shared.clear()
        found, marker = [], {}
        while True:
            page = await world.ask("ListRetirableGrants", RetiringPrincipal=ANN, Limit=1, **marker)
            found += [entry["GrantId"] for entry in page["Grants"]]
            if not page["Truncated"]:
                break
            marker = {"Marker": page["NextMarker"]}
        assert (set(found), len(found)) == (expected, 3)
        code, _ = await world.refusal("ListRetirableGrants", RetiringPrincipal=BOB, Marker=marker["Marker"])
        assert code == "InvalidMarkerException"

    async def test_whose_retirable_grants(self, world):
        denied = ("AccessDenied", HIDDEN.format(A, "kms:ListRetirableGrants"))
        assert await world.refusal("ListRetirableGrants", RetiringPrincipal=OTHER) == denied
        refused = ("InvalidArnException", "ARN does not refer to a valid principal: ann")
        assert await world.refusal("ListRetirableGrants", RetiringPrincipal="ann") == refused
        assert (await world.refusal("ListRetirableGrants"))[0] == "ValidationException"
        service = {"RetiringServicePrincipal": "s3.amazonaws.com"}
        assert (await world.refusal("ListRetirableGrants", **service))[0] == "UnsupportedOperationException"


class TestTheKeyBelow:
    async def test_a_doomed_keys_grants_can_be_seen_and_ended_only(self, world):
        key_id, arn = await world.key()
        ids = [(await granted(world, key_id, RetiringPrincipal=ANN))[0] for _ in range(2)]
        await world.ask("ScheduleKeyDeletion", KeyId=key_id)
        given = {"KeyId": key_id, "GranteePrincipal": ANN, "Operations": ["Decrypt"]}
        assert await world.refusal("CreateGrant", **given) == ("KMSInvalidStateException", f"{arn} is pending deletion.")
        assert len(await listed(world, key_id)) == 2
        await world.ask("RetireGrant", KeyId=key_id, GrantId=ids[0])
        await world.ask("RevokeGrant", KeyId=key_id, GrantId=ids[1])

    async def test_a_destroyed_key_takes_its_grants_with_it(self, world):
        (doomed, arn), (kept, _) = await world.key(), await world.key()
        grant_id, token = await granted(world, doomed, RetiringPrincipal=ANN, Name="n")
        for _ in range(3):
            await granted(world, doomed, RetiringPrincipal=ANN)
        left, _ = await granted(world, kept, RetiringPrincipal=ANN, Name="n")
        await world.ask("ScheduleKeyDeletion", KeyId=doomed, PendingWindowInDays=7)
        world.clock.days(8)
        for _ in range(2):
            retirable = await world.ask("ListRetirableGrants", RetiringPrincipal=ANN)
            assert [entry["GrantId"] for entry in retirable["Grants"]] == [left]
            assert (await world.refusal("RetireGrant", KeyId=arn, GrantId=grant_id))[0] == "NotFoundException"
            assert (await world.refusal("RetireGrant", GrantToken=token))[0] in {"NotFoundException", BAD_TOKEN[0]}
            await world.rooms.deletion.destroy_due()
        kinds = ("kms-grant", "kms-grant-name", "kms-grantee", "kms-grant-count")
        prefix = f"kms/{A}/{REGION}/{doomed}"
        assert [await world.catalog.documents(kind, prefix=prefix, limit=10) for kind in kinds] == [[]] * 4
        assert len(await world.catalog.documents("kms-retirable", limit=10)) == 1
        assert await listed(world, kept) == [left]


async def test_another_worker_sees_a_grant_and_its_end(world, other_worker):
    key_id, _ = await world.key()
    grant_id, token = await granted(world, key_id)
    assert await listed(other_worker, key_id) == [grant_id]
    await other_worker.ask("DescribeKey", KeyId=key_id, GrantTokens=[token])
    await other_worker.ask("RetireGrant", GrantToken=token)
    assert await listed(world, key_id) == []
    assert await world.refusal("DescribeKey", KeyId=key_id, GrantTokens=[token]) == BAD_TOKEN


async def test_a_token_never_looks_like_an_option_and_those_of_the_first_alphabet_are_read(world):
    tokens = GrantTokens(world.catalog, bytes(32))
    name = KeyName("111122223333", "eu-central-1", "0d990263-018e-4e65-a703-eff731de951e")
    written = [tokens.write(name, "ab" * 32) for _ in range(50)]
    assert not any(set(one) & set("-_") for one in written)
    assert any(set(one) & set("+/") for one in written)
    for one in written:
        assert tokens.read(one) == tokens.read(one.translate(str.maketrans("+/", "-_"))) == (name, "ab" * 32)
