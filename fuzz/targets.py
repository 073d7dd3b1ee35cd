"""What ``make fuzz`` throws bytes at: every reader of bytes that somebody else wrote. Each target holds a property, not only "no crash".

A target takes any bytes and returns, or raises AssertionError (a property does not hold) or whatever the reader must never
raise. ``tests/fuzz`` runs the same targets over the vectors and random bytes in every test run.
"""

from __future__ import annotations

import asyncio
import base64
import json
import re
import socket
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Final

import uvloop
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, mldsa

from strongroom.api.errors import ApiError
from strongroom.api.form import read_form
from strongroom.api.model import operation_model
from strongroom.api.rest_xml_plans import Asked, compile_asked
from strongroom.api.xml_reader import read_xml
from strongroom.edge.canonical import canonical_query, pairs_of
from strongroom.edge.chunked import ChunkDecoder, ChunkSigner
from strongroom.edge.claims import read_claim
from strongroom.edge.connection import Connection
from strongroom.edge.form_policy import FormPolicy
from strongroom.edge.form_reader import FormReader
from strongroom.edge.head import Head, RawBody, Reply
from strongroom.edge.http1 import CONTINUE
from strongroom.edge.listener import Listener
from strongroom.edge.refusals import REFUSALS
from strongroom.edge.signing_key import SigningKey
from strongroom.kms.asymmetric import peer_key
from strongroom.kms.blob import BlobError, open_blob, parse_blob
from strongroom.kms.import_tokens import opened
from strongroom.kms.local import LocalProvider
from strongroom.kms.material import SIZES, MaterialError, encoded, imported, private_key, public_der
from strongroom.kms.names import KeyName
from strongroom.kms.records import SYMMETRIC
from strongroom.kms.signatures import verify
from strongroom.kms.specs import SIGN_VERIFY, algorithms
from strongroom.policy.bucket_documents import read_bucket_policy
from strongroom.policy.compiled import Policy
from strongroom.policy.decide import Authority, Question, decide
from strongroom.policy.faults import InvalidPolicy
from strongroom.policy.identity_documents import read_trust_policy
from strongroom.policy.key_documents import read_key_policy
from strongroom.s3.acl_forms import header_grants
from strongroom.s3.bucket_cache import stored_judge
from strongroom.s3.lifecycle_judging import Facts, Told
from strongroom.s3.lifecycle_reading import read_configuration
from strongroom.seal import SealError
from strongroom.seal.bucket_records import BucketRecords
from strongroom.seal.format import Envelope, decode_manifest, encode_manifest
from strongroom.seal.stream import open_whole, plain_size, seal, sealed_size
from strongroom.seal.wrap import Records, unwrap
from strongroom.store.contract import VersionRow

VECTORS: Final = Path(__file__).resolve().parent.parent / "tests" / "vectors"
_KEY: Final = bytes(range(32))
_SPECS: Final = ("ECC_NIST_P256", "ECC_NIST_EDWARDS25519", "ML_DSA_44", "RSA_2048", "HMAC_384", SYMMETRIC)
_OPERATIONS: Final = (
    "PutBucketAcl",
    "PutBucketEncryption",
    "DeleteObjects",
    "CompleteMultipartUpload",
    "PutBucketLifecycleConfiguration",
    "PutBucketCors",
)


def envelope(data: bytes) -> None:
    """What decodes is written back as the very same bytes."""
    with suppress(SealError):
        assert Envelope.decode(data).encode() == data


def manifest(data: bytes) -> None:
    with suppress(SealError):
        assert encode_manifest(decode_manifest(data)) == data


def stream(data: bytes) -> None:
    """Nothing opens under a key that did not seal it, and lengths agree with each other."""
    with suppress(SealError):
        assert sealed_size(plain_size(len(data))) == len(data)
    try:
        open_whole(_KEY, b"fuzz", data)
    except SealError:
        pass
    else:
        raise AssertionError("a stream was forged")
    sealed = seal(_KEY, b"fuzz", data)
    assert open_whole(_KEY, b"fuzz", sealed) == data


def wrapped(data: bytes) -> None:
    row = VersionRow("bucket", "key", "version", False, False, 4096, 0, b"fuzz", data, b"fuzz")
    for open_it in (
        lambda: unwrap(_KEY, data, b"fuzz"),
        lambda: Records(_KEY).open(data, b"fuzz"),
        lambda: BucketRecords(_KEY, "bucket").open_page([row]),
    ):
        try:
            open_it()
        except SealError:
            continue
        raise AssertionError("a wrapped key or a record was forged")


def kms_blob(data: bytes) -> None:
    try:
        blob = parse_blob(data)
    except BlobError:
        return
    try:
        open_blob(blob, bytes(32), {})
    except BlobError:
        return
    raise AssertionError("a ciphertext blob was forged")


def import_token(data: bytes) -> None:
    """No token but ours gives a wrapping key. The local provider never waits, so that one step runs the whole call."""
    ring: Any = SimpleNamespace(provider=LocalProvider(_KEY))
    try:
        opened(ring, KeyName("111122223333", "us-east-1", "mrk-" + "0" * 32), data, 0).send(None)
    except ApiError:
        return
    except StopIteration:
        raise AssertionError("an import token was forged") from None
    raise AssertionError("the call waits")


def key_material(data: bytes) -> None:
    """What is taken as a key's material is kept in one form only, and works in it; anything else is refused."""
    for spec in _SPECS:
        try:
            kept = imported(spec, data)
        except MaterialError:
            continue
        assert imported(spec, kept) == kept
        if spec not in SIZES:
            assert public_der(kept)


def signed(data: bytes) -> None:
    """Nothing but a signature is taken for one, and no public key that is not on the curve."""
    for key, algorithm in _verifying():
        assert not verify(key, algorithm, "RAW", b"message", data)
    with suppress(ApiError):
        assert peer_key(data, ec.SECP256R1()).curve.name == "secp256r1"


@cache
def _verifying() -> tuple[tuple[Any, str], ...]:
    return tuple(
        (private_key(material), algorithms(spec, SIGN_VERIFY)[1][0])
        for spec, material in zip(_SPECS, _private_keys(), strict=False)
    )


@cache
def _private_keys() -> tuple[bytes, ...]:
    """One of each of the first specs, always the same."""
    keys: tuple[Any, ...] = (
        ec.derive_private_key(0x5EED, ec.SECP256R1()),
        ed25519.Ed25519PrivateKey.from_private_bytes(_KEY),
        mldsa.MLDSA44PrivateKey.from_seed_bytes(_KEY),
    )
    return tuple(encoded(key) for key in keys)


def chunked(data: bytes) -> None:
    """However the bytes are cut, the decoder comes to the same end; and what is not signed rightly is never handed on."""
    length = int.from_bytes(data[:2], "big")
    body = data[2:]
    ends = {_decoded(body, length, step) for step in (len(body) or 1, 1, 7)}
    assert len(ends) == 1, ends
    signer = ChunkSigner(SigningKey(_KEY), "20260101T000000Z", "20260101/us-east-1/s3/aws4_request", "0" * 64)
    decoder = ChunkDecoder(length, signer, trailing=True, declared=frozenset({"x-amz-checksum-crc32"}))
    with suppress(ApiError):
        assert b"".join(decoder.feed(body)) == b""


def _decoded(body: bytes, length: int, step: int) -> bytes | str:
    decoder = ChunkDecoder(length, None, trailing=True, declared=frozenset({"x-amz-checksum-crc32"}))
    out = bytearray()
    try:
        for at in range(0, len(body), step):
            for piece in decoder.feed(body[at : at + step]):
                out += piece
        decoder.finish()
    except ApiError as error:
        return error.code
    assert len(out) == length
    return bytes(out)


def connection(data: bytes) -> None:
    """However the bytes are cut, a connection sees the same requests with the same bodies, and answers the same."""
    data = data[:1000]  # below every limit that depends on how much comes at once
    heard = {_LOOP.run_until_complete(_spoken(data, step)) for step in (len(data) or 1, 1, 7)}
    assert len(heard) == 1, heard


async def _spoken(data: bytes, step: int) -> tuple[tuple[Any, ...], bytes]:
    """What a connection's handler heard, and what its client was told."""
    heard: list[Any] = []

    async def handle(head: Head, raw: RawBody) -> Reply:
        body = b"".join([part async for part in raw])
        heard.append(
            (head.method, head.path, head.raw_path, head.query, tuple(sorted(head.headers.items())), head.repeated, body)
        )
        return Reply(200, [], b"")

    ours, theirs = socket.socketpair()
    theirs.setblocking(False)
    with ours, theirs:
        listener = Listener(ours, handle, drain_seconds=0.0)
        line = Connection(listener)
        await _LOOP.connect_accepted_socket(lambda: line, ours)
        for at in range(0, len(data), step):
            line.data_received(data[at : at + step])  # by hand: a socket would cut it as it likes
            await asyncio.sleep(0)
        theirs.shutdown(socket.SHUT_WR)
        told = b""
        async with asyncio.timeout(5):
            while more := await _LOOP.sock_recv(theirs, 1 << 16):
                told += more
        await listener.stop()
    return tuple(heard), _WHEN.sub(b"", told)


_LOOP: Final = uvloop.new_event_loop()
#: What depends on when it was said: the date, to go on, and that the connection ends.
_WHEN: Final = re.compile(rb"date: [^\r]*\r\n|connection: close\r\n|" + re.escape(CONTINUE))


def xml(data: bytes) -> None:
    """A document becomes plain values or a refusal."""
    for name in _OPERATIONS:
        plan = _plan(name)
        assert plan.node is not None
        with suppress(ApiError):
            json.dumps(read_xml(data, plan.root, plan.node), default=str)


def lifecycle(data: bytes) -> None:
    """A lifecycle that is taken can be kept, and is judged without an error, whatever the day."""
    plan = _plan("PutBucketLifecycleConfiguration")
    assert plan.node is not None
    try:
        kept = read_configuration(read_xml(data, plan.root, plan.node), None, bytes)
    except ApiError:
        return
    assert json.loads(json.dumps(kept)) == kept
    judge = stored_judge(kept)
    assert judge is not None
    for since in (None, 0):
        facts = Facts("logs/1", 1 << 20, 0, since_ms=since, newer=3)
        for today in (0, 1, 400, 2**31):
            judge.judge(facts, today, lambda: Told("STANDARD", {"k": "v"}), versioned=True)
    judge.expiry("logs/1", 1, 0, lambda: Told("STANDARD", {}))
    judge.abort("logs/1", 0)


@cache
def _plan(name: str) -> Asked:
    return compile_asked(operation_model("s3", name))


def query(data: bytes) -> None:
    """A query has one canonical form, which is its own canonical form."""
    text = data.decode("latin-1")
    with suppress(ApiError):
        read_form(text)
    once = canonical_query(pairs_of(text))
    assert canonical_query(pairs_of(once)) == once


def authorization(data: bytes) -> None:
    """Whatever is claimed in a header or a query is a claim, no claim, or a refusal."""
    text = data.decode("latin-1")
    for head in (
        Head("GET", "/b/k", None, "", {"host": "h", "authorization": text, "x-amz-date": text[-16:]}, "http", "::1"),
        Head("GET", "/b/k", None, text, {"host": "h"}, "http", "::1"),
    ):
        for refusals in REFUSALS.values():
            with suppress(ApiError):
                read_claim(head, refusals)


def form(data: bytes) -> None:
    """However a form is cut, the reader comes to the same end, and gives no byte of the file twice."""
    body = b"--b\r\n" + data
    ends = {_posted(body, step) for step in (len(body), 1, 7)}
    assert len(ends) == 1, ends


def _posted(body: bytes, step: int) -> str:
    reader = FormReader(b"b")
    file = bytearray()
    try:
        for at in range(0, len(body), step):
            file += reader.feed(body[at : at + step])
        reader.finish()
    except ApiError as error:
        return error.code
    assert len(file) <= len(body)
    return repr((reader.fields, reader.filename, bytes(file)))


def form_policy(data: bytes) -> None:
    """A policy is a policy or one refusal."""
    with suppress(ApiError):
        FormPolicy.parse(base64.b64encode(data).decode())


def grants(data: bytes) -> None:
    """A header of grants is a list of grantees, each with a name as it stands in the header, or one refusal."""
    text = data.decode("latin-1")
    with suppress(ApiError):
        for one in header_grants({"GrantRead": text}):
            assert one.permission == "READ"
            assert one.sort in {"id", "uri", "emailAddress"}
            assert one.value in text


def policy(data: bytes) -> None:
    """A document is a policy or one refusal; one that does not speak of everybody lets nobody in who has no name."""
    text = data.decode("utf-8", "replace")
    for read in _POLICIES:
        try:
            found = read(text)
        except InvalidPolicy:
            continue
        authority = Authority("111122223333", (found,), policy_required=True)
        for action in ("s3:GetObject", "kms:Decrypt", "sts:AssumeRole"):
            decision = decide(Question("", "", True, action, "arn:aws:s3:::bucket/key", authority))
            assert not decision.allowed or '"*"' in text or "\\u" in text


_POLICIES: Final[tuple[Callable[[str], Policy], ...]] = (
    lambda text: read_bucket_policy(text, "bucket"),
    lambda text: read_key_policy(text, "arn:aws:kms:eu-west-1:111122223333:key/k"),
    lambda text: read_trust_policy(text, "role"),
)


TARGETS: Final[dict[str, Callable[[bytes], None]]] = {
    each.__name__: each
    for each in (
        envelope,
        policy,
        manifest,
        stream,
        wrapped,
        kms_blob,
        import_token,
        key_material,
        signed,
        chunked,
        connection,
        xml,
        query,
        authorization,
        form,
        form_policy,
        grants,
        lifecycle,
    )
}

_RULE: Final = (
    b"<ServerSideEncryptionConfiguration><Rule><ApplyServerSideEncryptionByDefault><SSEAlgorithm>aws:kms</SSEAlgorithm>"
    b"</ApplyServerSideEncryptionByDefault><BucketKeyEnabled>true</BucketKeyEnabled></Rule></ServerSideEncryptionConfiguration>"
)
_XML: Final = (
    _RULE,
    b'<?xml version="1.0"?><Delete xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><Object><Key>k</Key></Object></Delete>',
    b"<CompleteMultipartUpload><Part><PartNumber>1</PartNumber><ETag>&quot;e&quot;</ETag></Part></CompleteMultipartUpload>",
    b'<!DOCTYPE a [<!ENTITY b "c">]><Delete><Object><Key>&b;</Key></Object></Delete>',
)
_SPOKEN: Final = (
    b"GET /b/k?x=%20 HTTP/1.1\r\nHost: h\r\nx-amz-date: d\r\n\r\n" * 2,
    b"PUT /b/k HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\nhelloGET / HTTP/1.0\r\n\r\n",
    b"PUT / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nT: t\r\n\r\nHEAD http://h/ HTTP/1.1\r\n\r\n",
    b"GET / HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\nPOST /%FF HTTP/1.1\r\nContent-Length: 2, 3\r\n\r\n",
    b"GET / HTTP/1.1\r\n\r\nPUT /k HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: h2c\r\nContent-Length: 5\r\n\r\nhelloGET / HTTP/1.1\r\n\r\n",
    b"PUT http://h?a=/b HTTP/1.1\r\nHost: i\r\nTransfer-Encoding: chunked\r\n\r\n2;a=b\r\nhe\r\n3\r\nllo\r\n0\r\n\r\nGET / HTTP/1.1\r\n\r\n",
)
_CHUNKED: Final = (
    b"\0\x05" + b"5\r\nhello\r\n0\r\nx-amz-checksum-crc32:NhCmhg==\r\n\r\n",
    b"\0\x05" + b"5;chunk-signature=" + b"a" * 64 + b"\r\nhello\r\n0;chunk-signature=" + b"b" * 64 + b"\r\n\r\n",
)
_FORMS: Final = (
    (
        b'Content-Disposition: form-data; name="key"\r\n\r\nk\r\n--b\r\nContent-Disposition: form-data; name="file"; '
        b'filename="f"\r\nContent-Type: text/plain\r\n\r\nhello\r\n--b--\r\n'
    ),
    b"Content-Disposition: form-data; name=file\r\n\r\n\r\n--b\r\nContent-Disposition: form-data; name=a\r\n\r\n\r\n--b--",
)
_FORM_POLICIES: Final = (
    (
        b'{"expiration": "2026-12-01T12:00:00.000Z", "conditions": [{"acl": "private"}, ["starts-with", "$key", "a/"], '
        b'["content-length-range", 1, "9"]]}'
    ),
    b'{"expiration": "2026-12-01T12:00:00Z", "conditions": []}',
)
_STATEMENTS: Final[tuple[dict[str, Any], ...]] = (
    {
        "Effect": "Allow",
        "Principal": {"AWS": "111122223333"},
        "Action": ["s3:Get*"],
        "Resource": "arn:aws:s3:::bucket/${aws:username, 'x'}/*",
        "Condition": {"ForAnyValue:StringLikeIfExists": {"aws:TagKeys": ["a*", True, 1]}},
    },
    {
        "Effect": "Deny",
        "NotPrincipal": {"AWS": "arn:aws:iam::111122223333:root"},
        "NotAction": "s3:*",
        "NotResource": "arn:aws:s3:::bucket",
        "Condition": {"IpAddress": {"aws:SourceIp": "10.0.0.0/8"}, "Null": {"s3:TlsVersion": "true"}},
    },
    {"Effect": "Allow", "Principal": "*", "Action": "sts:AssumeRole"},
)
_DOCUMENTS: Final = tuple(json.dumps({"Version": "2012-10-17", "Statement": [each]}).encode() for each in _STATEMENTS)
_QUERIES: Final = (
    b"X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=AKIA%2F20260101%2Fus-east-1%2Fs3%2Faws4_request"
    b"&X-Amz-Date=20260101T000000Z&X-Amz-Expires=60&X-Amz-SignedHeaders=host&x=1&X-Amz-Signature=" + b"a" * 64,
    b"AWS4-HMAC-SHA256 Credential=AKIA/20260101/us-east-1/s3/aws4_request,SignedHeaders=host;x-amz-date,Signature=" + b"a" * 64,
    b"a=%41&b=+&%zz&&=",
)


_LIFECYCLES: Final = tuple(
    f"<LifecycleConfiguration><Rule><ID>r</ID><Status>Enabled</Status>{inside}</Rule></LifecycleConfiguration>".encode()
    for inside in (
        "<Prefix>logs/</Prefix><Expiration><Days>3</Days></Expiration>",
        "<Filter/><Expiration><Date>2027-01-01T00:00:00Z</Date></Expiration>",
        "<Filter/><AbortIncompleteMultipartUpload><DaysAfterInitiation>7</DaysAfterInitiation></AbortIncompleteMultipartUpload>",
        "<Filter><And><Prefix>l</Prefix><Tag><Key>k</Key><Value>v</Value></Tag></And></Filter><Expiration><Days>3</Days></Expiration>",
        "<Filter><ObjectSizeLessThan>5</ObjectSizeLessThan></Filter><Transition><Days>9</Days><StorageClass>GLACIER</StorageClass></Transition>",
    )
)


def seeds(name: str) -> Iterator[bytes]:
    """Where a target begins: what the vectors and the protocols look like."""
    if name in {"xml", "chunked"}:
        yield from _XML if name == "xml" else _CHUNKED
    elif name == "connection":
        yield from _SPOKEN
    elif name == "lifecycle":
        yield from _LIFECYCLES
    elif name in {"form", "form_policy"}:
        yield from _FORMS if name == "form" else _FORM_POLICIES
    elif name == "grants":
        yield from (b'id="a", uri=http://acs.amazonaws.com/groups/global/AllUsers', b'emailAddress="a@b.c"', b"id=,uri")
    elif name == "policy":
        yield from _DOCUMENTS
    elif name in {"query", "authorization"}:
        yield from _QUERIES
    elif name in {"key_material", "signed"}:
        yield from (_KEY, *_private_keys(), *map(public_der, _private_keys()))
    elif name == "import_token":
        yield from (b"SRIT\x01\x02" + bytes(8) + bytes(60), b"SRIT\x01\x04" + bytes(70), b"SRIT")
    else:
        for path in sorted(VECTORS.glob("*.json")):
            yield from _hex_texts(json.loads(path.read_text()))


def _hex_texts(value: Any) -> Iterator[bytes]:
    """Every text of a vector that is hexadecimal."""
    if isinstance(value, str):
        with suppress(ValueError):
            yield bytes.fromhex(value)
    elif isinstance(value, dict | list):
        for each in value.values() if isinstance(value, dict) else value:
            yield from _hex_texts(each)
