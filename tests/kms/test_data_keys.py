from __future__ import annotations

import asyncio
import json

import pytest

from strongroom.api.errors import ApiError
from strongroom.kms.blob import parse_blob
from strongroom.kms.contract import ProviderError
from strongroom.kms.data_keys import DataKeys
from tests.kms.world import CIPHERTEXT, HIDDEN, KMS_KEY, REGION, A, B, World

CONTEXT = {"aws:s3:arn": "arn:aws:s3:::bucket/key"}


def s3_call(world, **given):
    """The call of an S3 operation is not one of KMS; which one makes no difference here."""
    return world.call("ListKeys", **given)


async def generate(world, kms_key=None, region=REGION, **given):
    return await world.data_keys.generate(s3_call(world, **given), kms_key, region, CONTEXT)


async def unwrap(world, wrapped, region=REGION, context=CONTEXT, **given):
    return await world.data_keys.unwrap(s3_call(world, **given), wrapped, region, context)


async def refused(awaitable) -> tuple[str, str]:
    with pytest.raises(ApiError) as caught:
        await awaitable
    return caught.value.code, caught.value.message


async def test_round_trip_by_every_name(world):
    key_id, arn = await world.key()
    await world.ask("CreateAlias", AliasName="alias/x", TargetKeyId=key_id)
    world.asked.clear()
    for name in (key_id, arn, "alias/x", f"arn:aws:kms:{REGION}:{A}:alias/x"):
        data_key = await generate(world, name)
        assert data_key.key_arn == arn
        assert len(data_key.plain) == 32
        assert await unwrap(world, data_key.wrapped) == data_key.plain
        assert world.asked == [("kms:GenerateDataKey", arn), ("kms:Decrypt", arn)]
        world.asked.clear()
    assert "plain" not in repr(data_key)
    # The KMS API opens it as well: it is the same kind of blob.
    opened = await world.ask("Decrypt", CiphertextBlob=data_key.wrapped, EncryptionContext=CONTEXT)
    assert opened["Plaintext"] == data_key.plain


async def test_failures_have_the_codes_and_texts_of_kms(world):
    key_id, arn = await world.key()
    data_key = await generate(world, key_id)
    missing = "00000000-0000-4000-8000-000000000000"
    for name, message in (
        ("fake-key-id", "Invalid keyId 'fake-key-id'"),
        ("aws/s3", "Invalid keyId 'aws/s3'"),
        (missing, f"Key 'arn:aws:kms:{REGION}:{A}:key/{missing}' does not exist"),
        (arn.replace(REGION, "us-west-2"), "Invalid arn us-west-2"),
        ("alias/none", f"Alias arn:aws:kms:{REGION}:{A}:alias/none is not found."),
    ):
        assert await refused(generate(world, name)) == ("NotFoundException", message)
    world.denied = {"kms:GenerateDataKey", "kms:Decrypt"}
    assert await refused(generate(world, key_id)) == ("AccessDenied", f"kms:GenerateDataKey on {arn}")
    assert await refused(unwrap(world, data_key.wrapped)) == ("AccessDenied", f"kms:Decrypt on {arn}")
    world.denied = set()
    assert await refused(unwrap(world, data_key.wrapped, context={})) == ("InvalidCiphertextException", "")
    assert await refused(unwrap(world, b"rubbish")) == ("InvalidCiphertextException", "")
    assert await refused(unwrap(world, data_key.wrapped, region="us-east-1")) == ("AccessDenied", CIPHERTEXT)
    await world.ask("DisableKey", KeyId=key_id)
    for attempt in (generate(world, key_id), unwrap(world, data_key.wrapped)):
        assert await refused(attempt) == ("DisabledException", f"{arn} is disabled.")
    await world.ask("ScheduleKeyDeletion", KeyId=key_id)
    for attempt in (generate(world, key_id), unwrap(world, data_key.wrapped)):
        assert await refused(attempt) == ("KMSInvalidStateException", f"{arn} is pending deletion.")
    world.clock.days(30)
    for _ in range(2):
        for attempt in (generate(world, key_id), unwrap(world, data_key.wrapped)):
            assert await refused(attempt) == ("NotFoundException", f"Key '{arn}' does not exist")
        await world.rooms.deletion.destroy_due()


async def test_another_account(world):
    _, arn = await world.key()
    data_key = await generate(world, arn)
    hidden = ("AccessDenied", HIDDEN.format(B, "kms:GenerateDataKey"))
    for name in (arn, arn[:-36] + "00000000-0000-4000-8000-000000000000", f"arn:aws:kms:{REGION}:{A}:alias/aws/s3"):
        assert await refused(generate(world, name, account=B)) == hidden
    assert await refused(unwrap(world, data_key.wrapped, account=B)) == ("AccessDenied", CIPHERTEXT)
    world.shared = {B}
    assert await unwrap(world, data_key.wrapped, account=B) == data_key.plain
    assert (await generate(world, arn, account=B)).key_arn == arn


class TestManagedByS3:
    async def test_it_is_made_on_first_use_once_per_account_and_region(self, world):
        first = await generate(world)
        name = parse_blob(first.wrapped).key
        assert (name.account_id, name.region) == (A, REGION)
        for again in (None, "alias/aws/s3", f"arn:aws:kms:{REGION}:{A}:alias/aws/s3", name.arn):
            assert (await generate(world, again)).key_arn == first.key_arn
        assert (await generate(world, account=B)).key_arn.split(":")[4] == B
        assert (await generate(world, region="us-east-1")).key_arn.split(":")[3] == "us-east-1"
        assert await unwrap(world, first.wrapped) == first.plain
        assert ("kms:GenerateDataKey", first.key_arn) in world.asked
        assert ("kms:Decrypt", first.key_arn) in world.asked

    async def test_workers_that_race_make_one(self, world, other_worker):
        workers = [World(world.catalog) for _ in range(4)] + [other_worker]
        made = await asyncio.gather(*(generate(worker) for worker in workers))
        assert len({data_key.key_arn for data_key in made}) == 1
        assert len((await world.ask("ListKeys"))["Keys"]) == 1

    async def test_describe_key_makes_it(self, world):
        metadata = (await world.ask("DescribeKey", KeyId="alias/aws/s3"))["KeyMetadata"]
        assert metadata["Description"] == "Default key that protects my S3 objects when no other key is defined"
        assert (metadata["KeyManager"], metadata["KeySpec"]) == ("AWS", "SYMMETRIC_DEFAULT")
        assert (metadata["KeyUsage"], metadata["Origin"]) == ("ENCRYPT_DECRYPT", "AWS_KMS")
        listed = (await world.ask("ListAliases", KeyId=metadata["KeyId"]))["Aliases"]
        assert [(entry["AliasName"], entry["TargetKeyId"]) for entry in listed] == [("alias/aws/s3", metadata["KeyId"])]
        assert (await generate(world)).key_arn == metadata["Arn"]
        policy = json.loads((await world.ask("GetKeyPolicy", KeyId=metadata["KeyId"]))["Policy"])
        assert policy["Id"] == "auto-s3-2"
        condition = {"StringEquals": {"kms:CallerAccount": A, "kms:ViaService": f"s3.{REGION}.amazonaws.com"}}
        assert policy["Statement"][0]["Condition"] == condition

    @pytest.mark.parametrize(
        ("operation", "given"),
        [
            ("Encrypt", {"Plaintext": b"x"}),
            ("GenerateDataKey", {"KeySpec": "AES_256"}),
            ("GenerateDataKeyWithoutPlaintext", {"KeySpec": "AES_256"}),
            ("EnableKey", {}),
            ("DisableKey", {}),
            ("ScheduleKeyDeletion", {}),
            ("CancelKeyDeletion", {}),
            ("TagResource", {"Tags": []}),
            ("UntagResource", {"TagKeys": []}),
            ("UpdateKeyDescription", {"Description": ""}),
        ],
    )
    async def test_directly_not_even_root_may_do_more_than_read(self, world, operation, given):
        arn = (await generate(world)).key_arn
        denied = (
            f"User: arn:aws:iam::{A}:root is not authorized to perform: kms:{operation} on resource: {arn} "
            f"because no resource-based policy allows the kms:{operation} action"
        )
        assert await world.refusal(operation, KeyId=arn, **given) == ("AccessDenied", denied)

    async def test_directly_its_blobs_stay_closed_and_it_takes_no_alias(self, world):
        data_key = await generate(world)
        code, message = await world.refusal("Decrypt", CiphertextBlob=data_key.wrapped, EncryptionContext=CONTEXT)
        assert (code, message.endswith("because no resource-based policy allows the kms:Decrypt action")) == (
            "AccessDenied",
            True,
        )
        mine, _ = await world.key()
        for source, target in ((data_key.wrapped, mine), (await self._blob(world, mine), data_key.key_arn)):
            assert (await world.refusal("ReEncrypt", CiphertextBlob=source, DestinationKeyId=target))[0] == "AccessDenied"
        assert (await world.refusal("CreateAlias", AliasName="alias/x", TargetKeyId=data_key.key_arn))[0] == "AccessDenied"
        for operation in ("GetKeyPolicy", "ListKeyPolicies", "ListResourceTags", "GetKeyRotationStatus", "DescribeKey"):
            await world.ask(operation, KeyId=data_key.key_arn)

    @pytest.mark.parametrize("who", ["root", "user/ann"])
    async def test_no_other_account_may_use_it_whatever_policies_say(self, world, who):
        data_key = await generate(world)
        assert await refused(unwrap(world, data_key.wrapped, account=B, who=who)) == ("AccessDenied", CIPHERTEXT)
        assert await refused(generate(world, data_key.key_arn, account=B, who=who)) == (
            "AccessDenied",
            HIDDEN.format(B, "kms:GenerateDataKey").replace("root", who),
        )

    async def test_a_deny_still_counts(self, world):
        data_key = await generate(world)
        world.denied = {"kms:Decrypt"}
        assert (await refused(unwrap(world, data_key.wrapped)))[0] == "AccessDenied"

    async def test_nobody_has_none(self, world):
        assert (await refused(generate(world, anonymous=True)))[0] == "AccessDenied"
        assert (await world.ask("ListKeys"))["Keys"] == []

    @staticmethod
    async def _blob(world, key_id):
        return (await world.ask("Encrypt", KeyId=key_id, Plaintext=b"x"))["CiphertextBlob"]


class TestServiceKeys:
    async def test_they_are_made_once_and_found_again(self, world, other_worker):
        workers = [DataKeys(world.catalog, KMS_KEY, world.clock) for _ in range(3)] + [other_worker.data_keys]
        await asyncio.gather(*(worker.open() for worker in workers))
        late = DataKeys(world.catalog, KMS_KEY, world.clock)
        await late.open()
        current = late.service_key()
        assert len(current.key) == 32
        assert len(bytes.fromhex(current.key_id)) == 16
        for worker in workers:
            assert worker.service_key() == worker.service_key(current.key_id) == current
            assert worker.metadata_key("b1") == late.metadata_key("b1")
        assert late.metadata_key("b1") != late.metadata_key("b2")
        assert len(late.metadata_key("b1")) == 32
        assert current.key.hex() not in repr(current)

    async def test_unknown_and_unopened(self, world):
        for attempt in (world.data_keys.service_key, lambda: world.data_keys.metadata_key("b")):
            with pytest.raises(LookupError):
                attempt()
        await world.data_keys.open()
        with pytest.raises(LookupError):
            world.data_keys.service_key("0" * 32)

    async def test_another_root_key_is_noticed_at_start(self, world):
        await world.data_keys.open()
        with pytest.raises(ProviderError):
            await DataKeys(world.catalog, bytes(32), world.clock).open()

    async def test_a_wrapped_key_does_not_stand_in_for_another(self, world):
        await world.data_keys.open()

        def swap(transaction) -> None:
            (_, mine), *_ = transaction.documents("service-key", prefix="service-key/s3/", limit=1)
            root = transaction.document("service-key/s3-metadata", "service-key")
            transaction.set_document("service-key/s3-metadata", "service-key", root | {"wrapped": mine["wrapped"]})

        await world.catalog.write(swap)
        with pytest.raises(ProviderError):
            await DataKeys(world.catalog, KMS_KEY, world.clock).open()


async def test_authority(world):
    for arn in (f"arn:aws:kms:{REGION}:{A}:key/x", f"arn:aws:kms:{REGION}:{A}:alias/x:y"):
        assert (await world.data_keys.authority(arn)).account_id == A
    for arn in ("*", "arn:aws:s3:::bucket", f"arn:aws:kms:{REGION}:{A}"):
        with pytest.raises(ValueError):
            await world.data_keys.authority(arn)


async def test_a_warm_ring_reads_nothing(world):
    key_id, _ = await world.key()
    wrapped = (await generate(world, key_id)).wrapped
    reads = world.catalog.reads
    for _ in range(10):
        await generate(world, key_id)
        await unwrap(world, wrapped)
    assert world.catalog.reads == reads
