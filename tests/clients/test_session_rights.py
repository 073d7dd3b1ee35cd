"""A session may what its holder may, and a token that is none opens nothing: every operation that is built, by each sort of session.

The operations come from the register's own declarations, as in ``test_user_rights``. Tokens that nobody can get from a running server (an
expired one, one of an account that is not there) are sealed here with the server's root key.
"""

from __future__ import annotations

import base64
import time
from dataclasses import replace

import pytest
from botocore import xform_name

from strongroom.iam.sessions import Passed, Session, SessionSeal
from strongroom.startup.root_key import Subkeys
from tests.clients.house import OWNER, STRANGER, refused, unique
from tests.clients.test_accounts import nothing_happened
from tests.clients.test_posts import form_for, post
from tests.clients.test_roles import acting
from tests.clients.test_user_rights import ALLOW_ALL, BUILT, TRUST, ask, kms_members, new_user, policy

pytestmark = pytest.mark.usefixtures("resolving")
SERVICES = ("s3", "s3control", "kms", "iam", "sts")
OPERATIONS = [
    (service, name) for service, name in BUILT if "CustomKeyStore" not in name and name != "Preflight"
]  # which nobody signs
ANYONE = {"GetCallerIdentity"}
#: What of STS a session without rights is answered, by the sort of session.
OPEN = {"role": ANYONE, "user": ANYONE, "federated": ANYONE}
EVERYWHERE = ("expired", "changed", "another account's", "none", "another holder's")
SORTS = ("role", "user", "federated")
UNKNOWN = {
    "s3control": "InvalidAccessKeyId",
    "s3": "InvalidAccessKeyId",
    "kms": "UnrecognizedClientException",
    "iam": "InvalidClientTokenId",
    "sts": "InvalidClientTokenId",
}
INVALID = {**UNKNOWN, "s3": "InvalidToken", "s3control": "InvalidToken"}
EXPIRED = {
    "s3": "ExpiredToken",
    "s3control": "ExpiredToken",
    "kms": "ExpiredTokenException",
    "iam": "ExpiredToken",
    "sts": "ExpiredToken",
}


def client_of(server, service, credentials):
    """S3 Control's clients put the account before the host's name, which an address does not take."""
    return acting(server, service, credentials, url=f"http://localhost:{server.port}" if service == "s3control" else None)


@pytest.fixture(scope="module")
def house(server, s3, kms, iam):
    name = unique("owned")
    s3.create_bucket(Bucket=name)
    s3.put_object(Bucket=name, Key="k", Body=b"secret")
    upload = s3.create_multipart_upload(Bucket=name, Key="m")["UploadId"]
    key = kms.create_key()["KeyMetadata"]
    kms.create_alias(AliasName=f"alias/{name}", TargetKeyId=key["KeyId"])
    iam.create_user(UserName=name)
    iam.create_group(GroupName=name)
    user, who = new_user(server, iam)
    return {
        "owner": s3,
        "bucket": name,
        "own": name,
        "upload": upload,
        "part": s3.upload_part(Bucket=name, Key="m", UploadId=upload, PartNumber=1, Body=b"x")["ETag"],
        "key": key,
        "blob": kms.encrypt(KeyId=key["KeyId"], Plaintext=b"secret")["CiphertextBlob"],
        "victim": name,
        "managed": iam.create_policy(PolicyName=name, PolicyDocument=policy(ALLOW_ALL))["Policy"]["Arn"],
        "role": iam.create_role(RoleName=name, AssumeRolePolicyDocument=TRUST)["Role"]["Arn"],
        "user": user,
        "who": who,
    }


@pytest.fixture(scope="module")
def sessions(server, iam, house):
    """Credentials of each sort whose holder has no right, or all of them and a session policy that leaves none."""
    _, who = new_user(server, iam, {"Effect": "Allow", "Action": "sts:AssumeRole", "Resource": "*"})
    role = iam.create_role(RoleName=unique("powerless"), AssumeRolePolicyDocument=TRUST)["Role"]["Arn"]
    return {
        "role": server.client("sts", who).assume_role(RoleArn=role, RoleSessionName="session")["Credentials"],
        "user": server.client("sts", house["who"]).get_session_token()["Credentials"],
        "federated": server.client("sts").get_federation_token(Name="ann")["Credentials"],
    }


@pytest.fixture(scope="module")
def clients(server, sessions):
    made = {sort: {service: client_of(server, service, sessions[sort]) for service in SERVICES} for sort in SORTS}
    yield made
    for group in made.values():
        for client in group.values():
            client.close()


@pytest.mark.fact("C1", "F13", "F14", "F15")
@pytest.mark.parametrize(("service", "name"), OPERATIONS)
def test_sessions_without_rights_are_refused(server, clients, sessions, house, service, name):
    for sort in SORTS:
        client = clients[sort][service]
        if name == "PostObject":  # no SDK sends it
            signing = acting(server, "s3", sessions[sort], signature_version="s3v4")
            status, code, message = post(server, house["bucket"], form_for(signing, house["bucket"])).error
            assert (status, code) == (403, "AccessDenied")
            assert " is not authorized to perform: s3:PutObject on resource: " in message
            continue
        given = ask(service, client, name, house)
        call = getattr(client, xform_name(name))
        if service == "sts" and name in OPEN[sort]:
            assert call(**given)["Account"] == OWNER
        elif name == "DeleteObjects":
            answer = call(**given)
            assert ([one["Code"] for one in answer["Errors"]], answer.get("Deleted")) == (["AccessDenied"], None)
        elif service == "iam" and sort != "role":
            assert (refused(call, **given).status, refused(call, **given).code) == (403, "InvalidClientTokenId")
        else:
            refusal = refused(call, **given)
            codes = {"AccessDenied", "AccessDeniedException", *(["403"] if name.startswith("Head") else [])}
            assert refusal.code in ({"NotFoundException"} if name == "RetireGrant" else codes), sort
    if service == "s3":
        nothing_happened(house)


@pytest.fixture(scope="module")
def seal(server):
    """Seals as the server does."""
    return SessionSeal(Subkeys.of(bytes.fromhex((server.data / "root.key").read_text("ascii"))).iam)


def sealed(seal, session):
    return {
        "AccessKeyId": session.access_key_id,
        "SecretAccessKey": session.secret_access_key,
        "SessionToken": seal.seal(session),
    }


@pytest.fixture(scope="module")
def untrue(server, iam, house, seal, stranger):
    """Credentials that would have every right, were they true; and one that has expired and was true."""
    name, who = new_user(server, iam, ALLOW_ALL)
    sts = server.client("sts", who)
    true, second = (sts.get_session_token()["Credentials"] for _ in range(2))
    theirs = server.client("sts", stranger).get_session_token()["Credentials"]
    raw = bytearray(base64.b64decode(true["SessionToken"]))
    raw[40] ^= 1
    now = int(time.time() * 1000)
    user_id = iam.get_user(UserName=name)["User"]["UserId"]
    whole = Session("ASIAEXPIRED000000000", "s" * 40, OWNER, "user", user_id, "", now - 10_000, now + 900_000, who.access_key_id)
    forged = SessionSeal(bytes(32))
    found = {
        "true": sealed(seal, whole),
        "expired": sealed(seal, replace(whole, expires_ms=now - 1_000)),
        "forged": sealed(forged, whole),
        "changed": {**true, "SessionToken": base64.b64encode(raw).decode()},
        "another's": {**true, "SessionToken": second["SessionToken"]},
        "another account's": {**true, "SessionToken": theirs["SessionToken"]},
        "none": {**true, "SessionToken": None},
        "long-term": {
            "AccessKeyId": who.access_key_id,
            "SecretAccessKey": who.secret_access_key,
            "SessionToken": true["SessionToken"],
        },
        "another holder's": sealed(seal, replace(whole, holder_id="AIDAOTHEROTHEROTHEROT")),
        "the root's": sealed(seal, replace(whole, holder_id=OWNER)),
        "no account's": sealed(seal, replace(whole, account_id="999999999999", holder_id="999999999999")),
        "without its policy": sealed(seal, replace(whole, passed=Passed(policy_arns=(f"arn:aws:iam::{OWNER}:policy/absent",)))),
    }
    made = {how: {service: client_of(server, service, one) for service in SERVICES} for how, one in found.items()}
    yield made
    for group in made.values():
        for client in group.values():
            client.close()


def code_of(how, service):
    if how == "expired":
        return EXPIRED[service]
    gone = how in {"none", "another holder's", "the root's", "no account's", "without its policy"}
    return (UNKNOWN if gone else INVALID)[service]


@pytest.mark.fact("E25", "F2")
@pytest.mark.parametrize(("service", "name"), [one for one in OPERATIONS if one[1] != "PostObject"])
def test_untrue_credentials_are_refused_whatever_is_asked(untrue, house, service, name):
    for how in EVERYWHERE:
        client = untrue[how][service]
        refusal = refused(getattr(client, xform_name(name)), **ask(service, client, name, house))
        expected = code_of(how, service)
        if name.startswith("Head"):
            assert refusal.status == (400 if expected in {"ExpiredToken", "InvalidToken"} else 403)
        else:
            assert refusal.code == expected, how
    if service == "s3":
        nothing_happened(house)


@pytest.mark.parametrize("service", SERVICES)
def test_all_that_can_be_wrong_with_a_token(untrue, service):
    asked, given = {
        "s3": ("list_buckets", {}),
        "s3control": ("get_public_access_block", {"AccountId": OWNER}),
        "kms": ("list_keys", {}),
        "iam": ("list_users", {}),
        "sts": ("get_caller_identity", {}),
    }[service]
    for how in untrue.keys() - {"true"}:
        assert refused(getattr(untrue[how][service], asked), **given).code == code_of(how, service), how


def test_what_makes_them_untrue_is_all_that_is_wrong_with_them(untrue):
    """The token that the others are made from is a true one."""
    assert untrue["true"]["sts"].get_caller_identity()["Account"] == OWNER
    assert untrue["true"]["kms"].list_keys()["Keys"]


@pytest.mark.fact("E25")
def test_an_expired_token_comes_before_a_wrong_signature(server, iam, seal):
    now = int(time.time() * 1000)
    name, who = new_user(server, iam)
    user_id = iam.get_user(UserName=name)["User"]["UserId"]
    over = Session("ASIAEXPIRED000000000", "s" * 40, OWNER, "user", user_id, "", now - 10_000, now - 1_000, who.access_key_id)
    wrong = {**sealed(seal, over), "SecretAccessKey": "x" * 40}
    refusal = refused(acting(server, "s3", wrong).list_buckets)
    assert (refusal.status, refusal.code, refusal.message) == (400, "ExpiredToken", "The provided token has expired.")
    assert refusal.members["Token-0"] == wrong["SessionToken"]
    refusal = refused(acting(server, "sts", wrong).get_caller_identity)
    assert (refusal.status, refusal.message) == (403, "The security token included in the request is expired")


def test_a_session_is_shut_out_of_other_accounts(server, stranger, house):
    """A session of the stranger's root, which has every right in its own account."""
    theirs = server.client("sts", stranger).get_session_token()["Credentials"]
    assert acting(server, "sts", theirs).get_caller_identity()["Account"] == STRANGER
    s3, kms = (acting(server, service, theirs) for service in ("s3", "kms"))
    assert refused(s3.get_object, Bucket=house["bucket"], Key="k").message == "Access Denied"
    assert refused(kms.encrypt, KeyId=kms_members(house)["KeyId"], Plaintext=b"x").code == "AccessDeniedException"
