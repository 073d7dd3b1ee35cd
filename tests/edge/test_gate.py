from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import unquote

import pytest
from structlog.testing import capture_logs

from strongroom.api.errors import ApiError
from strongroom.edge import sigv4
from strongroom.edge.asgi import AsgiApp
from strongroom.edge.claims import read_claim
from strongroom.edge.gate import EdgeSettings, Seen
from strongroom.edge.limits import DOCUMENT_MOST, HEADERS_MOST
from strongroom.edge.pages import Pages
from strongroom.edge.refusals import REFUSALS
from strongroom.edge.signing_key import SigningKeys
from strongroom.store.contract import Unavailable
from tests.edge import test_chunked
from tests.edge.tiny import (
    ACCOUNT,
    EXPIRES,
    FOREIGN_KEY,
    SECRET,
    SESSION_KEY,
    SESSION_TOKEN,
    USER_KEY,
    Asked,
    TinyRoom,
    signed,
    tiny_gate,
)


@dataclass
class Got:
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def code(self) -> str:
        found = re.search(rb"<Code>(.*?)</Code>", self.body)
        return found[1].decode() if found else ""

    @property
    def message(self) -> str:
        found = re.search(rb"<Message>(.*?)</Message>", self.body, re.DOTALL)
        return found[1].decode().replace("&quot;", '"') if found else ""


class Front:
    def __init__(self, **more: Any) -> None:
        self.gate, self.room = tiny_gate(**more)
        self.ready = True

        async def open_() -> Callable[..., Awaitable[Any]]:
            return Pages(self.gate.handle, self._is_ready).handle

        async def close() -> None:
            pass

        self.app = AsgiApp(open_, close)

    async def _is_ready(self) -> bool:
        return self.ready

    async def ask(
        self,
        asked: Asked,
        *,
        client: str = "127.0.0.1",
        scheme: str = "http",
        extra: list[tuple[str, str]] | None = None,
        parts: int = 1,
    ) -> Got:
        raw, _, query = asked.target.partition("?")
        scope = {
            "type": "http",
            "method": asked.method,
            "path": unquote(raw),
            "raw_path": raw.encode(),
            "query_string": query.encode(),
            "headers": [
                (name.lower().encode(), value.encode("latin-1")) for name, value in [*asked.headers.items(), *(extra or [])]
            ],
            "scheme": scheme,
            "client": (client, 1234),
        }
        size = max(1, -(-len(asked.body) // parts))
        pieces = [asked.body[at : at + size] for at in range(0, len(asked.body), size)] or [b""]
        arriving = iter(
            [{"type": "http.request", "body": piece, "more_body": True} for piece in pieces] + [{"type": "http.request"}]
        )
        sent: list[dict[str, Any]] = []

        async def receive() -> dict[str, Any]:
            return next(arriving, {"type": "http.disconnect"})

        async def send(message: Any) -> None:
            sent.append(message)

        await self.app(scope, receive, send)
        headers = {name.decode(): value.decode() for name, value in sent[0]["headers"]}
        return Got(sent[0]["status"], headers, b"".join(message["body"] for message in sent[1:]))


@pytest.fixture
def front() -> Front:
    return Front()


def anonymous(method: str, target: str, body: bytes = b"", **headers: str) -> Asked:
    return Asked(method, target, {"Host": "127.0.0.1:9000", "Content-Length": str(len(body)), **headers}, body)


# ------------------------------------------------------------------------------------------------------------- the whole way


@pytest.mark.parametrize("presigned", [False, True])
async def test_what_is_put_can_be_read(front: Front, presigned: bool) -> None:
    got = await front.ask(signed("PUT", "/bucket/a%20key", body=b"hello", presigned=presigned))
    assert (got.status, got.headers["etag"]) == (200, f'"{hashlib.md5(b"hello").hexdigest()}"')
    got = await front.ask(signed("GET", "/bucket/a%20key", presigned=presigned))
    assert (got.status, got.body, got.headers["content-length"]) == (200, b"hello", "5")
    assert re.fullmatch(r"[A-Z0-9]{16}", got.headers["x-amz-request-id"])
    assert got.headers["x-amz-id-2"]
    assert got.headers["server"] == "Strongroom"
    call = front.room.last
    assert call is not None
    assert (call.caller.account_id, call.region, call.base_url, call.source_ip) == (
        ACCOUNT,
        "eu-west-1",
        "http://127.0.0.1:9000",
        "127.0.0.1",
    )
    assert call.signed_v4
    got = await front.ask(signed("HEAD", "/bucket/a%20key", presigned=presigned))
    assert (got.status, got.body, got.headers["content-length"]) == (200, b"", "5")


@pytest.mark.parametrize(
    "key", ["a%2Fb", "a//b", "../a", "a/./b", "a%00b", "%E2%82%AC", "a+b", "100%25", "a%3Fb%3Dc", "%2e%2e/x"]
)
async def test_keys_are_kept_literally(front: Front, key: str) -> None:
    await front.ask(signed("PUT", f"/bucket/{key}", body=b"x"))
    stored = front.room.objects
    canonical = {"a%2Fb": "/bucket/a/b", "%2e%2e/x": "/bucket/../x"}.get(key)
    if canonical:  # botocore signs the spelling it was given; the canonical one is S3's
        assert stored == {}
        asked = signed("PUT", canonical, body=b"x")
        asked.target = f"/bucket/{key}"
        assert (await front.ask(asked)).status == 200
    elif key == "a+b":
        asked = signed("PUT", "/bucket/a%2Bb", body=b"x")
        asked.target = "/bucket/a+b"
        assert (await front.ask(asked)).status == 200
    assert list(stored) == [unquote(key)]


async def test_streamed_answers(front: Front) -> None:
    await front.ask(signed("PUT", "/bucket/stream", body=b"0123456789"))
    got = await front.ask(signed("GET", "/bucket/stream"))
    assert (got.body, got.headers["content-length"]) == (b"0123456789", "10")
    for key in ("stream-fails", "stream-short"):
        front.room.objects[key] = b"0123456789"
        with pytest.raises((OSError, RuntimeError)):
            await front.ask(signed("GET", f"/bucket/{key}"))
    with capture_logs():
        assert (await front.ask(signed("GET", "/bucket/unsized"))).status == 500


async def test_an_unknown_bucket_comes_before_a_denial(front: Front) -> None:
    for asked in (
        signed("GET", "/missing/key"),
        signed("GET", "/missing/key", access_key=FOREIGN_KEY),
        anonymous("GET", "/missing/key"),
    ):
        got = await front.ask(asked)
        assert (got.status, got.code) == (404, "NoSuchBucket")


# ----------------------------------------------------------------------------------------------------------- who may, who not


async def test_denials(front: Front) -> None:
    got = await front.ask(anonymous("GET", "/bucket/key"))
    assert (got.status, got.code, got.message) == (403, "AccessDenied", "Access Denied")
    got = await front.ask(signed("GET", "/bucket/key", access_key=FOREIGN_KEY))
    assert (got.status, got.code, got.message) == (403, "AccessDenied", "Access Denied")
    got = await front.ask(signed("GET", "/bucket/key", access_key=USER_KEY))
    assert got.message == (
        f"User: arn:aws:iam::{ACCOUNT}:user/ann is not authorized to perform: s3:GetObject on resource: "
        '"arn:aws:s3:::bucket/key" because no identity-based policy allows the s3:GetObject action'
    )
    got = await front.ask(signed("GET", "/bucket/key?versionId=abc", access_key=USER_KEY))
    assert "s3:GetObjectVersion" in got.message
    got = await front.ask(signed("HEAD", "/bucket/key", access_key=FOREIGN_KEY))
    assert (got.status, got.body) == (403, b"")


def kms(operation: str, body: dict[str, str], **more: Any) -> Asked:
    headers = {"X-Amz-Target": f"TrentService.{operation}", "Content-Type": "application/x-amz-json-1.1"}
    return signed("POST", "/", headers, json.dumps(body).encode(), service="kms", **more)


async def test_kms_answers_and_denies_in_json(front: Front) -> None:
    arn = f"arn:aws:kms:eu-west-1:{ACCOUNT}:key/1"
    got = await front.ask(kms("DescribeKey", {"KeyId": arn}))
    assert (got.status, json.loads(got.body)) == (200, {"KeyMetadata": {"KeyId": "abc"}})
    assert re.fullmatch(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", got.headers["x-amzn-requestid"])
    got = await front.ask(kms("DescribeKey", {"KeyId": arn}, access_key=USER_KEY))
    assert (got.status, json.loads(got.body)) == (
        400,
        {
            "__type": "AccessDeniedException",
            "message": f"User: arn:aws:iam::{ACCOUNT}:user/ann is not authorized to perform: kms:DescribeKey on resource: {arn} "
            "because no identity-based policy allows the kms:DescribeKey action",
        },
    )
    got = await front.ask(kms("DescribeKey", {"KeyId": arn}, access_key=FOREIGN_KEY))
    assert json.loads(got.body)["message"].endswith(
        "is not authorized to perform: kms:DescribeKey on this resource because the resource does not exist in this Region, "
        "no resource-based policies allow access, or a resource-based policy explicitly denies access"
    )
    for asked, code in (
        (kms("DescribeKey", {"KeyId": arn}, secret="wrong"), "InvalidSignatureException"),
        (kms("DescribeKey", {"KeyId": arn}, access_key="AKIAUNKNOWN"), "UnrecognizedClientException"),
        (kms("NoSuchThing", {}), "UnknownOperationException"),
        (anonymous("POST", "/", b"{}", **{"X-Amz-Target": "TrentService.DescribeKey"}), "MissingAuthenticationTokenException"),
    ):
        got = await front.ask(asked)
        assert (got.status, json.loads(got.body)["__type"]) == (400, code)
    assert (await front.ask(kms("ListKeys", {}))).status == 501


async def test_the_body_of_a_kms_call_is_signed(front: Front) -> None:
    asked = kms("DescribeKey", {"KeyId": "one"})
    asked.body = asked.body.replace(b"one", b"two")
    got = await front.ask(asked)
    assert json.loads(got.body)["__type"] == "InvalidSignatureException"


def sts(action: str, **more: Any) -> Asked:
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    return signed("POST", "/", headers, f"Action={action}&Version=2011-06-15".encode(), service="sts", **more)


async def test_sts_answers_in_xml(front: Front) -> None:
    got = await front.ask(sts("GetCallerIdentity"))
    assert got.status == 200
    assert f"<Account>{ACCOUNT}</Account>".encode() in got.body
    for asked, status, code in (
        (sts("GetCallerIdentity", access_key="AKIAUNKNOWN"), 403, "InvalidClientTokenId"),
        (sts("GetCallerIdentity", secret="wrong"), 403, "SignatureDoesNotMatch"),
        (sts("GetNothing"), 400, "InvalidAction"),
        (
            anonymous(
                "POST",
                "/",
                b"Action=GetCallerIdentity&Version=2011-06-15",
                **{"Content-Type": "application/x-www-form-urlencoded"},
            ),
            403,
            "MissingAuthenticationToken",
        ),
    ):
        got = await front.ask(asked)
        assert (got.status, got.code) == (status, code)


async def test_a_run_that_does_not_ask_is_an_internal_error(front: Front) -> None:
    xml = b"<Delete><Object><Key>%s</Key></Object></Delete>"
    for key, status in ((b"a", 200), (b"unasked", 500)):
        body = xml % key
        md5 = base64.b64encode(hashlib.md5(body).digest()).decode()
        with capture_logs() as logs:
            got = await front.ask(signed("POST", "/bucket?delete=", {"Content-MD5": md5}, body))
        assert got.status == status
    assert logs[0]["event"] == "internal error"
    assert got.code == "InternalError"


# ---------------------------------------------------------------------------------------------------------------- refusals


async def test_signature_refusals_reach_the_client(front: Front) -> None:
    got = await front.ask(signed("GET", "/bucket/key", secret="wrong"))
    assert (got.status, got.code) == (403, "SignatureDoesNotMatch")
    assert SECRET.encode() not in got.body
    got = await front.ask(signed("GET", "/bucket/key", access_key="AKIAUNKNOWN", secret="wrong"))
    assert (got.status, got.code) == (403, "InvalidAccessKeyId")
    got = await front.ask(signed("GET", "/bucket/key", region="us-east-1"))
    assert (got.status, got.code, got.headers["x-amz-bucket-region"]) == (400, "AuthorizationHeaderMalformed", "eu-west-1")
    asked = signed("GET", "/bucket/key")
    got = await front.ask(asked, extra=[("authorization", asked.headers["Authorization"])])
    assert (got.status, got.code) == (501, "NotImplemented")


async def test_regions_that_are_served() -> None:
    front = Front(settings=EdgeSettings(regions=("eu-west-1", "eu-central-1")))
    assert (await front.ask(signed("PUT", "/new", region="eu-central-1"))).status == 200
    got = await front.ask(signed("PUT", "/new", region="us-east-1"))
    assert "the region 'us-east-1' is wrong; expecting 'eu-west-1'" in got.message
    assert (await front.ask(sts("GetCallerIdentity", region="us-east-1"))).status == 200
    assert (await front.ask(signed("PUT", "/bucket", region="eu-central-1"))).status == 200  # creating is not bound to a place


async def test_precedence_of_skew_region_access_key_and_signature() -> None:
    late = Front(clock=lambda: datetime.now(UTC) + timedelta(hours=1))
    wrong = {"access_key": "AKIAUNKNOWN", "secret": "wrong"}
    assert (await late.ask(signed("GET", "/bucket/key", region="us-east-1", **wrong))).code == "RequestTimeTooSkewed"
    front = Front()
    assert (await front.ask(signed("GET", "/bucket/key", region="us-east-1", **wrong))).code == "AuthorizationHeaderMalformed"
    assert (await front.ask(signed("GET", "/bucket/key", **wrong))).code == "InvalidAccessKeyId"
    assert (await front.ask(signed("GET", "/bucket/key", secret="wrong", token="t"))).code == "SignatureDoesNotMatch"
    assert (await front.ask(signed("GET", "/bucket/key", token="t"))).code == "InvalidToken"


@pytest.mark.parametrize(
    ("value", "status", "code"),
    [
        (ACCOUNT, 200, ""),
        ("210987654321", 403, "AccessDenied"),
        ("0000", 400, "InvalidBucketOwnerAWSAccountID"),
        ("aa000000000$", 400, "InvalidBucketOwnerAWSAccountID"),
        ("", 400, "InvalidBucketOwnerAWSAccountID"),
    ],
)
async def test_expected_bucket_owner(front: Front, value: str, status: int, code: str) -> None:
    front.room.objects["key"] = b"x"
    got = await front.ask(signed("GET", "/bucket/key", {"x-amz-expected-bucket-owner": value}))
    assert (got.status, got.code) == (status, code)
    if status == 400:
        assert got.message == f"The value of the expected bucket owner parameter must be an AWS Account ID... [{value}]"
    assert (await front.ask(signed("GET", "/missing/key", {"x-amz-expected-bucket-owner": value}))).code == "NoSuchBucket"


async def test_operations_that_are_not_built(front: Front) -> None:
    got = await front.ask(signed("GET", "/bucket?website="))
    assert (got.status, got.code) == (501, "NotImplemented")
    got = await front.ask(anonymous("OPTIONS", "/bucket/key"))  # the tiny room has no preflight
    assert got.status == 501


async def test_limits_of_the_head(front: Front) -> None:
    got = await front.ask(signed("GET", "/bucket/key", {"x-amz-meta-a": "a" * HEADERS_MOST}))
    assert (got.status, got.code) == (400, "RequestHeaderSectionTooLarge")
    got = await front.ask(signed("PUT", "/bucket/key", {"x-amz-meta-a": "a" * 2048}))
    assert (got.status, got.code) == (400, "MetadataTooLarge")
    assert b"<Size>2049</Size><MaxSizeAllowed>2048</MaxSizeAllowed>" in got.body
    assert (await front.ask(signed("PUT", "/bucket/key", {"x-amz-meta-a": "a" * 2047}))).status == 200
    for target in ("/bucket/%FF", "/bucket/%zz", "/bucket/" + "a" * 9000):
        assert (await front.ask(anonymous("GET", target))).code == "InvalidURI"
    asked = signed("PUT", "/bucket/key", body=b"x")
    del asked.headers["Content-Length"]
    assert (await front.ask(asked)).status == 411
    asked = signed("PUT", "/bucket/key", body=b"x")
    asked.headers["Content-Length"] = str((5 << 30) + 1)
    assert (await front.ask(asked)).code == "EntityTooLarge"


async def test_documents_are_limited_and_verified(front: Front) -> None:
    body = b"<VersioningConfiguration><Status>Enabled</Status></VersioningConfiguration>"
    assert (await front.ask(signed("PUT", "/bucket?versioning=", body=body))).status == 200
    got = await front.ask(signed("PUT", "/bucket?versioning=", body=body + b" " * DOCUMENT_MOST))
    assert (got.status, got.code) == (400, "MaxMessageLengthExceeded")
    asked = signed("PUT", "/bucket?versioning=", body=body)
    asked.body = body.replace(b"Enabled", b"Disable")
    assert (await front.ask(asked)).code == "XAmzContentSHA256Mismatch"
    asked = signed("GET", "/bucket/key")
    asked.body, asked.headers["Content-Length"] = b"smuggled", "8"
    assert (await front.ask(asked)).code == "XAmzContentSHA256Mismatch"


async def test_presigned_headers_in_the_query_count(front: Front) -> None:
    got = await front.ask(
        signed("PUT", "/bucket/key?x-amz-meta-a=b&x-amz-checksum-crc32=AAAAAA%3D%3D", body=b"x", presigned=True)
    )
    assert got.code == "BadDigest"
    got = await front.ask(
        signed("PUT", "/bucket/key?x-amz-meta-a=b&x-amz-server-side-encryption=AES256", body=b"x", presigned=True)
    )
    assert got.status == 200
    call = front.room.last
    assert call is not None
    assert (call.input["Metadata"], call.input["ServerSideEncryption"]) == ({"a": "b"}, "AES256")
    assert call.headers["x-amz-server-side-encryption"] == "AES256"


async def test_a_signed_chunked_upload(front: Front) -> None:
    """The seed comes from botocore, the chunks are signed here with the same key."""
    coding = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD"
    headers = {"X-Amz-Content-SHA256": coding, "x-amz-decoded-content-length": "9000", "Content-Encoding": "aws-chunked,gzip"}
    for wrong in (False, True):
        asked = signed("PUT", "/bucket/chunked", headers)
        # botocore overwrites the hash it is given: sign again by hand with the streaming one
        asked.headers["X-Amz-Content-SHA256"] = coding
        head = asked.head()
        claim = read_claim(head, REFUSALS["s3"])
        assert claim is not None
        key = SigningKeys().find(claim.credential, SECRET)
        with pytest.raises(ApiError) as caught:
            sigv4.check_signature(claim, head, coding, key, REFUSALS["s3"])
        signature = key.sign(caught.value.members["StringToSign"].encode())
        asked.headers["Authorization"] = asked.headers["Authorization"].replace(claim.signature, signature)
        previous, body = signature, b""
        for chunk in (b"a" * 8500, b"b" * 500, b""):
            digests = f"{test_chunked.EMPTY}\n{hashlib.sha256(chunk).hexdigest()}"
            text = f"AWS4-HMAC-SHA256-PAYLOAD\n{claim.timestamp}\n{claim.scope}\n{previous}\n{digests}"
            previous = key.sign(text.encode())
            body += f"{len(chunk):x};chunk-signature={previous}\r\n".encode() + chunk + b"\r\n"
        asked.body = body.replace(b"bb", b"cc") if wrong else body
        asked.headers["Content-Length"] = str(len(body))
        got = await front.ask(asked, parts=7)
        assert (got.status, got.code) == ((403, "SignatureDoesNotMatch") if wrong else (200, ""))
        if not wrong:
            assert front.room.objects.pop("chunked") == b"a" * 8500 + b"b" * 500
            assert front.room.last is not None
            assert front.room.last.input["ContentEncoding"] == "gzip"
    assert "chunked" not in front.room.objects


# ------------------------------------------------------------------------------------------------------- plain http, failures


@pytest.mark.parametrize(
    ("setting", "client", "scheme", "secure"),
    [
        ("loopback", "127.0.0.1", "http", True),
        ("loopback", "::1", "http", True),
        ("loopback", "::ffff:127.0.0.1", "http", True),
        ("loopback", "10.0.0.1", "http", False),
        ("loopback", "", "http", False),
        ("loopback", "::10", "http", False),
        ("loopback", "10.0.0.1", "https", True),
        ("refuse", "127.0.0.1", "http", False),
        ("refuse", "127.0.0.1", "https", True),
        ("allow", "10.0.0.1", "http", True),
    ],
)
async def test_what_counts_as_secure(setting: Any, client: str, scheme: str, secure: bool) -> None:
    front = Front(settings=EdgeSettings(plain_http_secrets=setting))
    await front.ask(signed("PUT", "/bucket/key", body=b"x"), client=client, scheme=scheme)
    assert front.room.last is not None
    assert front.room.last.secure is secure
    got = await front.ask(kms("DescribeKey", {"KeyId": f"arn:aws:kms:eu-west-1:{ACCOUNT}:key/1"}), client=client, scheme=scheme)
    assert got.status == (200 if secure else 400)


async def test_an_unexpected_failure_tells_nothing_but_the_request_id(front: Front) -> None:
    with capture_logs() as logs:
        got = await front.ask(signed("GET", "/bucket/boom"))
    assert (got.status, got.code, got.message) == (500, "InternalError", "We encountered an internal error. Please try again.")
    assert SECRET.encode() not in got.body
    assert logs[0]["request_id"] == got.headers["x-amz-request-id"]


async def test_a_store_that_is_away_is_503(front: Front, monkeypatch: pytest.MonkeyPatch) -> None:
    async def away(self: TinyRoom, name: str) -> None:
        raise Unavailable

    monkeypatch.setattr(front.gate, "_place", away.__get__(front.room))
    with capture_logs():
        got = await front.ask(signed("GET", "/bucket/key"))
    assert (got.status, got.code) == (503, "ServiceUnavailable")


async def test_the_access_record() -> None:
    seen: list[Seen] = []
    front = Front(observe=lambda one, _reply: seen.append(one))
    await front.ask(signed("PUT", "/bucket/key", body=b"abc"))
    missing = await front.ask(signed("GET", "/bucket/nothing"))
    assert [(each.operation, each.status, each.code, each.received, each.sent) for each in seen] == [
        ("PutObject", 200, "", 3, 0),
        ("GetObject", 404, "NoSuchKey", 0, len(missing.body)),
    ]
    assert [each.caller.access_key_id for each in seen] == ["AKIAIOSFODNN7EXAMPLE"] * 2
    assert seen[0].head.path == "/bucket/key"


async def test_pages(front: Front) -> None:
    assert (await front.ask(anonymous("GET", "/-/live"))).body == b"live\n"
    assert (await front.ask(anonymous("GET", "/-/ready"))).status == 200
    front.ready = False
    assert (await front.ask(anonymous("GET", "/-/ready"))).status == 503
    assert (await front.ask(anonymous("GET", "/-/nothing"))).status == 404
    assert (await front.ask(anonymous("DELETE", "/-/live"))).status == 405


@pytest.mark.fact("E25", "F2")
async def test_a_session_ends_on_its_second(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also with a wrong signature: that it has expired is said first. The token is asked for, and no other is taken."""
    for before, expired in ((timedelta(seconds=1), False), (timedelta(0), True)):
        now = EXPIRES - before
        monkeypatch.setattr("botocore.auth.get_current_datetime", lambda now=now, **_: now.replace(tzinfo=None))
        front = Front(clock=lambda now=now: now)
        session = {"access_key": SESSION_KEY, "token": SESSION_TOKEN}
        got = await front.ask(signed("GET", "/bucket/key", **session))
        wrong = await front.ask(signed("GET", "/bucket/key", **{**session, "secret": "wrong"}))
        presigned = await front.ask(signed("GET", "/bucket/key", presigned=True, **session))
        form = await front.ask(sts("GetCallerIdentity", **session))
        if expired:
            assert [(one.status, one.code) for one in (got, wrong, presigned)] == [(400, "ExpiredToken")] * 3
            assert got.message == "The provided token has expired."
            assert (form.status, form.code) == (403, "ExpiredToken")
            assert form.message == "The security token included in the request is expired"
        else:
            assert [one.status for one in (got, presigned, form)] == [404, 404, 200]  # there is no such key
            assert wrong.code == "SignatureDoesNotMatch"
    assert (await front.ask(signed("GET", "/bucket/key", access_key=SESSION_KEY))).code == "InvalidAccessKeyId"
    assert (await front.ask(signed("GET", "/bucket/key", access_key=SESSION_KEY, token="other"))).code == "InvalidToken"
