"""Form uploads at the gate: who signed what, what the policy lets the form say, and what becomes of a form that is not whole."""

from __future__ import annotations

import asyncio
import base64
import hmac
import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from strongroom.api.errors import ApiError
from strongroom.edge.form_policy import FormPolicy
from strongroom.edge.gate import EdgeSettings
from strongroom.edge.signing_key import derive
from strongroom.edge.stall import Pace
from tests.edge.test_form_reader import BOUNDARY, DATA, file, form, part
from tests.edge.test_gate import Front
from tests.edge.tiny import ACCESS_KEY, FOREIGN_KEY, SECRET, Asked, signed, tiny_gate

NOW = datetime(2026, 5, 4, 3, 2, 1, tzinfo=UTC)
DATE = "20260504T030201Z"
CREDENTIAL = f"{ACCESS_KEY}/20260504/eu-west-1/s3/aws4_request"
FIELD = "Bucket POST must contain a field named '{}'.  If it is specified, please check the order of the fields."


@pytest.fixture
def front() -> Front:
    return Front(clock=lambda: NOW)


def policy(*conditions: Any, expiration: str = "2026-05-04T04:00:00Z") -> str:
    return base64.b64encode(json.dumps({"expiration": expiration, "conditions": list(conditions)}).encode()).decode()


def fields_of(*more: Any, credential: str = CREDENTIAL, text: str | None = None, **given: str) -> dict[str, str]:
    """A signed form, whose policy lets it say just what it says, and ``more``."""
    said = {"key": "k", "x-amz-algorithm": "AWS4-HMAC-SHA256", "x-amz-credential": credential, "x-amz-date": DATE} | given
    said = {name.replace("_", "-") if name.startswith("x_") else name: value for name, value in said.items()}
    if text is None:
        text = policy({"bucket": "bucket"}, *({name: value} for name, value in said.items()), *more)
    _, date, region, service, _ = credential.split("/")
    signature = hmac.digest(derive(SECRET, date, region, service), text.encode(), "sha256").hex()
    return said | {"policy": text, "x-amz-signature": signature}


def posted(fields: dict[str, str], data: bytes = DATA, target: str = "/bucket", **headers: str) -> Asked:
    body = form(*(part(name, value.encode()) for name, value in fields.items()), file(data))
    sent = {
        "Host": "127.0.0.1:9000",
        "Content-Type": f"multipart/form-data; boundary={BOUNDARY.decode()}",
        "Content-Length": str(len(body)),
        **{name.replace("_", "-"): value for name, value in headers.items()},
    }
    return Asked("POST", target, sent, body)


async def told(front: Front, asked: Asked, **more: Any) -> tuple[int, str, str]:
    got = await front.ask(asked, **more)
    assert front.room.objects == {}
    return got.status, got.code, got.message


@pytest.mark.parametrize("size", [0, 1, 1000, 3 << 20])
@pytest.mark.parametrize("parts", [1, 2, 50])
async def test_a_signed_form(front: Front, size: int, parts: int) -> None:
    data = bytes(range(250)) * (size // 250 + 1)
    fields = fields_of(x_amz_meta_who="ü\n", acl="private", **{"Content-Type": "text/plain", "x-ignore-me": "x"})
    got = await front.ask(posted(fields, data[:size]), parts=parts)
    assert got.status == 200, got.body
    assert front.room.objects == {"k": data[:size]}
    call = front.room.last
    assert call is not None
    assert (call.caller.access_key_id, call.region, call.signed_v4, call.body.length) == (ACCESS_KEY, "eu-west-1", True, None)
    given = {"Bucket": "bucket", "Key": "k", "ACL": "private", "ContentType": "text/plain", "Metadata": {"who": "ü\n"}}
    assert call.input == given


@pytest.mark.fact("E33")
async def test_another_type(front: Front) -> None:
    asked = posted(fields_of())
    asked.headers["Content-Type"] = "application/x-www-form-urlencoded"
    got = await front.ask(asked)
    assert (got.status, got.code) == (412, "PreconditionFailed")
    assert b"<Condition>Bucket POST must be of the enclosure-type multipart/form-data</Condition>" in got.body


async def test_a_form_that_is_not_whole(front: Front) -> None:
    whole = posted(fields_of())
    for length in (0, 1, 100, len(whole.body) - 200, len(whole.body) - 5, len(whole.body) - 1):
        cut = Asked("POST", whole.target, whole.headers, whole.body[:length])  # the connection ends
        assert (await told(front, cut))[:2] == (400, "IncompleteBody")
        asked = Asked("POST", whole.target, whole.headers | {"Content-Length": str(length)}, whole.body[:length])
        if length < len(whole.body) - 2:
            assert (await told(front, asked))[:2] == (400, "MalformedPOSTRequest")
    longer = Asked("POST", whole.target, whole.headers, whole.body + b"\r\n")
    assert (await told(front, longer))[:2] == (400, "IncompleteBody")
    unsized = Asked("POST", whole.target, {k: v for k, v in whole.headers.items() if k != "Content-Length"}, whole.body)
    assert (await told(front, unsized))[1] == "MissingContentLength"


async def test_a_second_file_behind_the_first(front: Front) -> None:
    body = form(*(part(name, value.encode()) for name, value in fields_of().items()), file(), file())
    asked = Asked("POST", "/bucket", posted({}).headers | {"Content-Length": str(len(body))}, body)
    assert (await told(front, asked))[1] == "IncorrectNumberOfFilesInPostRequest"


async def test_no_file(front: Front) -> None:
    asked = posted({})
    body = form(part("key", b"k"))
    answer = await told(front, Asked("POST", "/bucket", asked.headers | {"Content-Length": str(len(body))}, body))
    assert answer == (400, "InvalidArgument", "POST requires exactly one file upload per request.")


@pytest.mark.fact("E31")
@pytest.mark.parametrize("name", ["X-Amz-Signature", "X-Amz-Credential", "X-Amz-Date", "X-Amz-Algorithm", "Policy", "key"])
async def test_a_field_that_is_missing(front: Front, name: str) -> None:
    fields = fields_of()
    del fields[name.lower()]
    got = await front.ask(posted(fields))
    assert (got.status, got.code) == (400, "InvalidArgument")
    assert FIELD.format(name) in got.message.replace("&apos;", "'")
    assert f"<ArgumentName>{name}</ArgumentName>".encode() in got.body
    assert front.room.objects == {}


async def test_nobody_may(front: Front) -> None:
    assert await told(front, posted({"key": "k"})) == (403, "AccessDenied", "Access Denied")
    assert (await told(front, posted({"key": ""})))[1:] == (
        "InvalidArgument",
        "User key must have a length greater than 0.",
    )
    assert (await told(front, posted({"key": "k"}, target="/nowhere")))[1] == "NoSuchBucket"
    foreign = fields_of(credential=CREDENTIAL.replace(ACCESS_KEY, FOREIGN_KEY))
    assert await told(front, posted(foreign)) == (403, "AccessDenied", "Access Denied")


async def test_signatures(front: Front) -> None:
    fields = fields_of()
    got = await front.ask(posted(fields | {"x-amz-signature": "0" * 64}))
    assert (got.status, got.code) == (403, "SignatureDoesNotMatch")
    assert f"<StringToSign>{fields['policy']}</StringToSign>".encode() in got.body
    assert b"CanonicalRequest" not in got.body
    assert (await told(front, posted(fields | {"policy": policy()})))[1] == "SignatureDoesNotMatch"
    unknown = fields_of(credential=CREDENTIAL.replace(ACCESS_KEY, "AKIANOBODY"))
    assert (await told(front, posted(unknown)))[1] == "InvalidAccessKeyId"
    token = fields_of(**{"x-amz-security-token": "t"})  # with a key that needs none
    assert (await told(front, posted(token)))[1] == "InvalidToken"
    elsewhere = fields_of(credential=CREDENTIAL.replace("eu-west-1", "us-east-1"))
    status, code, message = await told(front, posted(elsewhere))
    assert (status, code) == (400, "AuthorizationQueryParametersError")
    assert "the region 'us-east-1' is wrong; expecting 'eu-west-1'" in message.replace("&apos;", "'")
    assert (await told(front, posted(fields_of() | {"x-amz-algorithm": "AWS4"})))[1] == "InvalidArgument"
    assert (await told(front, posted({"key": "k", "AWSAccessKeyId": "x", "signature": "y", "policy": "z"})))[
        1
    ] == "InvalidRequest"


async def test_a_customers_key_is_not_told(front: Front) -> None:
    """As in every other answer."""
    name = "x-amz-server-side-encryption-customer-key"
    secret = base64.b64encode(bytes(range(32))).decode()
    fields = fields_of({name: secret}, **{name: secret})
    got = await front.ask(posted(fields | {"x-amz-signature": "0" * 64}))
    assert (got.code, b"<StringToSign/>" in got.body or b"<StringToSign></StringToSign>" in got.body) == (
        "SignatureDoesNotMatch",
        True,
    )
    assert fields["policy"].encode() not in got.body
    _, _, message = await told(front, posted(fields | {name: "other"}))
    assert message == f'Invalid according to Policy: Policy Condition failed: ["eq", "${name}", "***"]'
    assert secret not in repr(FormPolicy.parse(fields["policy"]))


@pytest.mark.fact("E29")
async def test_a_credential_that_is_none(front: Front) -> None:
    status, code, message = await told(front, posted(fields_of() | {"x-amz-credential": "x"}))
    assert (status, code) == (400, "AuthorizationQueryParametersError")
    text = 'Error parsing the X-Amz-Credential parameter; the Credential is mal-formed; expecting "<YOUR-AKID>/YYYYMMDD/REGION/SERVICE/aws4_request".'
    assert message.replace("&lt;", "<").replace("&gt;", ">") == text


async def test_two_signatures(front: Front) -> None:
    by_header = signed("POST", "/bucket", dict(posted({}).headers), posted(fields_of()).body)
    assert (await told(front, by_header))[1] == "InvalidArgument"
    by_query = signed("POST", "/bucket", presigned=True)
    assert (await told(front, posted(fields_of(), target=by_query.target)))[1] == "InvalidArgument"


@pytest.mark.fact("E32")
@pytest.mark.parametrize("days", [-2, 0, 2])
async def test_only_the_policys_expiration_counts(days: int) -> None:
    now = NOW + timedelta(days=days)
    front = Front(clock=lambda: now)
    fields = fields_of(text=policy(*OPEN, expiration=(now + timedelta(seconds=1)).strftime("%Y-%m-%dT%H:%M:%SZ")))
    assert (await front.ask(posted(fields))).status == 200


OPEN = [["starts-with", f"${name}", ""] for name in ("key", "x-amz-algorithm", "x-amz-credential", "x-amz-date", "acl", "bucket")]


@pytest.mark.fact("E31")
@pytest.mark.parametrize(
    ("text", "message"),
    [
        (policy(*OPEN, expiration="2026-05-04T03:02:01Z"), "Policy expired."),
        (policy(*OPEN, expiration="2026-05-04T03:02:00.999Z"), "Policy expired."),
        (policy({"bucket": "other"}, *OPEN), 'Policy Condition failed: ["eq", "$bucket", "other"]'),
        (policy(*OPEN, ["eq", "$Key", "K"]), 'Policy Condition failed: ["eq", "$Key", "K"]'),
        (policy(*OPEN, ["starts-with", "$key", "user/"]), 'Policy Condition failed: ["starts-with", "$key", "user/"]'),
        (policy(*OPEN, {"acl": "private"}), 'Policy Condition failed: ["eq", "$acl", "private"]'),
        (policy(*OPEN[1:]), "Extra input fields: key"),
    ],
)
async def test_what_the_policy_does_not_let(front: Front, text: str, message: str) -> None:
    answer = await told(front, posted(fields_of(text=text)))
    assert answer == (403, "AccessDenied", f"Invalid according to Policy: {message}")


async def test_every_field_is_covered(front: Front) -> None:
    fields = fields_of()
    for name in ("x-amz-server-side-encryption", "x-amz-meta-a", "success_action_redirect", "anything"):
        status, _, message = await told(front, posted(fields | {name: "v"}))
        assert (status, message) == (403, f"Invalid according to Policy: Extra input fields: {name}")
    assert (await front.ask(posted(fields | {"X-Ignore-This": "v"}))).status == 200


@pytest.mark.fact("E31")
@pytest.mark.parametrize(
    ("condition", "size", "expected"),
    [
        ([3, 5], 2, ("EntityTooSmall", b"<ProposedSize>2</ProposedSize><MinSizeAllowed>3</MinSizeAllowed>")),
        ([3, 5], 3, None),
        (["3", "5"], 5, None),
        ([3, 5], 6, ("EntityTooLarge", b"<ProposedSize>6</ProposedSize><MaxSizeAllowed>5</MaxSizeAllowed>")),
        ([0, 5], 3 << 20, ("EntityTooLarge", b"<ProposedSize>3145728</ProposedSize><MaxSizeAllowed>5</MaxSizeAllowed>")),
        ([1, 0], 0, ("EntityTooSmall", b"")),
    ],
)
async def test_sizes(front: Front, condition: list[Any], size: int, expected: tuple[str, bytes] | None) -> None:
    got = await front.ask(posted(fields_of(["content-length-range", *condition]), bytes(size)), parts=20)
    if expected is None:
        assert (got.status, len(front.room.objects["k"])) == (200, size)
    else:
        assert (got.status, got.code) == (400, expected[0])
        assert expected[1] in got.body
        assert front.room.objects == {}


async def test_the_name_of_the_file(front: Front) -> None:
    fields = fields_of(text=policy({"bucket": "bucket"}, *OPEN, {"key": "up/a b.txt"}), key="up/${filename}")
    assert (await front.ask(posted(fields))).status == 200
    assert list(front.room.objects) == ["up/a b.txt"]


@pytest.mark.fact("4.4.11")
async def test_encryption_by_header_and_by_field(front: Front) -> None:
    sse = "x-amz-server-side-encryption"
    fields = fields_of(**{sse: "AES256"})
    assert (await told(front, posted(fields, **{sse: "aws:kms"})))[:2] == (400, "InvalidRequest")
    status, code, message = await told(front, posted(fields_of(), **{sse: "aws:kms"}))
    assert (status, code, message) == (403, "AccessDenied", "There were headers present in the request which were not signed")
    assert (await told(front, posted(fields_of(), target=f"/bucket?{sse}=aws:kms")))[:2] == (403, "AccessDenied")
    assert (await front.ask(posted(fields, **{sse: "AES256"}))).status == 200


@pytest.mark.parametrize("value", ["AAAAAA==", base64.b64encode(b"\0" * 3).decode()])
async def test_checksums(front: Front, value: str) -> None:
    got = await front.ask(posted(fields_of(**{"x-amz-checksum-crc32": value}), b"abc"))
    assert (got.status, got.code) == (400, "BadDigest" if value == "AAAAAA==" else "InvalidRequest")
    assert front.room.objects == {}
    right = base64.b64encode((0x352441C2).to_bytes(4, "big")).decode()
    got = await front.ask(posted(fields_of(**{"x-amz-checksum-crc32": right}), b"abc"))
    assert (got.status, got.headers["x-amz-checksum-crc32"]) == (200, right)


class Silent:
    """A connection on which nothing comes after ``data``."""

    def __init__(self, data: bytes) -> None:
        self._data = data

    async def __aiter__(self) -> AsyncIterator[bytes]:
        yield self._data
        await asyncio.Event().wait()

    async def whole(self) -> bytes:
        raise AssertionError("a form is never read whole")


@pytest.mark.parametrize("size", [300, 150_000])  # in the midst of the fields, of the file
async def test_a_client_that_falls_silent(size: int) -> None:
    gate, room = tiny_gate(EdgeSettings(pace=Pace(idle=0.05)), clock=lambda: NOW)
    asked = posted(fields_of(), bytes(200_000))
    reply = await gate.handle(asked.head(), Silent(asked.body[:size]))
    assert reply.status == 400
    assert b"<Code>RequestTimeout</Code>" in bytes(reply.body)  # type: ignore[arg-type]
    assert room.objects == {}


def raw(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


@pytest.mark.fact("E31")
@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("%", "Invalid JSON."),
        ("ü", "Invalid JSON."),
        (raw("{"), "Invalid JSON."),
        (raw("[]"), "Invalid JSON."),
        (raw("[" * 9000), "Invalid JSON."),
        (raw('{"expiration": "a", "expiration": "b", "conditions": []}'), "Invalid JSON."),
        (raw('{"conditions": []}'), "Policy missing expiration."),
        (raw('{"expiration": "2026-05-04T03:02:01Z"}'), "Policy missing conditions."),
        (policy(expiration="tomorrow"), "Invalid 'expiration' value: 'tomorrow'"),
        (policy(expiration="2026-13-04T03:02:01Z"), "Invalid 'expiration' value: '2026-13-04T03:02:01Z'"),
        (raw('{"expiration": "2026-05-04T03:02:01Z", "conditions": {}}'), "Invalid 'conditions' value: must be a List."),
        (policy({"a": 1}), "Invalid Simple-Condition: value must be a string."),
        (policy({"a": "b", "c": "d"}), "Invalid Simple-Condition: Simple-Conditions must have exactly one property specified."),
        (policy("a"), "Invalid Condition: must be an object, or an array of an operator, a field and a value."),
        (policy([]), "Invalid Condition: must be an object, or an array of an operator, a field and a value."),
        (policy(["eq", "$a"]), "Invalid Condition: must be an object, or an array of an operator, a field and a value."),
        (policy(["ends-with", "$a", "b"]), "Invalid Condition: unknown operation 'ends-with'."),
        (policy(["eq", "a", "b"]), "Invalid Condition: a field's name must begin with '$'."),
        (policy(["content-length-range", 1]), "Invalid content-length-range: wrong number of arguments."),
        (policy(["content-length-range", 1, -1]), "Invalid content-length-range: bounds must be numbers of bytes."),
        (policy(["content-length-range", True, 1]), "Invalid content-length-range: bounds must be numbers of bytes."),
    ],
)
def test_documents_that_are_no_policy(text: str, message: str) -> None:
    with pytest.raises(ApiError) as caught:
        FormPolicy.parse(text)
    error = caught.value
    assert (error.status, error.code, error.message) == (400, "InvalidPolicyDocument", f"Invalid Policy: {message}")


def test_a_list_of_types_begins_so_as_a_whole() -> None:
    parsed = FormPolicy.parse(policy(["starts-with", "$Content-Type", "image/"]))
    parsed.check({"content-type": "image/png, image/jpeg"}, "b", NOW)
    with pytest.raises(ApiError):
        parsed.check({"content-type": "image/png,text/html"}, "b", NOW)


def test_ranges_narrow_each_other() -> None:
    parsed = FormPolicy.parse(policy(["content-length-range", 1, 9], ["content-length-range", 2, 8]))
    assert (parsed.least, parsed.most) == (2, 8)
