"""Access control lists by boto3: who owns what, what a list says, and whom it lets in beside the policies."""

from __future__ import annotations

import json

import pytest
from botocore import UNSIGNED
from botocore.exceptions import ClientError

from tests.clients.house import OWNER, STRANGER, Account, refused, unique
from tests.clients.test_posts import form_for, post

ALL_USERS = "http://acs.amazonaws.com/groups/global/AllUsers"
AUTHENTICATED = "http://acs.amazonaws.com/groups/global/AuthenticatedUsers"
LOG_DELIVERY = "http://acs.amazonaws.com/groups/s3/LogDelivery"
OPEN = dict.fromkeys(("BlockPublicAcls", "IgnorePublicAcls", "BlockPublicPolicy", "RestrictPublicBuckets"), False)


@pytest.fixture(scope="module")
def who(server, stranger):
    """Everybody's client: owner, root of another account, its users with and without rights, a user of the owner's, nobody."""
    clients = {
        "owner": server.client("s3"),
        "other": server.client("s3", stranger, signature_version="s3v4"),
        "nobody": server.client("s3", signature_version=UNSIGNED),
    }
    everything = {"Statement": {"Effect": "Allow", "Action": "s3:*", "Resource": "*"}}
    for name, account, policy in (
        ("other-user", stranger, everything),
        ("other-powerless", stranger, None),
        ("own-user", None, None),
    ):
        iam = server.client("iam", account)
        iam.create_user(UserName=name)
        if policy is not None:
            iam.put_user_policy(UserName=name, PolicyName="all", PolicyDocument=json.dumps(policy))
        key = iam.create_access_key(UserName=name)["AccessKey"]
        user = Account(STRANGER if account else OWNER, key["AccessKeyId"], key["SecretAccessKey"])
        clients[name] = server.client("s3", user)
    yield clients
    for client in clients.values():
        client.close()


@pytest.fixture(scope="module")
def ids(who):
    return {name: who[name].list_buckets()["Owner"]["ID"] for name in ("owner", "other")}


@pytest.fixture(scope="module")
def shared(who):
    """A bucket in which lists count, and whose public access is not blocked: nobody's list is on it."""
    return listed(who, "ObjectWriter")


def listed(who, ownership):
    name = unique("acl")
    who["owner"].create_bucket(Bucket=name, ObjectOwnership=ownership)
    who["owner"].delete_public_access_block(Bucket=name)
    return name


@pytest.fixture
def fresh(who):
    return listed(who, "ObjectWriter")


def grants(answer):
    return [(one["Grantee"].get("ID") or one["Grantee"]["URI"], one["Permission"]) for one in answer["Grants"]]


def may(call, **given):
    try:
        answer = call(**given)
    except ClientError as error:
        if error.response["ResponseMetadata"]["HTTPStatusCode"] != 403:
            raise
        return False
    if "Body" in answer:
        answer["Body"].read()
    return True


EVERYBODY = {"owner", "other", "other-user", "other-powerless", "own-user", "nobody"}
IN = {"owner"}  # who gets in whatever the list says
CANNED = {
    "private": set(),
    "public-read": {"other", "other-user", "nobody"},
    "public-read-write": {"other", "other-user", "nobody"},
    "authenticated-read": {"other", "other-user"},
    "aws-exec-read": set(),
    "bucket-owner-read": set(),
    "bucket-owner-full-control": set(),
}


class TestCannedOnObjects:
    @pytest.mark.parametrize("canned", sorted(CANNED))
    def test_who_reads_and_who_does_not(self, who, ids, shared, canned):
        """Users need the rights of their own account beside the list; within the owner's account a list gives nothing."""
        who["owner"].put_object(Bucket=shared, Key=canned, Body=b"x", ACL=canned)
        at = {"Bucket": shared, "Key": canned}
        for name in EVERYBODY:
            assert may(who[name].get_object, **at) is (name in IN | CANNED[canned]), name
            assert may(who[name].head_object, **at) is (name in IN | CANNED[canned]), name
            assert may(who[name].get_object_acl, **at) is (name in IN), name
            assert may(who[name].put_object_acl, **at, ACL=canned) is (name in IN), name
            if name != "owner":
                assert not may(who[name].put_object, **at, Body=b"y"), name
                assert not may(who[name].delete_object, **at), name
        expected = {
            "public-read": [(ALL_USERS, "READ")],
            "public-read-write": [(ALL_USERS, "READ"), (ALL_USERS, "WRITE")],
            "authenticated-read": [(AUTHENTICATED, "READ")],
            "aws-exec-read": [("6aa5a366c34c1cbe25dc49211496e913e0351eb0e8c37aa3477e40942ec6b97c", "READ")],
        }.get(canned, [])
        answer = who["owner"].get_object_acl(**at)
        assert grants(answer) == [(ids["owner"], "FULL_CONTROL"), *expected]
        assert answer["Owner"] == {"ID": ids["owner"]}

    def test_an_unknown_name(self, who, shared):
        answer = refused(who["owner"].put_object, Bucket=shared, Key="k", ACL="mine")
        assert (answer.code, answer.members) == ("InvalidArgument", {"ArgumentName": "x-amz-acl", "ArgumentValue": "mine"})


class TestCannedOnBuckets:
    @pytest.mark.parametrize(
        ("canned", "reads", "writes"),
        [
            ("private", set(), set()),
            ("public-read", CANNED["public-read"], set()),
            ("public-read-write", CANNED["public-read"], CANNED["public-read"]),
            ("authenticated-read", CANNED["authenticated-read"], set()),
        ],
    )
    def test_who_lists_and_who_writes(self, who, ids, fresh, canned, reads, writes):
        owner = who["owner"]
        owner.put_object(Bucket=fresh, Key="there", Body=b"x")
        owner.put_bucket_acl(Bucket=fresh, ACL=canned)
        for name in EVERYBODY:
            client = who[name]
            assert may(client.list_objects_v2, Bucket=fresh) is (name in IN | reads), name
            assert may(client.list_object_versions, Bucket=fresh) is (name in IN | reads), name
            assert may(client.list_multipart_uploads, Bucket=fresh) is (name in IN | reads), name
            assert may(client.head_bucket, Bucket=fresh) is (name in IN | reads), name
            assert may(client.get_bucket_acl, Bucket=fresh) is (name in IN), name
            assert may(client.get_object, Bucket=fresh, Key="there") is (name in IN), name
            if name != "owner":
                assert not may(client.put_bucket_acl, Bucket=fresh, ACL=canned), name
                assert may(client.put_object, Bucket=fresh, Key=f"new-{name}", Body=b"x") is (name in writes), name
                assert not may(client.put_object, Bucket=fresh, Key="there", Body=b"y"), name
                assert not may(client.delete_object, Bucket=fresh, Key="there"), name
                assert not may(client.get_bucket_policy, Bucket=fresh), name
        assert grants(owner.get_bucket_acl(Bucket=fresh))[0] == (ids["owner"], "FULL_CONTROL")
        with owner.get_object(Bucket=fresh, Key="there")["Body"] as body:
            assert body.read() == b"x"

    def test_log_delivery(self, who, ids, fresh):
        who["owner"].put_bucket_acl(Bucket=fresh, ACL="log-delivery-write")
        expected = [(ids["owner"], "FULL_CONTROL"), (LOG_DELIVERY, "WRITE"), (LOG_DELIVERY, "READ_ACP")]
        assert grants(who["owner"].get_bucket_acl(Bucket=fresh)) == expected
        assert not may(who["other"].get_bucket_acl, Bucket=fresh)

    def test_a_missing_key_is_told_to_who_may_list(self, who, fresh):
        missing = {"Bucket": fresh, "Key": "none"}
        assert refused(who["nobody"].get_object, **missing).code == "AccessDenied"
        who["owner"].put_bucket_acl(Bucket=fresh, ACL="public-read")
        answer = refused(who["nobody"].get_object, **missing)
        assert (answer.status, answer.code, answer.members) == (404, "NoSuchKey", {"Key": "none"})
        assert refused(who["other"].get_object, **missing, VersionId="null").code == "NoSuchVersion"
        assert refused(who["other-powerless"].get_object, **missing).code == "AccessDenied"


class TestGrants:
    @pytest.mark.parametrize(
        ("permission", "lets"),
        [
            ("READ", {"get_object", "head_object"}),
            ("WRITE", set()),
            ("READ_ACP", {"get_object_acl"}),
            ("WRITE_ACP", {"put_object_acl"}),
            ("FULL_CONTROL", {"get_object", "head_object", "get_object_acl", "put_object_acl"}),
        ],
    )
    def test_each_permission_on_an_object(self, who, ids, shared, permission, lets):
        key = f"grant-{permission}"
        who["owner"].put_object(Bucket=shared, Key=key, Body=b"x")
        policy = policy_of(ids["owner"], {"ID": ids["other"], "Type": "CanonicalUser"}, permission)
        who["owner"].put_object_acl(Bucket=shared, Key=key, AccessControlPolicy=policy)
        for call in ("get_object", "head_object", "get_object_acl", "put_object_acl", "delete_object"):
            more = {"AccessControlPolicy": policy} if call == "put_object_acl" else {}
            for name, has in (("other", True), ("other-user", True), ("other-powerless", False), ("nobody", False)):
                assert may(getattr(who[name], call), Bucket=shared, Key=key, **more) is (has and call in lets), (name, call)

    @pytest.mark.parametrize(
        ("permission", "lets"),
        [
            ("Read", {"list_objects_v2", "head_bucket"}),
            ("Write", {"put_object"}),
            ("ReadACP", {"get_bucket_acl"}),
            ("WriteACP", {"put_bucket_acl"}),
            ("FullControl", {"list_objects_v2", "head_bucket", "put_object", "get_bucket_acl", "put_bucket_acl"}),
        ],
    )
    def test_each_permission_on_a_bucket_by_header(self, who, ids, fresh, permission, lets):
        mine = {"GrantFullControl": f'id="{ids["owner"]}"'}
        theirs = {f"Grant{permission}": f'id="{ids["other"]}"'}
        if permission == "FullControl":
            mine["GrantFullControl"] += f", id={ids['other']}"
            theirs = {}
        who["owner"].put_bucket_acl(Bucket=fresh, **mine, **theirs)
        for call in ("list_objects_v2", "head_bucket", "put_object", "get_bucket_acl", "put_bucket_acl", "delete_bucket"):
            more = {"put_object": {"Key": "k"}, "put_bucket_acl": mine | theirs}.get(call, {})
            for name, has in (("other-user", True), ("other-powerless", False), ("nobody", False)):
                assert may(getattr(who[name], call), Bucket=fresh, **more) is (has and call in lets), (name, call)

    def test_by_email(self, who, ids, server, shared):
        words = ("account", "create", unique("mailed"), "--email", "Ann@example.org", "--data", str(server.data))
        server.run(*words)
        key = {"Bucket": shared, "Key": "mail"}
        who["owner"].put_object(**key, Body=b"x", GrantRead='emailAddress="ann@example.org"')
        ((grantee, permission),) = grants(who["owner"].get_object_acl(**key))
        assert permission == "READ"
        assert len(grantee) == 64
        assert grantee not in ids.values()
        policy = policy_of(ids["owner"], {"EmailAddress": "ann@example.org", "Type": "AmazonCustomerByEmail"}, "READ_ACP")
        who["owner"].put_object_acl(**key, AccessControlPolicy=policy)
        assert grants(who["owner"].get_object_acl(**key)) == [(grantee, "READ_ACP")]
        answer = refused(who["owner"].put_object_acl, **key, GrantRead="emailAddress=bob@example.org")
        assert (answer.status, answer.code) == (400, "UnresolvableGrantByEmailAddress")
        server.run("account", "create", unique("mailed"), "--email", "ann@example.org", "--data", str(server.data))
        answer = refused(who["owner"].put_object_acl, **key, GrantRead="emailAddress=ann@example.org")
        assert (answer.status, answer.code) == (400, "AmbiguousGrantByEmailAddress")

    def test_a_deny_outweighs_a_list(self, who, fresh):
        who["owner"].put_object(Bucket=fresh, Key="k", Body=b"x", ACL="public-read")
        assert may(who["nobody"].get_object, Bucket=fresh, Key="k")
        deny = {"Effect": "Deny", "Principal": "*", "Action": "s3:GetObject", "Resource": f"arn:aws:s3:::{fresh}/*"}
        deny["Condition"] = {"StringNotEquals": {"aws:PrincipalAccount": OWNER}}
        who["owner"].put_bucket_policy(Bucket=fresh, Policy=json.dumps({"Statement": deny}))
        assert not may(who["nobody"].get_object, Bucket=fresh, Key="k")
        assert not may(who["other"].get_object, Bucket=fresh, Key="k")
        assert may(who["owner"].get_object, Bucket=fresh, Key="k")


def policy_of(owner, grantee, permission):
    return {"Owner": {"ID": owner}, "Grants": [{"Grantee": grantee, "Permission": permission}]}


class TestWhatIsRefused:
    def test_forms(self, who, ids, shared, server):
        owner = who["owner"]
        owner.put_object(Bucket=shared, Key="forms", Body=b"x")
        at = {"Bucket": shared, "Key": "forms"}
        reader = {"ID": ids["other"], "Type": "CanonicalUser"}
        both = refused(owner.put_object_acl, **at, ACL="private", GrantRead=f"id={ids['other']}")
        assert (both.code, both.message) == ("InvalidRequest", "Specifying both Canned ACLs and Header Grants is not allowed")
        answer = refused(owner.put_object_acl, **at, ACL="private", AccessControlPolicy=policy_of(ids["owner"], reader, "READ"))
        assert (answer.status, answer.code) == (400, "UnexpectedContent")
        nothing = server.ask("PUT", f"/{shared}/forms?acl")
        assert (nothing.error[:2], nothing.members["MissingHeaderName"]) == ((400, "MissingSecurityHeader"), "x-amz-acl")
        wrong = refused(owner.put_object_acl, **at, AccessControlPolicy=policy_of(ids["other"], reader, "READ"))
        assert (wrong.status, wrong.code) == (403, "AccessDenied")
        for grantee, message, argument in (
            ({"ID": "5" * 64, "Type": "CanonicalUser"}, "Invalid id", "CanonicalUser/ID"),
            ({"URI": "http://example.org", "Type": "Group"}, "Invalid group uri", "Group/URI"),
        ):
            answer = refused(owner.put_object_acl, **at, AccessControlPolicy=policy_of(ids["owner"], grantee, "READ"))
            assert (answer.code, answer.message, answer.members["ArgumentName"]) == ("InvalidArgument", message, argument)
        for header, message in (
            ("id=5", "Invalid id"),
            ("name=x", "Argument format not recognized"),
            ("uri=x", "Invalid group uri"),
        ):
            answer = refused(owner.put_object_acl, **at, GrantRead=header)
            assert (answer.code, answer.message) == ("InvalidArgument", message)
        assert grants(owner.get_object_acl(**at)) == [(ids["owner"], "FULL_CONTROL")]

    def test_documents(self, who, ids, shared, server):
        who["owner"].put_object(Bucket=shared, Key="documents", Body=b"x")
        for document in ("<AccessControlPolicy/>", "<AccessControlPolicy><Owner><ID>x</ID></Owner></AccessControlPolicy>", "<x"):
            answer = server.ask("PUT", f"/{shared}/documents?acl", body=document.encode())
            assert answer.error[:2] == (400, "MalformedACLError"), document
        many = {"Owner": {"ID": ids["owner"]}, "Grants": []}
        many["Grants"] = [{"Grantee": {"ID": ids["other"], "Type": "CanonicalUser"}, "Permission": "READ"}] * 100
        who["owner"].put_object_acl(Bucket=shared, Key="documents", AccessControlPolicy=many)
        assert len(who["owner"].get_object_acl(Bucket=shared, Key="documents")["Grants"]) == 100
        many["Grants"].append(many["Grants"][0])
        assert (
            refused(who["owner"].put_object_acl, Bucket=shared, Key="documents", AccessControlPolicy=many).code
            == "MalformedACLError"
        )

    @pytest.mark.fact("E20")
    def test_e20_where_ownership_is_enforced(self, who, ids, bucket, s3):
        s3.put_object(Bucket=bucket, Key="k", Body=b"x", ACL="bucket-owner-full-control")
        for call, given in (
            (s3.put_bucket_acl, {"ACL": "private"}),
            (s3.put_object_acl, {"Key": "k", "ACL": "bucket-owner-full-control"}),
            (s3.put_object, {"Key": "k", "ACL": "public-read"}),
            (s3.create_multipart_upload, {"Key": "k", "GrantRead": f"id={ids['other']}"}),
            (s3.copy_object, {"Key": "l", "CopySource": f"{bucket}/k", "ACL": "authenticated-read"}),
        ):
            answer = refused(call, Bucket=bucket, **given)
            assert (answer.status, answer.code, answer.message) == (
                400,
                "AccessControlListNotSupported",
                "The bucket does not allow ACLs",
            )
        for answer in (s3.get_bucket_acl(Bucket=bucket), s3.get_object_acl(Bucket=bucket, Key="k")):
            assert (answer["Owner"], grants(answer)) == ({"ID": ids["owner"]}, [(ids["owner"], "FULL_CONTROL")])


class TestOwnershipControls:
    @pytest.mark.fact("E17", "E19")
    def test_e17_e19_put_got_and_deleted(self, s3, bucket):
        assert s3.get_bucket_ownership_controls(Bucket=bucket)["OwnershipControls"]["Rules"] == [
            {"ObjectOwnership": "BucketOwnerEnforced"}
        ]
        for one in ("ObjectWriter", "BucketOwnerPreferred", "BucketOwnerEnforced"):
            rules = {"Rules": [{"ObjectOwnership": one}]}
            s3.put_bucket_ownership_controls(Bucket=bucket, OwnershipControls=rules)
            assert s3.get_bucket_ownership_controls(Bucket=bucket)["OwnershipControls"] == rules
        for _ in range(2):
            deleted = s3.delete_bucket_ownership_controls(Bucket=bucket)
            assert deleted["ResponseMetadata"]["HTTPStatusCode"] == 204
        missing = refused(s3.get_bucket_ownership_controls, Bucket=bucket)
        assert (missing.status, missing.code, missing.message, missing.members) == (
            404,
            "OwnershipControlsNotFoundError",
            "The bucket ownership controls were not found",
            {"BucketName": bucket},
        )
        s3.put_bucket_acl(Bucket=bucket, ACL="private")  # lists count again

    @pytest.mark.fact("E21", "E22")
    def test_e21_e22_at_creation(self, s3, ids):
        name = unique()
        for given, code, message in (
            (
                {"ACL": "public-read"},
                "InvalidBucketAclWithObjectOwnership",
                "Bucket cannot have ACLs set with ObjectOwnership's BucketOwnerEnforced setting",
            ),
            ({"ObjectOwnership": "Mine"}, "InvalidArgument", "Invalid x-amz-object-ownership header: Mine"),
            (
                {"ACL": "public-read", "ObjectOwnership": "ObjectWriter"},
                "InvalidBucketAclWithBlockPublicAccessError",
                "Bucket cannot have public ACLs set with BlockPublicAccess enabled",
            ),
        ):
            answer = refused(s3.create_bucket, Bucket=name, **given)
            assert (answer.status, answer.code, answer.message) == (400, code, message)
        s3.create_bucket(Bucket=name, ObjectOwnership="BucketOwnerPreferred", GrantRead=f"id={ids['other']}")
        assert grants(s3.get_bucket_acl(Bucket=name)) == [(ids["other"], "READ")]
        controls = {"Rules": [{"ObjectOwnership": "BucketOwnerEnforced"}]}
        shared = refused(s3.put_bucket_ownership_controls, Bucket=name, OwnershipControls=controls)
        assert (shared.status, shared.code) == (400, "InvalidBucketAclWithObjectOwnership")
        s3.create_bucket(Bucket=name)  # once more: as in us-east-1 on AWS, its list is its owner's alone
        assert grants(s3.get_bucket_acl(Bucket=name)) == [(ids["owner"], "FULL_CONTROL")]
        s3.put_bucket_ownership_controls(Bucket=name, OwnershipControls=controls)

    def test_a_malformed_document(self, server, bucket):
        for body in (
            b"<OwnershipControls/>",
            b"<OwnershipControls><Rule><ObjectOwnership>x</ObjectOwnership></Rule></OwnershipControls>",
        ):
            assert server.ask("PUT", f"/{bucket}?ownershipControls", body=body).error[:2] == (400, "MalformedXML")


def let_write(who, bucket, account=STRANGER):
    actions = ["s3:PutObject", "s3:GetObject"]
    allow = {"Effect": "Allow", "Principal": {"AWS": account}, "Action": actions, "Resource": f"arn:aws:s3:::{bucket}/*"}
    who["owner"].put_bucket_policy(Bucket=bucket, Policy=json.dumps({"Statement": allow}))


class TestObjectsOfOthers:
    def test_the_writer_owns_it_and_its_reader_is_its_own_choice(self, who, ids, fresh):
        owner, other = who["owner"], who["other"]
        let_write(who, fresh)
        at = {"Bucket": fresh, "Key": "theirs"}
        other.put_object(**at, Body=b"x")
        assert may(other.get_object, **at)
        assert may(who["other-user"].get_object, **at)
        assert not may(who["other-powerless"].get_object, **at)
        denied = refused(owner.get_object, **at)
        assert (denied.status, denied.message) == (403, "Access Denied")
        assert not may(owner.get_object_acl, **at)
        assert not may(owner.put_object_acl, **at, ACL="public-read")
        assert not may(owner.copy_object, Bucket=fresh, Key="copy", CopySource=f"{fresh}/theirs")
        assert not may(owner.get_object_attributes, **at, ObjectAttributes=["ETag"])
        assert owner.list_objects(Bucket=fresh)["Contents"][0]["Owner"] == {"ID": ids["other"]}
        assert owner.list_objects_v2(Bucket=fresh, FetchOwner=True)["Contents"][0]["Owner"] == {"ID": ids["other"]}
        assert owner.list_object_versions(Bucket=fresh)["Versions"][0]["Owner"] == {"ID": ids["other"]}
        other.put_object_acl(**at, ACL="bucket-owner-full-control")
        assert grants(owner.get_object_acl(**at)) == [(ids["other"], "FULL_CONTROL"), (ids["owner"], "FULL_CONTROL")]
        assert may(owner.get_object, **at)
        assert not may(who["own-user"].get_object, **at)
        owner.delete_object(**at)  # whosever it is

    def test_a_policy_of_the_bucket_opens_its_owner_s_objects_alone(self, who, fresh):
        everybody = {"Effect": "Allow", "Principal": "*", "Action": "s3:GetObject", "Resource": f"arn:aws:s3:::{fresh}/*"}
        theirs = {
            "Effect": "Allow",
            "Principal": {"AWS": STRANGER},
            "Action": "s3:PutObject",
            "Resource": f"arn:aws:s3:::{fresh}/*",
        }
        who["owner"].put_bucket_policy(Bucket=fresh, Policy=json.dumps({"Statement": [everybody, theirs]}))
        who["owner"].put_object(Bucket=fresh, Key="mine", Body=b"x")
        who["other"].put_object(Bucket=fresh, Key="theirs", Body=b"x")
        assert may(who["nobody"].get_object, Bucket=fresh, Key="mine")
        assert not may(who["nobody"].get_object, Bucket=fresh, Key="theirs")
        assert not may(who["owner"].get_object, Bucket=fresh, Key="theirs")
        block = {**OPEN, "RestrictPublicBuckets": True}
        who["owner"].put_public_access_block(Bucket=fresh, PublicAccessBlockConfiguration=block)
        assert not may(who["other"].get_object, Bucket=fresh, Key="theirs")  # kept out, though it is theirs

    def test_preferred_leaves_what_is_given_up_to_the_bucket_s_owner(self, who, ids):
        bucket = listed(who, "BucketOwnerPreferred")
        let_write(who, bucket)
        other = who["other"]
        other.put_object(Bucket=bucket, Key="given", Body=b"x", ACL="bucket-owner-full-control")
        other.put_object(Bucket=bucket, Key="kept", Body=b"x")
        owners = {one["Key"]: one["Owner"]["ID"] for one in who["owner"].list_objects(Bucket=bucket)["Contents"]}
        assert owners == {"given": ids["owner"], "kept": ids["other"]}
        assert may(who["owner"].get_object, Bucket=bucket, Key="given")

    def test_enforcing_ends_it_and_lists_come_back_when_it_ends(self, who, ids, fresh):
        let_write(who, fresh)
        at = {"Bucket": fresh, "Key": "k"}
        who["other"].put_object(**at, Body=b"x", ACL="public-read")
        assert may(who["nobody"].get_object, **at)
        enforced = {"Rules": [{"ObjectOwnership": "BucketOwnerEnforced"}]}
        who["owner"].put_bucket_ownership_controls(Bucket=fresh, OwnershipControls=enforced)
        assert not may(who["nobody"].get_object, **at)
        assert may(who["owner"].get_object, **at)
        assert who["owner"].get_object_acl(**at)["Owner"] == {"ID": ids["owner"]}
        assert who["owner"].list_objects(Bucket=fresh)["Contents"][0]["Owner"] == {"ID": ids["owner"]}
        who["owner"].delete_bucket_ownership_controls(Bucket=fresh)
        assert may(who["nobody"].get_object, **at)
        assert not may(who["owner"].get_object_acl, **at)

    def test_each_way_of_writing(self, who, ids, fresh, server, stranger):
        let_write(who, fresh)
        other = who["other"]
        other.put_object(Bucket=fresh, Key="source", Body=b"x", ACL="public-read")
        other.copy_object(Bucket=fresh, Key="copied", CopySource=f"{fresh}/source")
        upload = other.create_multipart_upload(Bucket=fresh, Key="parts", ACL="public-read")["UploadId"]
        shown = who["owner"].list_multipart_uploads(Bucket=fresh)["Uploads"][0]
        assert shown["Owner"] == {"ID": ids["other"]}
        part = other.upload_part(Bucket=fresh, Key="parts", UploadId=upload, PartNumber=1, Body=b"x")["ETag"]
        done = {"Parts": [{"PartNumber": 1, "ETag": part}]}
        other.complete_multipart_upload(Bucket=fresh, Key="parts", UploadId=upload, MultipartUpload=done)
        assert post(server, fresh, form_for(other, fresh, key="posted", acl="public-read")).status == 204
        public = {"source": True, "copied": False, "parts": True, "posted": True}
        for key, opened in public.items():
            assert other.get_object_acl(Bucket=fresh, Key=key)["Owner"] == {"ID": ids["other"]}, key
            assert may(who["nobody"].get_object, Bucket=fresh, Key=key) is opened, key

    def test_what_nobody_signed_is_the_bucket_owner_s(self, who, ids, fresh):
        who["owner"].put_bucket_acl(Bucket=fresh, ACL="public-read-write")
        who["nobody"].put_object(Bucket=fresh, Key="k", Body=b"x")
        assert who["owner"].get_object_acl(Bucket=fresh, Key="k")["Owner"] == {"ID": ids["owner"]}
        assert not may(who["nobody"].get_object, Bucket=fresh, Key="k")
        assert not may(who["nobody"].put_object, Bucket=fresh, Key="k", Body=b"y")
        assert not may(who["nobody"].put_object, Bucket=fresh, Key="l", Body=b"y", ACL="public-read")

    def test_write_lets_replace_and_delete_one_s_own_alone(self, who, fresh):
        who["owner"].put_bucket_acl(Bucket=fresh, ACL="public-read-write")
        at = {"Bucket": fresh, "Key": "k"}
        assert may(who["other"].put_object, **at, Body=b"x")
        assert may(who["other-user"].put_object, **at, Body=b"y")
        assert not may(who["nobody"].put_object, **at, Body=b"z")
        assert not may(who["nobody"].delete_object, **at)
        answer = who["nobody"].delete_objects(Bucket=fresh, Delete={"Objects": [{"Key": "k"}]})
        assert [one["Code"] for one in answer["Errors"]] == ["AccessDenied"]
        assert may(who["other"].delete_object, **at)

    def test_versions_have_lists_of_their_own(self, who, ids, fresh):
        owner = who["owner"]
        owner.put_bucket_versioning(Bucket=fresh, VersioningConfiguration={"Status": "Enabled"})
        first = owner.put_object(Bucket=fresh, Key="k", Body=b"1")["VersionId"]
        second = owner.put_object(Bucket=fresh, Key="k", Body=b"2")["VersionId"]
        owner.put_object_acl(Bucket=fresh, Key="k", VersionId=first, ACL="public-read")
        assert may(who["nobody"].get_object, Bucket=fresh, Key="k", VersionId=first)
        assert not may(who["nobody"].get_object, Bucket=fresh, Key="k", VersionId=second)
        assert not may(who["nobody"].get_object, Bucket=fresh, Key="k")
        copy = {"Bucket": fresh, "Key": "c"}
        let_write(who, fresh)
        assert may(who["other"].copy_object, **copy, CopySource=f"{fresh}/k?versionId={first}")
        marker = owner.delete_object(Bucket=fresh, Key="k")["VersionId"]
        assert refused(owner.get_object_acl, Bucket=fresh, Key="k").code == "NoSuchKey"
        assert refused(owner.get_object_acl, Bucket=fresh, Key="k", VersionId=marker).status == 405
        with owner.get_object(Bucket=fresh, Key="k", VersionId=first)["Body"] as body:
            assert body.read() == b"1"
        assert grants(owner.get_object_acl(Bucket=fresh, Key="k", VersionId=second)) == [(ids["owner"], "FULL_CONTROL")]

    def test_locks_are_the_bucket_s_to_set(self, who, ids):
        """Whosever the object is: what its owner and its list say is about reading it, and about the list."""
        bucket = unique("acl")
        who["owner"].create_bucket(Bucket=bucket, ObjectOwnership="ObjectWriter", ObjectLockEnabledForBucket=True)
        let_write(who, bucket)
        version = who["other"].put_object(Bucket=bucket, Key="k", Body=b"x")["VersionId"]
        at = {"Bucket": bucket, "Key": "k", "VersionId": version}
        who["owner"].put_object_legal_hold(**at, LegalHold={"Status": "ON"})
        assert who["owner"].get_object_legal_hold(**at)["LegalHold"] == {"Status": "ON"}
        assert not may(who["other"].put_object_legal_hold, **at, LegalHold={"Status": "OFF"})
        assert not may(who["owner"].get_object, **at)
        who["owner"].put_object_legal_hold(**at, LegalHold={"Status": "OFF"})

    def test_a_user_needs_the_right_to_put_the_list(self, who, server, fresh):
        iam = server.client("iam")
        allow = {"Effect": "Allow", "Action": ["s3:PutObject"], "Resource": f"arn:aws:s3:::{fresh}/*"}
        iam.put_user_policy(UserName="own-user", PolicyName="put", PolicyDocument=json.dumps({"Statement": allow}))
        user = who["own-user"]
        user.put_object(Bucket=fresh, Key="k", Body=b"x")
        denied = refused(user.put_object, Bucket=fresh, Key="k", Body=b"x", ACL="public-read")
        assert denied.message.endswith("because no identity-based policy allows the s3:PutObjectAcl action")
        allow["Action"].append("s3:PutObjectAcl")
        iam.put_user_policy(UserName="own-user", PolicyName="put", PolicyDocument=json.dumps({"Statement": allow}))
        user.put_object(Bucket=fresh, Key="k", Body=b"x", ACL="public-read")
        iam.delete_user_policy(UserName="own-user", PolicyName="put")


class TestPublicAccess:
    @pytest.mark.fact("E8", "E9")
    def test_e8_e9_public_lists_are_blocked_and_ignored(self, who, ids, fresh):
        owner = who["owner"]
        owner.put_object(Bucket=fresh, Key="k", Body=b"x", ACL="public-read")
        owner.put_public_access_block(Bucket=fresh, PublicAccessBlockConfiguration={**OPEN, "IgnorePublicAcls": True})
        assert not may(who["nobody"].get_object, Bucket=fresh, Key="k")
        assert (ALL_USERS, "READ") in grants(owner.get_object_acl(Bucket=fresh, Key="k"))  # it is there, without effect
        owner.put_public_access_block(Bucket=fresh, PublicAccessBlockConfiguration={**OPEN, "BlockPublicAcls": True})
        assert may(who["nobody"].get_object, Bucket=fresh, Key="k")  # what was there before
        for call, given, action, resource in (
            (owner.put_object, {"Key": "k", "ACL": "public-read"}, "s3:PutObject", f"{fresh}/k"),
            (owner.put_object_acl, {"Key": "k", "ACL": "authenticated-read"}, "s3:PutObjectAcl", f"{fresh}/k"),
            (owner.put_bucket_acl, {"ACL": "public-read"}, "s3:PutBucketAcl", fresh),
            (owner.put_bucket_acl, {"GrantRead": f"uri={ALL_USERS}"}, "s3:PutBucketAcl", fresh),
        ):
            denied = refused(call, Bucket=fresh, **given)
            assert (denied.status, denied.code) == (403, "AccessDenied")
            assert denied.message == (
                f'User: arn:aws:iam::{OWNER}:root is not authorized to perform: {action} on resource: "arn:aws:s3:::{resource}" '
                "because public ACLs are prevented by the BlockPublicAcls setting in S3 Block Public Access."
            )
        owner.put_object(Bucket=fresh, Key="k", Body=b"x", GrantRead=f"id={ids['other']}")
        assert may(who["other"].get_object, Bucket=fresh, Key="k")


class TestConditions:
    @pytest.mark.parametrize(
        ("key", "value", "sent"),
        [
            ("s3:x-amz-acl", "public-read", {"ACL": "public-read"}),
            ("s3:x-amz-grant-read", "id=x", {"GrantRead": "id=x"}),
            ("s3:x-amz-storage-class", "STANDARD_IA", {"StorageClass": "STANDARD_IA"}),
            ("s3:x-amz-copy-source", "{bucket}/a%20b", {"CopySource": "{bucket}/a b"}),
            ("s3:x-amz-metadata-directive", "REPLACE", {"CopySource": "{bucket}/k", "MetadataDirective": "REPLACE"}),
        ],
    )
    @pytest.mark.fact("C43", "C45")
    def test_c43_c45_what_a_write_says(self, who, fresh, key, value, sent):
        owner = who["owner"]
        for name in ("k", "a b"):
            owner.put_object(Bucket=fresh, Key=name, Body=b"x")
        deny = {"Effect": "Deny", "Principal": "*", "Action": "s3:PutObject", "Resource": f"arn:aws:s3:::{fresh}/*"}
        deny["Condition"] = {"StringEquals": {key: value.format(bucket=fresh)}}
        owner.put_bucket_policy(Bucket=fresh, Policy=json.dumps({"Statement": deny}))
        call = owner.copy_object if "CopySource" in sent else owner.put_object
        given = {name: text.format(bucket=fresh) for name, text in sent.items()}
        assert "explicit deny" in refused(call, Bucket=fresh, Key="new", **given).message
        owner.put_object(Bucket=fresh, Key="new", Body=b"x")

    def test_full_control_may_be_demanded(self, who, fresh):
        allow = {
            "Effect": "Allow",
            "Principal": {"AWS": STRANGER},
            "Action": "s3:PutObject",
            "Resource": f"arn:aws:s3:::{fresh}/*",
        }
        allow["Condition"] = {"StringEquals": {"s3:x-amz-acl": "bucket-owner-full-control"}}
        who["owner"].put_bucket_policy(Bucket=fresh, Policy=json.dumps({"Statement": allow}))
        assert not may(who["other"].put_object, Bucket=fresh, Key="k", Body=b"x")
        assert may(who["other"].put_object, Bucket=fresh, Key="k", Body=b"x", ACL="bucket-owner-full-control")
        assert may(who["owner"].get_object, Bucket=fresh, Key="k")

    def test_object_ownership(self, who, fresh):
        deny = {
            "Effect": "Deny",
            "Principal": "*",
            "Action": "s3:PutBucketOwnershipControls",
            "Resource": f"arn:aws:s3:::{fresh}",
        }
        deny["Condition"] = {"StringNotEquals": {"s3:x-amz-object-ownership": "BucketOwnerEnforced"}}
        who["owner"].put_bucket_policy(Bucket=fresh, Policy=json.dumps({"Statement": deny}))
        for one, allowed in (("ObjectWriter", False), ("BucketOwnerEnforced", True)):
            controls = {"Rules": [{"ObjectOwnership": one}]}
            assert may(who["owner"].put_bucket_ownership_controls, Bucket=fresh, OwnershipControls=controls) is allowed
