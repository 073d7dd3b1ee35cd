"""A gate over a tiny room, and requests signed by botocore: what the tests of the edge share."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

from botocore.auth import S3SigV4Auth, S3SigV4QueryAuth, SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from strongroom.api.errors import ApiError
from strongroom.api.operation import Answer, Call, Register, operation
from strongroom.edge.gate import EdgeSettings, Gate, Seen
from strongroom.edge.head import Head
from strongroom.iam.callers import Caller, Credential
from strongroom.iam.errors import BadToken
from strongroom.policy.cross_origin import CorsRule
from strongroom.policy.decide import Authority

ACCOUNT = "123456789012"
OTHER = "210987654321"
ACCESS_KEY = "AKIAIOSFODNN7EXAMPLE"
FOREIGN_KEY = "AKIAI44QH8DHBEXAMPLE"
USER_KEY = "AKIAIUSERUSEREXAMPLE"
SESSION_KEY = "ASIASESSIONNEXAMPLE1"
SESSION_TOKEN = "session-token"
EXPIRES = datetime(2026, 5, 4, 12, tzinfo=UTC)  # the end of that session
SECRET = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"
ORIGIN = "http://127.0.0.1:9000"


def caller(account: str, access_key_id: str, arn: str = "") -> Caller:
    return Caller(account, arn or f"arn:aws:iam::{account}:root", account, "0" * 64, "somebody", access_key_id)


class TinyCallers:
    """Three credentials with one secret."""

    def __init__(self) -> None:
        user = caller(ACCOUNT, USER_KEY, f"arn:aws:iam::{ACCOUNT}:user/ann")
        callers = [caller(ACCOUNT, ACCESS_KEY), caller(OTHER, FOREIGN_KEY), user]
        self._credentials = {each.access_key_id: Credential(each, SECRET) for each in callers}

    def cached(self, access_key_id: str) -> Credential | None:
        return None

    async def credential(self, access_key_id: str) -> Credential | None:
        return self._credentials.get(access_key_id)

    async def session(self, access_key_id: str, token: str) -> Credential | None:
        if (access_key_id, token) != (SESSION_KEY, SESSION_TOKEN):
            raise BadToken
        who = caller(ACCOUNT, SESSION_KEY)
        return Credential(who, SECRET, SESSION_TOKEN, expires_ms=int(EXPIRES.timestamp() * 1000))


@dataclass(frozen=True)
class TinyPlace:
    account_id: str
    region: str
    cors: tuple[CorsRule, ...] = ()
    requester_pays: bool = False

    @property
    def authority(self) -> Authority:
        return Authority(self.account_id)


PLACES = {"bucket": TinyPlace(ACCOUNT, "eu-west-1"), "other": TinyPlace(OTHER, "eu-west-1")}


async def place(name: str) -> TinyPlace | None:
    return PLACES.get(name)


async def of_object(_arn: str, _version_id: str | None) -> None:
    """Lists count nowhere here."""


async def authority(_action: str, arn: str, _about: Any) -> Authority:
    if not arn.startswith("arn:aws:s3"):
        return Authority(arn.split(":")[4])
    found = PLACES.get(arn.removeprefix("arn:aws:s3:::").split("/")[0])
    if found is None:
        raise ApiError("NoSuchBucket", BucketName=arn.removeprefix("arn:aws:s3:::").split("/")[0])
    return Authority(found.account_id)


async def known(given: Any) -> dict[str, str]:
    return {}


async def existing(resource: str, version_id: str | None) -> dict[str, str]:
    raise AssertionError(f"no policy asks for values of {resource}")


class TinyRoom:
    """Keeps objects in a dict; some keys ask for trouble."""

    def __init__(self) -> None:
        self.objects: dict[str, bytes] = {}
        self.last: Call | None = None

    @operation("s3", "PutObject", "s3:PutObject", on="object")
    @operation("s3", "PostObject", "s3:PutObject", on="object")
    async def put_object(self, call: Call) -> Answer:
        self.last = call
        call.body.want("md5")
        if call.input["Key"] == "refused":
            raise ApiError("InvalidRequest", "refused before reading")
        pieces = [piece async for piece in call.body]
        self.objects[call.input["Key"]] = b"".join(pieces)
        output: dict[str, Any] = {"ETag": f'"{call.body.digest("md5").hex()}"'}
        claimed = call.body.claimed_checksum
        if claimed is not None:
            output[f"Checksum{claimed[0]}"] = claimed[1]
        return Answer(output)

    @operation("s3", "GetObject", "s3:GetObject", on="object", with_version="s3:GetObjectVersion")
    async def get_object(self, call: Call) -> Answer:
        self.last = call
        key = call.input["Key"]
        if key == "boom":
            raise RuntimeError(f"the secret is {SECRET}")
        if key == "unsized":
            return Answer(body=_stream(b"abc", fail=False))
        if key not in self.objects:
            raise ApiError("NoSuchKey", Key=key)
        data = self.objects[key]
        if key.startswith("stream"):
            length = len(data) + (10 if key == "stream-short" else 0)
            return Answer({"ContentLength": length}, body=_stream(data, fail=key == "stream-fails"), length=length)
        return Answer({"ContentLength": len(data)}, body=data, length=len(data))

    @operation("s3", "HeadObject", "s3:GetObject", on="object")
    async def head_object(self, call: Call) -> Answer:
        return Answer({"ContentLength": len(self.objects[call.input["Key"]])})

    @operation("s3", "CreateBucket", "s3:CreateBucket", on="service")
    async def create_bucket(self, call: Call) -> Answer:
        return Answer({"Location": f"/{call.input['Bucket']}"})

    @operation("s3", "DeleteObjects", "s3:DeleteObject", on="run")
    async def delete_objects(self, call: Call) -> Answer:
        for each in call.input["Delete"]["Objects"]:
            if each["Key"] != "unasked":
                await call.allow("s3:DeleteObject", f"arn:aws:s3:::{call.input['Bucket']}/{each['Key']}")
        return Answer({"Deleted": call.input["Delete"]["Objects"]})

    @operation("s3", "PutBucketVersioning", "s3:PutBucketVersioning", on="bucket")
    async def put_bucket_versioning(self, call: Call) -> Answer:
        return Answer()

    @operation("kms", "DescribeKey", "kms:DescribeKey", on="run")
    async def describe_key(self, call: Call) -> Answer:
        await call.allow("kms:DescribeKey", call.input["KeyId"])
        return Answer({"KeyMetadata": {"KeyId": "abc"}})

    @operation("sts", "GetCallerIdentity", "sts:GetCallerIdentity", on="nobody")
    async def identity(self, call: Call) -> Answer:
        return Answer({"Account": call.caller.account_id, "Arn": call.caller.arn, "UserId": call.caller.user_id})


async def _stream(data: bytes, *, fail: bool) -> AsyncIterator[bytes]:
    yield data[: len(data) // 2]
    if fail:
        raise OSError("the disk is gone")
    yield data[len(data) // 2 :]


def tiny_gate(settings: EdgeSettings | None = None, clock: Any = None, observe: Any = None) -> tuple[Gate, TinyRoom]:
    room = TinyRoom()
    gate = Gate(
        register=Register([room]),
        callers=TinyCallers(),  # type: ignore[arg-type]
        place=place,
        place_at_once=lambda _: None,
        authority=authority,
        of_object=of_object,
        known=known,
        existing=existing,
        settings=settings or EdgeSettings(),
        clock=clock or (lambda: datetime.now(UTC)),
        observe=observe,
    )
    return gate, room


@dataclass
class Asked:
    """A request, ready to be sent."""

    method: str
    target: str  # path and query as sent
    headers: dict[str, str]
    body: bytes

    def head(self) -> Head:
        from urllib.parse import unquote

        raw, _, query = self.target.partition("?")
        headers = {name.lower(): value for name, value in self.headers.items()}
        return Head(self.method, unquote(raw), raw, query, headers, "http", "127.0.0.1")


def signed(
    method: str,
    target: str,
    headers: dict[str, str] | None = None,
    body: bytes = b"",
    *,
    service: str = "s3",
    region: str = "eu-west-1",
    presigned: bool = False,
    access_key: str = ACCESS_KEY,
    secret: str = SECRET,
    token: str | None = None,
    expires: int = 3600,
    signing: dict[str, Any] | None = None,
) -> Asked:
    """Signed by botocore; ``target`` is path and query in their wire form."""
    request = AWSRequest(method, ORIGIN + target, headers=dict(headers or {}), data=b"" if presigned else body)
    request.context.update({"payload_signing_enabled": True, **(signing or {})})
    credentials = Credentials(access_key, secret, token)
    if service != "s3":
        SigV4Auth(credentials, service, region).add_auth(request)
    elif presigned:
        S3SigV4QueryAuth(credentials, service, region, expires).add_auth(request)
    else:
        S3SigV4Auth(credentials, service, region).add_auth(request)
    parts = urlsplit(request.url)
    sent = dict(request.headers.items())
    sent["Host"] = parts.netloc
    if method in {"PUT", "POST"}:
        sent["Content-Length"] = str(len(body))
    return Asked(method, parts.path + (f"?{parts.query}" if parts.query else ""), sent, body)


__all__ = ["ACCESS_KEY", "ACCOUNT", "FOREIGN_KEY", "OTHER", "SECRET", "USER_KEY", "Asked", "Seen", "signed", "tiny_gate"]
