"""A user may what a policy says and nothing else: every operation that is built is asked by a user without rights, and is refused.

The operations come from the register's own declarations; one that is new fails here until it is said how to ask for it.
"""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from botocore import xform_name

from tests.clients.house import OWNER, Account, refused, rule, unique
from tests.clients.test_accounts import NEEDS, ask_s3, built, kms_members, nothing_happened
from tests.clients.test_posts import form_for, post

BUILT = sorted({(service, name) for service, name, _ in built()})
S3, KMS, IAM, STS = (
    [name for found, name in BUILT if found == service and "CustomKeyStore" not in name and name != "Preflight"]
    for service in ("s3", "kms", "iam", "sts")
)
TRUST = json.dumps(
    {"Version": "2012-10-17", "Statement": {"Effect": "Allow", "Principal": {"AWS": OWNER}, "Action": "sts:AssumeRole"}}
)
KMS_ASKS = (
    ("GenerateDataKey", ["KeySpec"]),
    ("ImportKeyMaterial", ["ExpirationModel"]),
    ("GenerateRandom", ["NumberOfBytes"]),
    ("RetireGrant", ["KeyId", "GrantId"]),
    ("Decrypt", ["CiphertextBlob"]),
    ("ReEncrypt", ["CiphertextBlob"]),
    ("CreateGrant", ["GranteePrincipal"]),
)
ALLOW_ALL = {"Effect": "Allow", "Action": "*", "Resource": "*"}


def policy(*statements):
    return json.dumps({"Version": "2012-10-17", "Statement": list(statements)})


def new_user(server, iam, *statements, name=None, **more):
    """A user and its access key; with an inline policy of these statements, if there are any."""
    name = name or unique("user")
    iam.create_user(UserName=name, **more)
    if statements:
        iam.put_user_policy(UserName=name, PolicyName="rights", PolicyDocument=policy(*statements))
    made = iam.create_access_key(UserName=name)["AccessKey"]
    return name, Account(OWNER, made["AccessKeyId"], made["SecretAccessKey"])


def arn_of(name):
    return f"arn:aws:iam::{OWNER}:user/{name}"


def implicit(who, action, resource):
    return (
        f"User: {who} is not authorized to perform: {action} on resource: {resource} because no identity-based policy allows the "
        f"{action} action"
    )


@pytest.fixture(scope="module")
def house(server, s3, kms, iam):
    name = unique("owned")
    s3.create_bucket(Bucket=name)
    s3.put_object(Bucket=name, Key="k", Body=b"secret")
    upload = s3.create_multipart_upload(Bucket=name, Key="m")["UploadId"]
    part = s3.upload_part(Bucket=name, Key="m", UploadId=upload, PartNumber=1, Body=b"x")["ETag"]
    key = kms.create_key()["KeyMetadata"]
    kms.create_alias(AliasName=f"alias/{name}", TargetKeyId=key["KeyId"])
    victim = unique("victim")
    iam.create_user(UserName=victim)
    iam.create_group(GroupName=victim)
    role = iam.create_role(RoleName=victim, AssumeRolePolicyDocument=TRUST)["Role"]["Arn"]
    managed = iam.create_policy(PolicyName=victim, PolicyDocument=policy(ALLOW_ALL))["Policy"]["Arn"]
    user, who = new_user(server, iam)
    house = {
        "owner": s3,
        "bucket": name,
        "own": name,
        "upload": upload,
        "part": part,
        "key": key,
        "blob": kms.encrypt(KeyId=key["KeyId"], Plaintext=b"secret")["CiphertextBlob"],
        "victim": victim,
        "managed": managed,
        "role": role,
        "user": user,
        "who": who,
        **{service: server.client(service, who) for service in ("s3", "kms", "iam", "sts")},
    }
    yield house
    for service in ("s3", "kms", "iam", "sts"):
        house[service].close()


def ask(service, client, name, house):
    """What an operation is asked with: what it needs, so that only the lack of a right can keep it from being done."""
    if service == "s3":
        given = ask_s3(client, name, house)
        return {**given, "Bucket": unique()} if name == "CreateBucket" else given
    shape = client.meta.service_model.operation_model(name).input_shape
    wanted = [] if shape is None else list(shape.required_members)
    if service == "s3control":
        members = {
            "AccountId": OWNER,
            "PublicAccessBlockConfiguration": {},
            "ResourceArn": f"arn:aws:s3:::{house['bucket']}",
            "Tags": [{"Key": "k", "Value": "v"}],
            "TagKeys": ["k"],
        }
    elif service == "sts":
        members = {
            "AccessKeyId": house["who"].access_key_id,
            "RoleArn": house["role"],
            "RoleSessionName": "session",
            "Name": "ann",
        }
    elif service == "iam":
        members = iam_members(house)
        wanted += ["UserName"] if shape is not None and "UserName" in shape.members and "UserName" not in wanted else []
    else:
        members = {**kms_members(house), "AliasName": f"alias/{house['bucket']}", "NumberOfBytes": 1}
        for begin, more in KMS_ASKS:
            wanted += [one for one in more if name.startswith(begin) and "Pair" not in name]
    return {member: members[member] for member in wanted}


@pytest.mark.fact("C1", "C12", "E4", "E12")
@pytest.mark.parametrize("name", S3)
def test_s3_refuses_a_user_without_rights(server, house, name):
    if name == "PostObject":  # no SDK sends it
        signing = server.client("s3", house["who"], signature_version="s3v4")
        status, code, message = post(server, house["bucket"], form_for(signing, house["bucket"])).error
        assert (status, code) == (403, "AccessDenied")
        assert message == implicit(arn_of(house["user"]), "s3:PutObject", f'"arn:aws:s3:::{house["bucket"]}/k"')
        nothing_happened(house)
        return
    given = ask("s3", house["s3"], name, house)
    if name == "DeleteObjects":
        answer = house["s3"].delete_objects(**given)
        assert [(each["Key"], each["Code"]) for each in answer["Errors"]] == [("k", "AccessDenied")]
        assert "Deleted" not in answer
    else:
        refusal = refused(getattr(house["s3"], xform_name(name)), **given)
        assert refusal.status == 403
        if not name.startswith("Head"):
            assert refusal.code == "AccessDenied"
            assert refusal.message.startswith(f"User: {arn_of(house['user'])} is not authorized to perform: s3:")
            assert " action" in refusal.message.rpartition("because no identity-based policy allows the s3:")[2]
    nothing_happened(house)


@pytest.mark.fact("C1", "E4")
@pytest.mark.parametrize("name", KMS)
def test_kms_refuses_a_user_without_rights(house, name):
    client = house["kms"]
    refusal = refused(getattr(client, xform_name(name)), **ask("kms", client, name, house))
    assert refusal.status == 400
    if name == "RetireGrant":  # of one that is not there
        assert refusal.code == "NotFoundException"
    else:
        assert refusal.code == "AccessDeniedException"
        assert refusal.message.startswith(f"User: {arn_of(house['user'])} is not authorized to perform: kms:")
        assert "because no identity-based policy allows the kms:" in refusal.message


def iam_members(house):
    return {
        "UserName": house["victim"],
        "GroupName": house["victim"],
        "RoleName": house["victim"],
        "AssumeRolePolicyDocument": TRUST,
        "Description": "mine now",
        "PolicyName": "p",
        "PolicyArn": house["managed"],
        "PolicyDocument": policy(ALLOW_ALL),
        "PermissionsBoundary": house["managed"],
        "VersionId": "v1",
        "PolicySourceArn": arn_of(house["victim"]),
        "PolicyInputList": [policy(ALLOW_ALL)],
        "ActionNames": ["s3:GetObject"],
        "Tags": [{"Key": "a", "Value": "b"}],
        "TagKeys": ["a"],
        "AccessKeyId": house["who"].access_key_id,
        "Status": "Inactive",
        "AccountAlias": house["victim"],
    }


@pytest.mark.fact("C1", "E4")
@pytest.mark.parametrize("name", IAM)
@pytest.mark.parametrize("where", ["another", "itself"])
def test_iam_refuses_a_user_without_rights(house, iam, name, where):
    """Of another user, and of itself: nobody gives himself rights."""
    client = house["iam"]
    given = ask("iam", client, name, house)
    if where == "itself" and "UserName" in given:
        given["UserName"] = house["user"]
    refusal = refused(getattr(client, xform_name(name)), **given)
    assert (refusal.status, refusal.code) == (403, "AccessDenied")
    assert refusal.message.startswith(
        f"User: {arn_of(house['user'])} is not authorized to perform: {NEEDS['iam', name].action} on"
    )
    assert refusal.message.endswith(f"because no identity-based policy allows the {NEEDS['iam', name].action} action")
    assert iam.list_user_policies(UserName=house["user"])["PolicyNames"] == []
    assert iam.list_attached_user_policies(UserName=house["victim"])["AttachedPolicies"] == []


@pytest.mark.fact("C15", "F3")
@pytest.mark.parametrize("name", STS)
def test_sts_tells_everybody_who_he_is_and_nothing_else(house, name):
    given = ask("sts", house["sts"], name, house)
    call = getattr(house["sts"], xform_name(name))
    if name == "GetCallerIdentity":
        answer = call()
        assert (answer["Account"], answer["Arn"]) == (OWNER, arn_of(house["user"]))
        assert answer["UserId"].startswith("AIDA")
    elif name == "GetSessionToken":  # a session may what its user may, which is nothing: see the matrix of sessions
        assert call()["Credentials"]
    else:
        assert refused(call, **given).status == 403


def test_another_accounts_iam_is_out_of_reach(house, server, stranger):
    """By name one means one's own account; the ARN of another's policy is refused whoever asks."""
    theirs = server.client("iam", stranger)
    assert refused(theirs.get_user, UserName=house["victim"]).code == "NoSuchEntity"
    for call in (theirs.get_policy, theirs.delete_policy):
        assert refused(call, PolicyArn=house["managed"]).code == "AccessDenied"
    name = unique("own")
    theirs.create_user(UserName=name)
    refusal = refused(theirs.attach_user_policy, UserName=name, PolicyArn=house["managed"])
    assert (refusal.code, refusal.message) == ("NoSuchEntity", f"Policy {house['managed']} does not exist or is not attachable.")
    assert name not in {one["UserName"] for one in server.client("iam").list_users()["Users"]}


@pytest.mark.fact("C3", "E4")
def test_one_right_opens_one_operation(server, s3, iam, bucket):
    user, who = new_user(server, iam)
    client = server.client("s3", who)
    resource = f"arn:aws:s3:::{bucket}"
    denied = implicit(arn_of(user), "s3:GetEncryptionConfiguration", f'"{resource}"')
    assert refused(client.get_bucket_encryption, Bucket=bucket).message == denied
    right = {"Effect": "Allow", "Action": "s3:GetEncryptionConfiguration", "Resource": resource}
    iam.put_user_policy(UserName=user, PolicyName="read", PolicyDocument=policy(right))
    expected = s3.get_bucket_encryption(Bucket=bucket)["ServerSideEncryptionConfiguration"]
    assert client.get_bucket_encryption(Bucket=bucket)["ServerSideEncryptionConfiguration"] == expected
    put = {"Bucket": bucket, "ServerSideEncryptionConfiguration": rule("aws:kms")}
    assert refused(client.put_bucket_encryption, **put).message == implicit(
        arn_of(user), "s3:PutEncryptionConfiguration", f'"{resource}"'
    )
    assert refused(client.list_objects_v2, Bucket=bucket).status == 403
    iam.delete_user_policy(UserName=user, PolicyName="read")
    assert refused(client.get_bucket_encryption, Bucket=bucket).message == denied


@pytest.mark.fact("D1", "H1")
def test_rights_to_the_bucket_are_no_rights_to_the_key(server, iam, s3, bucket, key):
    s3.put_bucket_encryption(Bucket=bucket, ServerSideEncryptionConfiguration=rule("aws:kms", key["Arn"]))
    user, who = new_user(server, iam, {"Effect": "Allow", "Action": "s3:*", "Resource": "*"})
    client = server.client("s3", who)
    refusal = refused(client.put_object, Bucket=bucket, Key="k", Body=b"x")
    assert refusal.message.startswith(implicit(arn_of(user), "kms:GenerateDataKey", key["Arn"]))
    write = {"Effect": "Allow", "Action": "kms:GenerateDataKey", "Resource": key["Arn"]}
    iam.put_user_policy(UserName=user, PolicyName="key", PolicyDocument=policy(write))
    client.put_object(Bucket=bucket, Key="k", Body=b"x")
    refusal = refused(client.get_object, Bucket=bucket, Key="k")
    assert (refusal.status, refusal.code) == (403, "AccessDenied")
    assert "kms:Decrypt" in refusal.message
    both = {**write, "Action": ["kms:GenerateDataKey", "kms:Decrypt"]}
    iam.put_user_policy(UserName=user, PolicyName="key", PolicyDocument=policy(both))
    assert client.get_object(Bucket=bucket, Key="k")["Body"].read() == b"x"


@pytest.mark.fact("C1", "C5", "E5", "E7")
def test_denies_boundaries_and_groups(server, iam, bucket):
    user, who = new_user(server, iam, ALLOW_ALL)
    client = server.client("s3", who)
    client.put_object(Bucket=bucket, Key="k", Body=b"x")
    group = unique("group")
    iam.create_group(GroupName=group)
    iam.put_group_policy(
        GroupName=group, PolicyName="no", PolicyDocument=policy({"Effect": "Deny", "Action": "s3:GetObject", "Resource": "*"})
    )
    iam.add_user_to_group(GroupName=group, UserName=user)
    refusal = refused(client.get_object, Bucket=bucket, Key="k")
    assert refusal.message.endswith("with an explicit deny in an identity-based policy")
    iam.remove_user_from_group(GroupName=group, UserName=user)
    client.get_object(Bucket=bucket, Key="k")["Body"].close()
    bound = iam.create_policy(
        PolicyName=unique("bound"), PolicyDocument=policy({"Effect": "Allow", "Action": "s3:Put*", "Resource": "*"})
    )["Policy"]["Arn"]
    iam.put_user_permissions_boundary(UserName=user, PermissionsBoundary=bound)
    client.put_object(Bucket=bucket, Key="k", Body=b"x")
    refusal = refused(client.get_object, Bucket=bucket, Key="k")
    assert refusal.message.endswith("because no permissions boundary allows the s3:GetObject action")
    iam.delete_user_permissions_boundary(UserName=user)
    client.get_object(Bucket=bucket, Key="k")["Body"].close()


@pytest.mark.fact("C3", "C7")
def test_a_bucket_policy_names_a_user(server, iam, s3, bucket):
    user, who = new_user(server, iam)
    client = server.client("s3", who)
    s3.put_object(Bucket=bucket, Key="k", Body=b"x")
    statement = {"Effect": "Allow", "Principal": {"AWS": arn_of(user)}, "Action": "s3:GetObject"}
    document = policy({**statement, "Resource": f"arn:aws:s3:::{bucket}/*"})
    s3.put_bucket_policy(Bucket=bucket, Policy=document)
    assert client.get_object(Bucket=bucket, Key="k")["Body"].read() == b"x"
    assert refused(client.put_object, Bucket=bucket, Key="k", Body=b"y").status == 403
    nobody = document.replace(user, "nobody-here")
    assert refused(s3.put_bucket_policy, Bucket=bucket, Policy=nobody).code == "MalformedPolicy"


@pytest.mark.fact("C27", "C35")
def test_variables_and_conditions_of_identity_policies(server, iam, bucket):
    user, who = new_user(server, iam)
    home = {"Effect": "Allow", "Action": "s3:PutObject", "Resource": f"arn:aws:s3:::{bucket}/${{aws:username}}/*"}
    sealed = {**home, "Condition": {"StringEquals": {"s3:x-amz-server-side-encryption": "AES256"}}}
    iam.put_user_policy(UserName=user, PolicyName="home", PolicyDocument=policy(sealed))
    client = server.client("s3", who)
    client.put_object(Bucket=bucket, Key=f"{user}/k", Body=b"x", ServerSideEncryption="AES256")
    assert refused(client.put_object, Bucket=bucket, Key=f"{user}/k", Body=b"x").status == 403
    assert refused(client.put_object, Bucket=bucket, Key="other/k", Body=b"x", ServerSideEncryption="AES256").status == 403


def test_what_ends_an_access_key(server, iam):
    """Switched off, deleted, its user renamed: from the next request on."""
    user, who = new_user(server, iam)
    sts = server.client("sts", who)
    assert sts.get_caller_identity()["Arn"] == arn_of(user)
    iam.update_user(UserName=user, NewUserName=f"{user}-new", NewPath="/there/")
    assert sts.get_caller_identity()["Arn"] == arn_of(f"there/{user}-new")
    user = f"{user}-new"
    iam.update_access_key(UserName=user, AccessKeyId=who.access_key_id, Status="Inactive")
    assert refused(sts.get_caller_identity).code == "InvalidClientTokenId"
    iam.update_access_key(UserName=user, AccessKeyId=who.access_key_id, Status="Active")
    assert sts.get_caller_identity()["Account"] == OWNER
    wrong = server.client("sts", replace(who, secret_access_key="x" * 40))
    assert refused(wrong.get_caller_identity).code == "SignatureDoesNotMatch"
    iam.delete_access_key(UserName=user, AccessKeyId=who.access_key_id)
    assert refused(sts.get_caller_identity).code == "InvalidClientTokenId"
    iam.delete_user(UserName=user)
    iam.create_user(UserName=user)
    assert refused(sts.get_caller_identity).code == "InvalidClientTokenId"


@pytest.mark.parametrize(
    "operator", ["StringEquals", "StringNotEquals", "StringEqualsIfExists", "ForAllValues:StringLike", "Null"]
)
def test_a_condition_on_a_key_that_cannot_be_told_counts_against_the_user(server, iam, s3, bucket, key, operator):
    s3.put_bucket_encryption(Bucket=bucket, ServerSideEncryptionConfiguration=rule("aws:kms", key["Arn"]))
    condition = {operator: {"kms:SomethingNew": "true" if operator == "Null" else "x"}}
    user, who = new_user(server, iam, ALLOW_ALL)
    client = server.client("s3", who)
    client.put_object(Bucket=bucket, Key="k", Body=b"x")
    narrowed = {"Effect": "Allow", "Action": "kms:*", "Resource": "*", "Condition": condition}
    s3_only = {"Effect": "Allow", "Action": "s3:*", "Resource": "*"}
    for statements in ((ALLOW_ALL, {**narrowed, "Effect": "Deny"}), (s3_only, narrowed)):
        iam.put_user_policy(UserName=user, PolicyName="rights", PolicyDocument=policy(*statements))
        assert refused(client.put_object, Bucket=bucket, Key="k2", Body=b"x").code == "AccessDenied"
        assert refused(client.get_object, Bucket=bucket, Key="k").code == "AccessDenied"
        assert client.head_object(Bucket=bucket, Key="k")["ContentLength"] == 1  # no key is used: nothing to tell
