"""Data folders as programs of their time wrote them: kept here, so that every later Strongroom can be held to reading them.

    python -m tests.upgrade.making NAME [--source CHECKOUT]

starts the server of a checkout (default: this one) on a new folder, has clients of AWS's write everything that it can, asks for it again,
and leaves ``folders/NAME.tar.xz``: the folder as a stopped server left it, and ``asked.json``: each question with its answer. What
that program had not built yet is left out. Keys and credentials in there are of no account but those folders' own.
"""

from __future__ import annotations

import argparse
import base64
import io
import json
import sys
import tarfile
import tempfile
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from botocore.exceptions import ClientError, ParamValidationError

from tests.clients.house import Account, Server

FOLDERS: Final = Path(__file__).parent / "folders"
OWNER: Final = Account("111122223333", "AKIAUPGRADEUPGRADEUP", "an-example-of-a-secret-of-a-test-only-00")
_LEFT_OUT: Final = ("ResponseMetadata", "Owner", "Initiator", "Bucket-region", "RequestCharged")
_LOCKS: Final = frozenset({"server.lock", "upkeep.lock"})


def plain(value: Any) -> Any:
    """An answer as JSON has it: streams and bytes in base64, times as texts, without what is told of the transport."""
    if isinstance(value, dict):
        return {name: plain(member) for name, member in value.items() if name not in _LEFT_OUT}
    if isinstance(value, list):
        return [plain(member) for member in value]
    if isinstance(value, datetime):
        return value.isoformat()
    if hasattr(value, "read"):
        value = value.read()
    return {"base64": base64.b64encode(value).decode()} if isinstance(value, bytes) else value


def given(value: Any) -> Any:
    """The other way, for what is asked."""
    if isinstance(value, dict):
        if set(value) == {"base64"}:
            return base64.b64decode(value["base64"])
        return {name: given(member) for name, member in value.items()}
    return value


class Maker:
    """Writes to a server and asks it; what it answers ``NotImplemented`` to (or to a client too new for it) is left out."""

    def __init__(self, server: Server) -> None:
        self.s3, self.kms, self.iam = (server.client(name) for name in ("s3", "kms", "iam"))
        self.asked: list[dict[str, Any]] = []
        self.left_out: list[str] = []

    def do(self, call: Callable[..., Any], **members: Any) -> Any:
        """The answer, or None when this server cannot do that."""
        try:
            return call(**members)
        except (ClientError, ParamValidationError) as error:
            self.left_out.append(f"{call.__name__}: {error}")
            return None

    def ask(self, service: str, operation: str, **members: Any) -> None:
        found = self.do(getattr(getattr(self, service), operation), **members)
        if found is not None:
            self.asked.append({"service": service, "operation": operation, "given": plain(members), "answer": plain(found)})

    def close(self) -> None:
        for client in (self.s3, self.kms, self.iam):
            client.close()


def _objects(maker: Maker, bucket: str, key_id: str) -> None:
    """Objects of each encryption, in the row and as a file, with metadata, tags and checksums; an upload that goes on."""
    s3 = maker.s3
    body = f"a body in {bucket}\n".encode()
    put: dict[str, dict[str, Any]] = {
        "plain": {},
        "empty": {"Body": b""},
        "described": {"Metadata": {"who": "someone"}, "ContentType": "text/plain", "CacheControl": "no-cache"},
        "summed": {"ChecksumAlgorithm": "SHA256"},
        "kms": {"ServerSideEncryption": "aws:kms"},
        "kms-own": {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": key_id},
        "kms-bucket-key": {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": key_id, "BucketKeyEnabled": True},
        "dsse": {"ServerSideEncryption": "aws:kms:dsse", "SSEKMSKeyId": key_id},
        "tagged": {"Tagging": "colour=blue"},
        "named/ü ~ +": {},
    }
    for name, more in put.items():
        if maker.do(s3.put_object, Bucket=bucket, Key=name, **{"Body": body, **more}) is not None:
            maker.ask("s3", "get_object", Bucket=bucket, Key=name)
    for name in ("parts", "parts-going-on"):
        upload = maker.do(s3.create_multipart_upload, Bucket=bucket, Key=name)
        if upload is None:
            continue
        number = {"Bucket": bucket, "Key": name, "UploadId": upload["UploadId"]}
        part = s3.upload_part(PartNumber=1, Body=body * 7, **number)
        if name == "parts":
            s3.complete_multipart_upload(MultipartUpload={"Parts": [{"PartNumber": 1, "ETag": part["ETag"]}]}, **number)
            maker.ask("s3", "get_object", Bucket=bucket, Key=name)
        else:
            maker.ask("s3", "list_parts", **number)
    maker.do(s3.copy_object, Bucket=bucket, Key="copied", CopySource={"Bucket": bucket, "Key": "plain"})
    maker.ask("s3", "get_object", Bucket=bucket, Key="copied")
    maker.ask("s3", "get_object_tagging", Bucket=bucket, Key="tagged")
    maker.do(s3.put_object_annotation, Bucket=bucket, Key="plain", AnnotationName="note", AnnotationPayload=b"text") if hasattr(
        s3, "put_object_annotation"
    ) else None
    if hasattr(s3, "get_object_annotation"):
        maker.ask("s3", "get_object_annotation", Bucket=bucket, Key="plain", AnnotationName="note")


def _versions(maker: Maker, bucket: str) -> None:
    s3 = maker.s3
    if maker.do(s3.put_bucket_versioning, Bucket=bucket, VersioningConfiguration={"Status": "Enabled"}) is None:
        return
    for text in ("first", "second"):
        version = s3.put_object(Bucket=bucket, Key="versions", Body=text.encode())["VersionId"]
        maker.ask("s3", "get_object", Bucket=bucket, Key="versions", VersionId=version)
    s3.delete_object(Bucket=bucket, Key="versions")
    maker.ask("s3", "list_object_versions", Bucket=bucket)


def _settings(maker: Maker, bucket: str, key_id: str, statement: dict[str, Any]) -> None:
    """A document of each kind that a bucket may have."""
    s3 = maker.s3
    default = {"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "aws:kms", "KMSMasterKeyID": key_id}}
    settings: dict[str, dict[str, Any]] = {
        "bucket_encryption": {"ServerSideEncryptionConfiguration": {"Rules": [{**default, "BucketKeyEnabled": True}]}},
        "bucket_tagging": {"Tagging": {"TagSet": [{"Key": "colour", "Value": "blue"}]}},
        "bucket_cors": {"CORSConfiguration": {"CORSRules": [{"AllowedMethods": ["GET"], "AllowedOrigins": ["*"]}]}},
        "bucket_lifecycle_configuration": {
            "LifecycleConfiguration": {
                "Rules": [{"ID": "one", "Status": "Enabled", "Filter": {"Prefix": "no/"}, "Expiration": {"Days": 9000}}]
            }
        },
        "bucket_ownership_controls": {"OwnershipControls": {"Rules": [{"ObjectOwnership": "BucketOwnerPreferred"}]}},
        "bucket_request_payment": {"RequestPaymentConfiguration": {"Payer": "Requester"}},
        "bucket_website": {"WebsiteConfiguration": {"IndexDocument": {"Suffix": "index.html"}}},
        "bucket_policy": {"Policy": json.dumps({"Version": "2012-10-17", "Statement": [statement]})},
    }
    for name, members in settings.items():
        if maker.do(getattr(s3, f"put_{name}"), Bucket=bucket, **members) is not None:
            maker.ask("s3", f"get_{name}", Bucket=bucket)
    for name in ("public_access_block", "bucket_acl", "bucket_policy_status", "bucket_versioning", "bucket_location"):
        maker.ask("s3", f"get_{name}", Bucket=bucket)


def _people(maker: Maker) -> str:
    """A user, a group and a role; returns whom a policy may name."""
    iam = maker.iam
    trust = {"Effect": "Allow", "Principal": {"AWS": OWNER.arn}, "Action": "sts:AssumeRole"}
    may = json.dumps({"Version": "2012-10-17", "Statement": {"Effect": "Allow", "Action": "s3:GetObject", "Resource": "*"}})
    who = OWNER.arn
    if (made := maker.do(iam.create_user, UserName="someone", Path="/people/")) is not None:
        who = made["User"]["Arn"]
        maker.do(iam.put_user_policy, UserName="someone", PolicyName="may", PolicyDocument=may)
        maker.do(iam.create_access_key, UserName="someone")
        maker.ask("iam", "get_user", UserName="someone")
        maker.ask("iam", "get_user_policy", UserName="someone", PolicyName="may")
        maker.ask("iam", "list_access_keys", UserName="someone")
    if maker.do(iam.create_group, GroupName="some") is not None:
        maker.do(iam.add_user_to_group, GroupName="some", UserName="someone")
        maker.ask("iam", "get_group", GroupName="some")
    document = json.dumps({"Version": "2012-10-17", "Statement": [trust, {**trust, "Principal": {"AWS": who}}]})
    if maker.do(iam.create_role, RoleName="duty", AssumeRolePolicyDocument=document) is not None:
        maker.do(iam.put_role_policy, RoleName="duty", PolicyName="may", PolicyDocument=may)
        maker.ask("iam", "get_role", RoleName="duty")
        maker.ask("iam", "get_role_policy", RoleName="duty", PolicyName="may")
    if (made := maker.do(iam.create_policy, PolicyName="managed", PolicyDocument=may)) is not None:
        arn = made["Policy"]["Arn"]
        maker.do(iam.attach_user_policy, UserName="someone", PolicyArn=arn)
        maker.ask("iam", "get_policy", PolicyArn=arn)
        maker.ask("iam", "list_attached_user_policies", UserName="someone")
    return who


def _keys(maker: Maker, who: str) -> str:
    """Keys of each kind, with what hangs on them; returns the id of one for objects."""
    kms = maker.kms
    key_id: str = kms.create_key(Description="for objects")["KeyMetadata"]["KeyId"]
    maker.do(kms.create_alias, AliasName="alias/objects", TargetKeyId=key_id)
    maker.do(kms.tag_resource, KeyId=key_id, Tags=[{"TagKey": "colour", "TagValue": "blue"}])
    maker.do(kms.enable_key_rotation, KeyId=key_id)
    if who != OWNER.arn:
        root = {"Effect": "Allow", "Principal": {"AWS": OWNER.arn}, "Action": "kms:*", "Resource": "*"}
        statements = [{"Sid": "1", **root}, {**root, "Sid": "2", "Principal": {"AWS": who}, "Action": "kms:Decrypt"}]
        text = json.dumps({"Version": "2012-10-17", "Statement": statements})
        maker.do(kms.put_key_policy, KeyId=key_id, PolicyName="default", Policy=text)
    maker.do(kms.create_grant, KeyId=key_id, GranteePrincipal=who, Operations=["Decrypt"], Name="one")
    old = maker.do(kms.encrypt, KeyId=key_id, Plaintext=b"before", EncryptionContext={"a": "b"})
    maker.do(kms.rotate_key_on_demand, KeyId=key_id)
    new = maker.do(kms.encrypt, KeyId=key_id, Plaintext=b"after", EncryptionContext={"a": "b"})
    for found in (old, new):
        if found is not None:
            maker.ask("kms", "decrypt", CiphertextBlob=found["CiphertextBlob"], EncryptionContext={"a": "b"})
    for operation in ("describe_key", "list_grants", "list_resource_tags", "get_key_rotation_status", "list_aliases"):
        maker.ask("kms", operation, KeyId=key_id)
    maker.ask("kms", "get_key_policy", KeyId=key_id, PolicyName="default")
    for spec, usage in (("ECC_NIST_P256", "SIGN_VERIFY"), ("HMAC_256", "GENERATE_VERIFY_MAC")):
        made = maker.do(kms.create_key, KeySpec=spec, KeyUsage=usage)
        if made is not None:
            maker.ask("kms", "describe_key", KeyId=made["KeyMetadata"]["KeyId"])
            if usage == "SIGN_VERIFY":
                maker.ask("kms", "get_public_key", KeyId=made["KeyMetadata"]["KeyId"])
            else:
                message = {"KeyId": made["KeyMetadata"]["KeyId"], "Message": b"text", "MacAlgorithm": "HMAC_SHA_256"}
                maker.ask("kms", "generate_mac", **message)
    return key_id


def fill(server: Server) -> Maker:
    maker = Maker(server)
    who = _people(maker)
    key_id = _keys(maker, who)
    for bucket in ("first", "second"):
        maker.s3.create_bucket(Bucket=bucket)
        maker.do(maker.s3.delete_public_access_block, Bucket=bucket) if bucket == "second" else None
        allow = {"Effect": "Allow", "Principal": {"AWS": who}, "Action": "s3:GetObject", "Resource": f"arn:aws:s3:::{bucket}/*"}
        _objects(maker, bucket, key_id)
        _versions(maker, bucket)
        if bucket == "second":
            _settings(maker, bucket, key_id, allow)
        maker.ask("s3", "list_objects_v2", Bucket=bucket)
        maker.ask("s3", "list_multipart_uploads", Bucket=bucket)
    maker.ask("s3", "list_buckets")
    maker.close()
    return maker


def _packed(data: Path, asked: list[dict[str, Any]]) -> bytes:
    def without_owner(info: tarfile.TarInfo) -> tarfile.TarInfo | None:
        info.uid = info.gid = 0
        info.uname = info.gname = ""
        return None if Path(info.name).name in _LOCKS else info

    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:xz", preset=9) as file:
        file.add(data, "data", filter=without_owner)
        text = json.dumps(asked, indent=1, sort_keys=True).encode()
        info = tarfile.TarInfo("asked.json")
        info.size = len(text)
        file.addfile(info, io.BytesIO(text))
    return packed.getvalue()


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.upgrade.making", description=__doc__)
    parser.add_argument("name", help="of the new folder: the date and what changed")
    parser.add_argument("--source", type=Path, metavar="CHECKOUT", help="whose server writes it (default: this one's)")
    chosen = parser.parse_args(arguments)
    settings = {} if chosen.source is None else {"PYTHONPATH": str(chosen.source.resolve() / "src")}
    with tempfile.TemporaryDirectory() as folder:
        server = Server(Path(folder), settings, OWNER)
        server.start()
        try:
            maker = fill(server)
            server.stop()
        finally:
            server.close()
        FOLDERS.mkdir(exist_ok=True)
        packed = _packed(server.data, maker.asked)
        (FOLDERS / f"{chosen.name}.tar.xz").write_bytes(packed)
    print(f"{len(maker.asked)} answers, {len(packed):,} bytes; left out:", *maker.left_out, sep="\n  ")
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
