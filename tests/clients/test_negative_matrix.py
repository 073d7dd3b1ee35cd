"""The negative matrix: everybody who lacks one thing, at every operation of S3 and KMS, and nothing succeeds.

The operations come from the register's own declarations: one that is new fails here until it is said how to ask for it, and whether it needs
a key. How each is asked is in ``test_accounts`` and ``test_user_rights``, which hold strangers and users without rights to the exact texts;
sessions of every sort are in ``test_session_rights``. One more sort of caller is one more line of ``CALLERS``.
"""

from __future__ import annotations

import json

import pytest
from botocore import UNSIGNED, xform_name

from tests.clients.house import OWNER, STRANGER, refused, rule, unique
from tests.clients.test_accounts import KMS_SERVICE, NEEDS, S3_SERVICE, ask_s3, nothing_happened
from tests.clients.test_posts import form_for, post
from tests.clients.test_user_rights import ALLOW_ALL, ask, new_user, policy
from tests.clients.test_user_rights import house as owned  # noqa: F401 - a fixture

OPERATIONS = sorted(
    (service, name)
    for service, name in NEEDS
    if service in {"s3", "kms"} and "CustomKeyStore" not in name and name != "Preflight"
)
S3 = [name for service, name in OPERATIONS if service == "s3"]
#: What a caller may be answered when it is refused: S3 and IAM, KMS, a HEAD, nobody at KMS.
REFUSALS = {"AccessDenied", "AccessDeniedException", "403", "MissingAuthenticationTokenException"}
#: Refused without a word about rights: a grant that nobody knows of, an alias that is looked for in the caller's own account.
OTHERWISE = {"RetireGrant": {"NotFoundException"}, "DeleteAlias": {"NotFoundException"}, "UpdateAlias": {"NotFoundException"}}


class Clients:
    """Those of one caller; ``None`` for whoever signs nothing."""

    def __init__(self, server, who, **more):
        self.s3, self.kms = (server.client(service, who, **more) for service in ("s3", "kms"))

    def close(self):
        self.s3.close()
        self.kms.close()


class Caller:
    """Somebody who lacks something. ``ready`` is asked before each operation; False: it would be in its own right."""

    def __init__(self, server, iam, world, stranger):
        self.server, self.iam, self.world = server, iam, world
        self.clients = Clients(server, self.account(stranger), **self.options())

    def account(self, stranger):
        raise NotImplementedError

    def options(self):
        return {"signature_version": "s3v4"}

    def ready(self, service, name):
        return True


class Stranger(Caller):
    """Another account's root: what it asks of its own account it may have."""

    def account(self, stranger):
        return stranger

    def ready(self, service, name):
        return name not in {*S3_SERVICE, *KMS_SERVICE}


class Nobody(Caller):
    def account(self, stranger):
        return None

    def options(self):
        return {"signature_version": UNSIGNED}


class User(Caller):
    """A user of the owner's account with these statements."""

    statements: tuple[dict, ...] = ()

    def account(self, stranger):
        self.name, who = new_user(self.server, self.iam, *self.statements)
        return who


class OfAnotherBucketAndKey(User):
    def account(self, stranger):
        other = unique("other")
        resources = [f"arn:aws:s3:::{other}", f"arn:aws:s3:::{other}/*", f"arn:aws:kms:us-east-1:{OWNER}:key/{'0' * 36}"]
        self.statements = ({**ALLOW_ALL, "Resource": resources},)
        return super().account(stranger)


class WithoutThatAction(User):
    """All actions but the one that is asked for, and its form for a version."""

    def ready(self, service, name):
        need = NEEDS[service, name]
        wanted = [action for action in (need.action, need.with_version) if action is not None]
        text = policy({"Effect": "Allow", "NotAction": wanted, "Resource": "*"})
        self.iam.put_user_policy(UserName=self.name, PolicyName="rights", PolicyDocument=text)
        return True


class DeniedThatAction(WithoutThatAction):
    def ready(self, service, name):
        text = policy(ALLOW_ALL, {**ALLOW_ALL, "Effect": "Deny", "Action": NEEDS[service, name].action})
        self.iam.put_user_policy(UserName=self.name, PolicyName="rights", PolicyDocument=text)
        return True


class FromElsewhere(User):
    """Every right, in another context."""

    statements = ({**ALLOW_ALL, "Condition": {"IpAddress": {"aws:SourceIp": "203.0.113.0/24"}}},)


class WithinAnEmptyBoundary(User):
    statements = (ALLOW_ALL,)

    def account(self, stranger):
        who = super().account(stranger)
        text = policy({"Effect": "Allow", "Action": "iam:GetUser", "Resource": "*"})
        bound = self.iam.create_policy(PolicyName=unique("bound"), PolicyDocument=text)["Policy"]["Arn"]
        self.iam.put_user_permissions_boundary(UserName=self.name, PermissionsBoundary=bound)
        return who


CALLERS = {
    "another account": Stranger,
    "nobody": Nobody,
    "a user without rights": User,
    "of another bucket and key": OfAnotherBucketAndKey,
    "without that action": WithoutThatAction,
    "denied that action": DeniedThatAction,
    "in another context": FromElsewhere,
    "within an empty boundary": WithinAnEmptyBoundary,
}


@pytest.fixture(scope="module")
def callers(server, iam, owned, stranger):  # noqa: F811
    made = {sort: caller(server, iam, owned, stranger) for sort, caller in CALLERS.items()}
    yield made
    for one in made.values():
        one.clients.close()


@pytest.mark.fact("C1", "C12", "C14", "E12")
@pytest.mark.parametrize(("service", "name"), OPERATIONS)
def test_nobody_who_lacks_something_gets_anything(server, kms, owned, callers, service, name):  # noqa: F811
    for sort, caller in callers.items():
        if not caller.ready(service, name):
            continue
        client = getattr(caller.clients, service)
        if name == "PostObject":  # no SDK sends it
            fields = {"key": "k"} if sort == "nobody" else form_for(client, owned["bucket"])
            assert post(server, owned["bucket"], fields).error[:2] == (403, "AccessDenied"), sort
            continue
        given = ask(service, client, name, owned)
        call = getattr(client, xform_name(name))
        if name == "DeleteObjects":  # refused key by key
            answer = call(**given)
            assert ([one["Code"] for one in answer["Errors"]], answer.get("Deleted")) == (["AccessDenied"], None), sort
        else:
            assert refused(call, **given).code in OTHERWISE.get(name, REFUSALS) | REFUSALS, sort
    if service == "s3":
        nothing_happened(owned)
    else:
        metadata = kms.describe_key(KeyId=owned["key"]["KeyId"])["KeyMetadata"]
        assert (metadata["KeyState"], metadata["Description"]) == ("Enabled", "")


def test_the_matrix_has_every_operation():
    assert {(service, name) for service, name in NEEDS if service in {"s3", "kms"}} == {
        *OPERATIONS,
        *((service, name) for service, name in NEEDS if "CustomKeyStore" in name or name == "Preflight"),
    }


# ------------------------------------------------------------------------------------------------------ rights, but no key

#: Operations that touch the bytes of an object, and so its key. All others on objects touch no key: each must be in one of both.
WITH_KEY = {
    "CompleteMultipartUpload": {},
    "CopyObject": {},
    "CreateMultipartUpload": {},
    "GetObject": {},
    "GetObjectAnnotation": {},
    "GetObjectAttributes": {"ObjectAttributes": ["Checksum"]},
    "HeadObject": {"ChecksumMode": "ENABLED"},
    "PostObject": {},
    "PutObject": {},
    "PutObjectAnnotation": {},
    "RenameObject": {},  # without a bucket key
    "UpdateObjectEncryption": {},
    "UploadPart": {},
    "UploadPartCopy": {},
}
WITHOUT_KEY = {
    "AbortMultipartUpload",
    "DeleteObject",
    "DeleteObjectAnnotation",
    "DeleteObjectTagging",
    "DeleteObjects",
    "GetObjectAcl",
    "GetObjectLegalHold",
    "GetObjectRetention",
    "GetObjectTagging",
    "GetObjectTorrent",
    "ListObjectAnnotations",
    "ListParts",
    "PutObjectAcl",
    "PutObjectLegalHold",
    "PutObjectRetention",
    "PutObjectTagging",
    "RestoreObject",
    "SelectObjectContent",
}


def test_each_operation_on_objects_is_said_to_need_a_key_or_not(s3):
    model = s3.meta.service_model
    shapes = {name: None if name == "PostObject" else model.operation_model(name).input_shape for name in S3}
    on_objects = {name for name, shape in shapes.items() if shape is None or "Key" in shape.members or "Delete" in shape.members}
    assert on_objects <= {*WITH_KEY, *WITHOUT_KEY}
    assert set(WITH_KEY) <= on_objects


@pytest.fixture(scope="module")
def sealed(server, s3, kms, iam):
    """A bucket under a customer's key, and a user who may do everything in S3, and nothing with the key."""
    name = unique("sealed")
    key = kms.create_key()["KeyMetadata"]
    s3.create_bucket(Bucket=name)
    s3.put_bucket_encryption(Bucket=name, ServerSideEncryptionConfiguration=rule("aws:kms", key["Arn"]))
    s3.put_object(Bucket=name, Key="k", Body=b"secret", ChecksumAlgorithm="CRC32C")
    s3.put_object_annotation(Bucket=name, Key="k", AnnotationName="note", AnnotationPayload=b"x")
    upload = s3.create_multipart_upload(Bucket=name, Key="m")["UploadId"]
    part = s3.upload_part(Bucket=name, Key="m", UploadId=upload, PartNumber=1, Body=b"x")["ETag"]
    _, who = new_user(server, iam, {"Effect": "Allow", "Action": "s3:*", "Resource": "*"})
    client = server.client("s3", who, signature_version="s3v4")
    yield {"bucket": name, "upload": upload, "part": part, "key": key, "client": client}
    client.close()


@pytest.mark.fact("D1", "D2", "H1")
@pytest.mark.parametrize("name", sorted(WITH_KEY))
def test_rights_to_the_bucket_open_nothing_without_a_right_to_the_key(server, s3, sealed, name):
    client, bucket = sealed["client"], sealed["bucket"]
    if name == "PostObject":
        status, code, message = post(server, bucket, form_for(client, bucket)).error
        assert (status, code) == (403, "AccessDenied")
        assert "kms:GenerateDataKey" in message
    else:
        given = {**ask_s3(client, name, sealed), **WITH_KEY[name]}
        if name in {"CopyObject", "RenameObject"}:
            given["Key"] = "copy"
        refusal = refused(getattr(client, xform_name(name)), **given)
        assert refusal.status == 403
        if name != "HeadObject":
            assert refusal.code == "AccessDenied"
            assert "kms:" in refusal.message
            assert sealed["key"]["Arn"] in refusal.message
    assert s3.get_object(Bucket=bucket, Key="k")["Body"].read() == b"secret"
    assert [one["Key"] for one in s3.list_objects_v2(Bucket=bucket)["Contents"]] == ["k"]
    assert [one["PartNumber"] for one in s3.list_parts(Bucket=bucket, Key="m", UploadId=sealed["upload"])["Parts"]] == [1]


# ----------------------------------------------------------------------------------------------- the owner, mistaking a bucket


@pytest.mark.fact("C48")
@pytest.mark.parametrize("name", S3)
def test_a_wrong_expected_owner_stops_even_the_owner(owned, name):  # noqa: F811
    client = owned["owner"]
    if name == "PostObject" or name in S3_SERVICE:
        return
    shape = client.meta.service_model.operation_model(name).input_shape
    given = ask_s3(client, name, owned)
    if "ExpectedBucketOwner" in shape.members:
        refusal = refused(getattr(client, xform_name(name)), **given, ExpectedBucketOwner=STRANGER)
        assert refusal.status == 403
    if "ExpectedSourceBucketOwner" in shape.members:
        refusal = refused(getattr(client, xform_name(name)), **given, ExpectedSourceBucketOwner=STRANGER)
        assert refusal.status == 403
    nothing_happened(owned)


def test_the_right_that_was_lacking_is_enough(server, iam, owned):  # noqa: F811
    """The counter-proof: what the matrix refuses for want of one right goes through with it."""
    user, who = new_user(server, iam)
    client = server.client("s3", who)
    assert refused(client.get_object, Bucket=owned["bucket"], Key="k").status == 403
    right = {"Effect": "Allow", "Action": "s3:GetObject", "Resource": f"arn:aws:s3:::{owned['bucket']}/k"}
    iam.put_user_policy(
        UserName=user, PolicyName="rights", PolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": right})
    )
    assert client.get_object(Bucket=owned["bucket"], Key="k")["Body"].read() == b"secret"
    client.close()
