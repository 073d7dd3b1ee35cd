from __future__ import annotations

import hmac
import re
from hashlib import sha256

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from strongroom.api.errors import ApiError
from strongroom.edge.chunked import SIGNED_CHUNK_MOST, ChunkDecoder, ChunkSigner
from strongroom.edge.signing_key import SigningKey

KEY = bytes(range(32))
TIME = "20260101T000000Z"
SCOPE = "20260101/eu-west-1/s3/aws4_request"
SEED = "5" * 64
EMPTY = sha256(b"").hexdigest()
TRAILER = "x-amz-checksum-crc32c"


def sign(kind: str, previous: str, rest: str) -> str:
    return hmac.digest(KEY, f"{kind}\n{TIME}\n{SCOPE}\n{previous}\n{rest}".encode(), "sha256").hex()


def framed(chunks: list[bytes], trailers: dict[str, str] | None = None, *, signed: bool = True, end: bytes = b"\r\n") -> bytes:
    out, previous = b"", SEED
    for chunk in [*chunks, b""]:
        previous = sign("AWS4-HMAC-SHA256-PAYLOAD", previous, f"{EMPTY}\n{sha256(chunk).hexdigest()}")
        out += f"{len(chunk):x}{f';chunk-signature={previous}' if signed else ''}\r\n".encode()
        out += chunk + b"\r\n" if chunk else b""
    if trailers is not None:
        for name, value in trailers.items():
            out += f"{name}:{value}".encode() + end
        if signed:
            text = "".join(f"{name}:{value}\n" for name, value in trailers.items())
            signature = sign("AWS4-HMAC-SHA256-TRAILER", previous, sha256(text.encode()).hexdigest())
            out += f"x-amz-trailer-signature:{signature}\r\n".encode()
    return out + b"\r\n"


def decoder(length: int, *, signed: bool = True, trailing: bool = False, declared: frozenset[str] = frozenset()) -> ChunkDecoder:
    signer = ChunkSigner(SigningKey(KEY), TIME, SCOPE, SEED) if signed else None
    return ChunkDecoder(length, signer, trailing=trailing, declared=declared)


def decode(data: bytes, length: int, *, step: int = 0, **more: object) -> tuple[bytes, ChunkDecoder]:
    chunks = decoder(length, **more)  # type: ignore[arg-type]
    pieces = [data[at : at + step] for at in range(0, len(data), step)] if step else [data]
    out = b"".join(part for piece in pieces for part in chunks.feed(piece))
    chunks.finish()
    return out, chunks


def refused(data: bytes, length: int, **more: object) -> ApiError:
    with pytest.raises(ApiError) as caught:
        decode(data, length, **more)
    return caught.value


BIG = b"x" * 8192
FORMS = [
    pytest.param([BIG, b"rest"], None, True, id="signed"),
    pytest.param([BIG, b"rest"], {TRAILER: "AAAAAA=="}, True, id="signed trailer"),
    pytest.param([BIG, b"rest"], {TRAILER: "AAAAAA=="}, False, id="unsigned trailer"),
    pytest.param([], {TRAILER: "AAAAAA=="}, False, id="nothing but a trailer"),
    pytest.param([], None, True, id="nothing"),
]


@pytest.mark.parametrize(("chunks", "trailers", "signed"), FORMS)
def test_every_form_decodes(chunks: list[bytes], trailers: dict[str, str] | None, signed: bool) -> None:
    payload = b"".join(chunks)
    more = {"signed": signed, "trailing": trailers is not None, "declared": frozenset(trailers or {})}
    data = framed(chunks, trailers, signed=signed)
    for step in (0, 1, 2, 3, 7, 100, 8192):
        out, seen = decode(data, len(payload), step=step, **more)
        assert out == payload
        assert seen.trailers == (trailers or {})


@pytest.mark.parametrize(("chunks", "trailers", "signed"), FORMS)
def test_split_at_every_byte_and_cut_at_every_byte(chunks: list[bytes], trailers: dict[str, str] | None, signed: bool) -> None:
    chunks = [chunk[-4:] for chunk in chunks][:1]
    payload = b"".join(chunks)
    data = framed(chunks, trailers, signed=signed)
    for at in range(len(data)):
        chunk_decoder = decoder(len(payload), signed=signed, trailing=trailers is not None, declared=frozenset(trailers or {}))
        out = b"".join([*chunk_decoder.feed(data[:at]), *chunk_decoder.feed(data[at:])])
        chunk_decoder.finish()
        assert out == payload
        chunk_decoder = decoder(len(payload), signed=signed, trailing=trailers is not None, declared=frozenset(trailers or {}))
        chunk_decoder.feed(data[:at])
        with pytest.raises(ApiError) as caught:
            chunk_decoder.finish()
        assert caught.value.code == "IncompleteBody"


@pytest.mark.parametrize(("chunks", "trailers", "signed"), FORMS[:2])
def test_a_byte_changed_anywhere_is_found(chunks: list[bytes], trailers: dict[str, str] | None, signed: bool) -> None:
    chunks = [b"payload"]
    data = framed(chunks, trailers)
    more = {"trailing": trailers is not None, "declared": frozenset(trailers or {})}
    for at in range(len(data)):
        changed = data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]
        refused(changed, 7, **more)


def test_a_signed_chunk_is_held_until_its_signature_is_verified() -> None:
    data = framed([BIG])
    chunks = decoder(len(BIG))
    start = data.index(b"\r\n") + 2
    assert chunks.feed(data[: start + 8191]) == []
    assert b"".join(chunks.feed(data[start + 8191 : start + 8192])) == BIG
    chunks = decoder(len(BIG))
    with pytest.raises(ApiError) as caught:
        chunks.feed(data.replace(b"xx", b"yy", 1))
    assert caught.value.code == "SignatureDoesNotMatch"


def test_chunks_cannot_be_swapped_dropped_or_repeated() -> None:
    one, two = b"1" * 8192, b"2" * 8192
    data = framed([one, two])
    parts = [part + b"\r\n" for part in re.split(rb"\r\n(?=2000;|0;)", data)]
    assert len(parts) == 3
    assert b"".join(parts) == data + b"\r\n"
    for order in ([1, 0, 2], [0, 2], [0, 0, 2], [2]):
        chosen = b"".join(parts[number] for number in order)
        assert refused(chosen, 8192 * (len(order) - 1)).code == "SignatureDoesNotMatch"


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"zz\r\n", "InvalidRequest"),
        (b"-1\r\n", "InvalidRequest"),
        (b"\r\n", "InvalidRequest"),
        (b"4\nabcd\r\n0\r\n\r\n", "InvalidRequest"),
        (b"4;chunk-signature=x\r\n", "InvalidRequest"),
        (b"0" * 300, "InvalidRequest"),
        (b"11111111111111111\r\n", "InvalidRequest"),
        (b"4\r\nabcdXX0\r\n\r\n", "IncompleteBody"),
        (b"4\r\nabcde\r\n0\r\n\r\n", "IncompleteBody"),
        (b"5\r\nabcde\r\n0\r\n\r\n", "IncompleteBody"),
        (b"3\r\nabc\r\n0\r\n\r\n", "IncompleteBody"),
        (b"4\r\nabcd\r\n0\r\n\r\nX", "InvalidRequest"),
        (b"4\r\nabcd\r\n", "IncompleteBody"),
        (b"4\r\nabcd\r\n0\r\n", "IncompleteBody"),
        (b"4\r\nabcd\r\n0\r\nx-amz-meta-a:1\r\n\r\n", "MalformedTrailerError"),
        (b"4\r\nabcd\r\n0\r\nno colon\r\n\r\n", "MalformedTrailerError"),
        (b"4\r\nabcd\r\n0\r\n" + b"x" * 5000, "MalformedTrailerError"),
        (b"2\r\nab\r\n2\r\ncd\r\n0\r\n\r\n", "InvalidChunkSizeError"),
    ],
)
def test_frames_that_are_not_well_formed(data: bytes, code: str) -> None:
    assert refused(data, 4, signed=False, trailing=True).code == code
    assert refused(data, 4, signed=False, trailing=True, step=1).code == code


def test_trailers_are_those_declared() -> None:
    declared = frozenset({TRAILER})
    assert decode(b"0\r\n\r\n", 0, signed=False, trailing=True)[1].trailers == {}
    for text in ("", f"{TRAILER}:a\r\n{TRAILER}:a\r\n", "x-amz-checksum-sha1:a\r\n", "x-amz-trailer-signature:a\r\n"):
        data = b"0\r\n" + text.encode() + b"\r\n"
        assert refused(data, 0, signed=False, trailing=True, declared=declared).code == "MalformedTrailerError"
    data = framed([b"abcd"], {TRAILER: "AAAAAA=="})
    unsigned = re.sub(rb"x-amz-trailer-signature:.*\r\n", b"", data)
    assert refused(unsigned, 4, trailing=True, declared=declared).code == "SignatureDoesNotMatch"


def test_a_line_feed_before_the_end_of_a_trailer_is_forgiven() -> None:
    data = framed([b"abcd"], {TRAILER: "AAAAAA=="}, end=b"\n\r\n")
    assert decode(data, 4, trailing=True, declared=frozenset({TRAILER}))[1].trailers == {TRAILER: "AAAAAA=="}
    assert decode(data, 4, step=1, trailing=True, declared=frozenset({TRAILER}))[1].trailers == {TRAILER: "AAAAAA=="}


def test_what_is_held_back_is_bounded() -> None:
    size = SIGNED_CHUNK_MOST + 1
    error = refused(f"{size:x};chunk-signature={'0' * 64}\r\n".encode(), size)
    assert error.code == "InvalidChunkSizeError"


@given(
    sizes=st.lists(st.integers(8192, 9000), max_size=3), last=st.integers(0, 50), step=st.integers(1, 3000), signed=st.booleans()
)
@settings(max_examples=60, deadline=None)
def test_any_chunks_in_any_pieces(sizes: list[int], last: int, step: int, *, signed: bool) -> None:
    chunks = [bytes([number]) * size for number, size in enumerate(sizes)] + ([b"z" * last] if last else [])
    payload = b"".join(chunks)
    data = framed(chunks, {TRAILER: "AAAAAA=="}, signed=signed)
    assert decode(data, len(payload), step=step, signed=signed, trailing=True, declared=frozenset({TRAILER}))[0] == payload
