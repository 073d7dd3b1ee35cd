from __future__ import annotations

import asyncio
import base64
import hashlib
import itertools
import random
import time
import zlib
from collections.abc import AsyncIterator, Iterable

import pytest
from awscrt import checksums
from hypothesis import given, settings
from hypothesis import strategies as st

from strongroom.api.digests import Digests
from strongroom.api.errors import ApiError
from strongroom.edge.body import NO_BODY, RequestBody
from strongroom.edge.chunked import ChunkSigner
from strongroom.edge.limits import INLINE_MOST, PIECE, SMALL_PART, UPLOAD_MOST
from strongroom.edge.promises import describes_body, has_no_body, read_promises, without_chunked
from strongroom.edge.signing_key import SigningKey
from strongroom.edge.sigv4 import STREAMING_SIGNED, STREAMING_SIGNED_TRAILER, STREAMING_UNSIGNED_TRAILER, UNSIGNED
from strongroom.edge.stall import Pace
from strongroom.edge.turns import MOVING, Mover, Turn, Turns
from tests.edge.test_chunked import KEY, SCOPE, SEED, TIME, framed


class Wire:
    """A body in the given parts; ``pause`` seconds between them."""

    def __init__(self, parts: Iterable[bytes], pause: float = 0.0) -> None:
        self._parts = iter(parts)
        self._pause = pause
        self.sent = 0

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        await asyncio.sleep(self._pause)
        part = next(self._parts, None)
        if part is None:
            raise StopAsyncIteration
        self.sent += len(part)
        return part

    async def whole(self) -> bytes:
        return b"".join([part async for part in self])


def b64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def parts_of(data: bytes, size: int = 100_000) -> list[bytes]:
    return [data[at : at + size] for at in range(0, len(data), size)]


def body_of(
    data: bytes, headers: dict[str, str] | None = None, payload: str = UNSIGNED, *, sent: bytes | None = None
) -> RequestBody:
    headers = {"content-length": str(len(data)), **(headers or {})}
    return RequestBody(Wire(parts_of(data if sent is None else sent)), read_promises(headers, payload), Pace())


async def refused(body: RequestBody) -> ApiError:
    with pytest.raises(ApiError) as caught:
        await body.read(1 << 30)
    await body.close()
    return caught.value


def refused_head(headers: dict[str, str], payload: str = UNSIGNED) -> ApiError:
    with pytest.raises(ApiError) as caught:
        read_promises(headers, payload)
    return caught.value


SMALL = b"hello world"
LARGE = bytes(range(256)) * 4096 * 3 + b"tail"  # 3 MiB and 4 bytes
DIGESTS = {
    "crc32": lambda data: zlib.crc32(data).to_bytes(4, "big"),
    "crc32c": lambda data: checksums.crc32c(data).to_bytes(4, "big"),
    "crc64nvme": lambda data: checksums.crc64nvme(data).to_bytes(8, "big"),
    "sha1": lambda data: hashlib.sha1(data).digest(),
    "sha256": lambda data: hashlib.sha256(data).digest(),
}
sizes = pytest.mark.parametrize("data", [SMALL, LARGE], ids=["small", "large"])


@sizes
async def test_pieces_and_digests(data: bytes) -> None:
    body = body_of(data)
    body.want("md5", "crc64nvme")
    with pytest.raises(LookupError):
        body.digest("md5")
    pieces = [piece async for piece in body]
    assert b"".join(pieces) == data
    assert all(len(piece) >= SMALL_PART for piece in pieces[:-1])
    assert body.digest("md5") == hashlib.md5(data).digest()
    assert body.digest("crc64nvme") == DIGESTS["crc64nvme"](data)
    assert body.length == len(data)
    assert body.claimed_checksum is None


@pytest.mark.parametrize("size", [0, 1, INLINE_MOST, INLINE_MOST + 1, PIECE - 1, PIECE, PIECE + 1, 2 * PIECE])
async def test_sizes_around_the_limits(size: int) -> None:
    data = b"a" * size
    body = body_of(data, payload=hashlib.sha256(data).hexdigest())
    pieces = [piece async for piece in body]
    assert b"".join(pieces) == data
    assert all(pieces)
    assert body.ended


@sizes
@pytest.mark.parametrize("change", [-1, 1])
async def test_a_body_of_another_length_is_incomplete(data: bytes, change: int) -> None:
    sent = data[:-1] if change < 0 else data + b"x"
    error = await refused(body_of(data, sent=sent))
    assert (error.code, error.status) == ("IncompleteBody", 400)


@sizes
async def test_the_signed_digest(data: bytes) -> None:
    right = hashlib.sha256(data).hexdigest()
    assert await body_of(data, payload=right).read(1 << 30) == data
    error = await refused(body_of(data, payload="0" * 64))
    assert error.code == "XAmzContentSHA256Mismatch"
    assert error.members == {"ClientComputedContentSHA256": "0" * 64, "S3ComputedContentSHA256": right}
    assert (await refused(body_of(b"", payload="0" * 64))).code == "XAmzContentSHA256Mismatch"


@sizes
async def test_content_md5(data: bytes) -> None:
    right = b64(hashlib.md5(data).digest())
    assert await body_of(data, {"content-md5": right}).read(1 << 30) == data
    wrong = b64(bytes(16))
    error = await refused(body_of(data, {"content-md5": wrong}))
    assert error.message == "The Content-MD5 you specified did not match what we received."
    assert error.members == {"CalculatedDigest": right, "ExpectedDigest": wrong}


@pytest.mark.parametrize("value", ["", "AAAA", "not base64", "ü", b64(bytes(15)), b64(bytes(16)) + "\n"])
def test_content_md5_must_be_a_digest(value: str) -> None:
    error = refused_head({"content-length": "0", "content-md5": value})
    assert (error.code, error.members) == ("InvalidDigest", {"Content-MD5": value})
    assert error.message == "The Content-MD5 you specified was invalid."


@sizes
@pytest.mark.parametrize("algorithm", DIGESTS)
async def test_checksum_headers(data: bytes, algorithm: str) -> None:
    name, value = f"x-amz-checksum-{algorithm}", b64(DIGESTS[algorithm](data))
    body = body_of(data, {name: value, "x-amz-sdk-checksum-algorithm": algorithm.upper()})
    assert await body.read(1 << 30) == data
    assert body.claimed_checksum == (algorithm.upper(), value)
    error = await refused(body_of(data + b"!", {name: value}))
    assert error.code == "BadDigest"
    assert error.message == f"The {algorithm.upper()} you specified did not match the calculated checksum."
    error = refused_head({"content-length": "0", name: value[:-4]})
    assert (error.code, error.message) == ("InvalidRequest", f"Value for {name} header is invalid.")


@pytest.mark.parametrize(
    ("headers", "text"),
    [
        (
            {"x-amz-checksum-crc32": "AAAAAA==", "x-amz-checksum-sha1": b64(bytes(20))},
            "Expecting a single x-amz-checksum- header.",
        ),
        ({"x-amz-sdk-checksum-algorithm": "CRC32"}, "no corresponding x-amz-checksum-* or x-amz-trailer headers were found"),
        (
            {"x-amz-sdk-checksum-algorithm": "SHA1", "x-amz-checksum-crc32": "AAAAAA=="},
            "x-amz-sdk-checksum-algorithm header is invalid",
        ),
        ({"x-amz-sdk-checksum-algorithm": "FNV"}, "Checksum algorithm provided is unsupported."),
        ({"x-amz-decoded-content-length": "4"}, "needs a streaming x-amz-content-sha256"),
    ],
)
def test_heads_that_do_not_fit_together(headers: dict[str, str], text: str) -> None:
    error = refused_head({"content-length": "4", **headers})
    assert error.code == "InvalidRequest"
    assert text in error.message


def test_algorithms_that_are_not_built_are_refused() -> None:
    assert refused_head({"content-length": "0", "x-amz-checksum-xxhash64": "AAAAAAAAAAA="}).status == 501
    assert refused_head({"content-length": "0", "x-amz-sdk-checksum-algorithm": "SHA512"}).status == 501


def test_lengths() -> None:
    assert refused_head({"content-length": str(UPLOAD_MOST + 1)}).members == {
        "ProposedSize": str(UPLOAD_MOST + 1),
        "MaxSizeAllowed": str(UPLOAD_MOST),
    }
    assert read_promises({"content-length": str(UPLOAD_MOST)}, UNSIGNED).length == UPLOAD_MOST
    for text in ("-1", "1.5", "", "²", "9" * 30):
        assert refused_head({"content-length": text}).code == "InvalidArgument"
    assert read_promises({}, UNSIGNED).length == 0
    assert read_promises({"transfer-encoding": "chunked"}, UNSIGNED).length is None
    assert refused_head({"content-length": "9"}, STREAMING_SIGNED).status == 411


async def test_reading_is_limited() -> None:
    assert (await refused_read(body_of(LARGE), 100)).code == "EntityTooLarge"
    body = RequestBody(Wire([b"x" * 80_000]), read_promises({"transfer-encoding": "chunked"}, UNSIGNED), Pace())
    assert (await refused_read(body, 70_000)).code == "EntityTooLarge"


async def refused_read(body: RequestBody, limit: int) -> ApiError:
    with pytest.raises(ApiError) as caught:
        await body.read(limit)
    await body.close()
    return caught.value


def test_which_operations_check_their_body() -> None:
    assert describes_body("s3", "PutObject")
    assert describes_body("s3", "PutBucketVersioning")
    assert describes_body("s3", "GetObject")
    assert not describes_body("s3", "CompleteMultipartUpload")  # its checksum is the object's


# ------------------------------------------------------------------------------------------------------------ aws-chunked


def chunked(data: bytes, trailer: str) -> bytes:
    return (
        b"".join(f"{len(part):x}\r\n".encode() + part + b"\r\n" for part in parts_of(data, 65536))
        + b"0\r\n"
        + trailer.encode()
        + b"\r\n"
    )


@sizes
@pytest.mark.parametrize("algorithm", DIGESTS)
async def test_trailing_checksums(data: bytes, algorithm: str) -> None:
    name, value = f"x-amz-checksum-{algorithm}", b64(DIGESTS[algorithm](data))
    for wrong in (False, True):
        sent = chunked(data[:-1] + b"!" if wrong else data, f"{name}:{value}\r\n")
        headers = {"x-amz-trailer": name, "x-amz-decoded-content-length": str(len(data)), "content-encoding": "aws-chunked"}
        body = body_of(sent, headers, STREAMING_UNSIGNED_TRAILER)
        assert body.length == len(data)
        if wrong:
            assert (await refused(body)).code == "BadDigest"
        else:
            assert await body.read(1 << 30) == data
            assert body.claimed_checksum == (algorithm.upper(), value)


async def test_a_trailer_must_hold_a_digest() -> None:
    sent = chunked(SMALL, "x-amz-checksum-crc32:nonsense\r\n")
    headers = {"x-amz-trailer": "x-amz-checksum-crc32", "x-amz-decoded-content-length": str(len(SMALL))}
    error = await refused(body_of(sent, headers, STREAMING_UNSIGNED_TRAILER))
    assert error.message == "Value for x-amz-checksum-crc32 trailing header is invalid."


def test_trailers_that_are_not_supported() -> None:
    length = {"content-length": "9", "x-amz-decoded-content-length": "1"}
    unsigned = STREAMING_UNSIGNED_TRAILER
    assert "x-amz-trailer header is not supported" in refused_head({**length, "x-amz-trailer": "x-amz-meta-a"}, unsigned).message
    two = "x-amz-checksum-crc32, x-amz-checksum-sha1"
    assert "Expecting a single" in refused_head({**length, "x-amz-trailer": two}, unsigned).message
    both = {**length, "x-amz-trailer": "x-amz-checksum-crc32", "x-amz-checksum-sha1": b64(bytes(20))}
    assert "Expecting a single" in refused_head(both, unsigned).message
    assert (
        "x-amz-trailer is only allowed"
        in refused_head({**length, "x-amz-trailer": "x-amz-checksum-crc32"}, STREAMING_SIGNED).message
    )
    assert refused_head({"content-length": "9", "x-amz-trailer": "x-amz-checksum-crc32"}).code == "MalformedTrailerError"


@pytest.mark.parametrize("coding", [STREAMING_SIGNED, STREAMING_SIGNED_TRAILER])
def test_signed_chunks_need_a_signed_request(coding: str) -> None:
    with pytest.raises(ApiError) as caught:
        body_of(b"0\r\n\r\n", {"x-amz-decoded-content-length": "0"}, coding)
    assert caught.value.code == "AccessDenied"


def test_aws_chunked_is_taken_off_the_content_encoding() -> None:
    assert without_chunked({"a": "b", "content-encoding": "aws-chunked"}) == {"a": "b"}
    assert without_chunked({"content-encoding": "aws-chunked, gzip"}) == {"content-encoding": "gzip"}
    assert without_chunked({"content-encoding": "gzip"}) == {"content-encoding": "gzip"}


# ------------------------------------------------------------------------------------------------------------ slow clients


@pytest.mark.parametrize("length", [100, INLINE_MOST + 100])
async def test_a_client_that_stalls_times_out(length: int) -> None:
    async def never() -> AsyncIterator[bytes]:
        yield b"x"
        await asyncio.sleep(30)

    class Stuck(Wire):
        def __aiter__(self) -> AsyncIterator[bytes]:
            return never()

    body = RequestBody(Stuck([]), read_promises({"content-length": str(length)}, UNSIGNED), Pace(idle=0.05))
    error = await refused(body)
    assert (error.code, error.status, error.headers) == ("RequestTimeout", 400, {"connection": "close"})
    assert error.message.startswith(
        "Your socket connection to the server was not read from or written to within the timeout period."
    )
    await asyncio.sleep(0)  # the task itself goes on


async def test_a_client_that_drips_times_out_and_a_slow_server_does_not() -> None:
    headers = {"content-length": str(INLINE_MOST + 1000)}
    body = RequestBody(Wire([b"x"] * 100, pause=0.02), read_promises(headers, UNSIGNED), Pace(idle=0.1, least=1000))
    started = time.monotonic()
    assert (await refused(body)).code == "RequestTimeout"
    assert time.monotonic() - started < 1.5
    data = b"x" * 3 * PIECE
    body = RequestBody(Wire(parts_of(data, PIECE)), read_promises({"content-length": str(len(data))}, UNSIGNED), Pace(idle=0.05))
    async for _ in body:
        await asyncio.sleep(0.12)
    assert body.ended


async def test_waiting_for_a_turn_is_not_held_against_the_client() -> None:
    turns, other = Turns(), Mover("other")
    began = [await turns.take(other) for _ in range(MOVING)]
    data = b"x" * (INLINE_MOST + 1)
    body = RequestBody(Wire([data]), read_promises({"content-length": str(len(data))}, UNSIGNED), Pace(idle=0.03, least=1e9))
    body.turn = Turn(turns, Mover("one"))
    reading = asyncio.create_task(body.read(len(data)))
    await asyncio.sleep(0.1)
    assert (turns.waiting, reading.done()) == (1, False)
    turns.give(other, began[0], 0)
    assert await reading == data
    assert turns.moving == MOVING - 1


async def test_a_body_that_is_given_up_gives_its_turn_back() -> None:
    turns = Turns()
    body = body_of(b"x" * 4 * PIECE)
    body.turn = Turn(turns, Mover("one"))
    async for _ in body:
        assert turns.moving == 1
        break
    await body.close()
    assert turns.moving == 0


async def test_cancelling_is_not_a_timeout() -> None:
    body = RequestBody(Wire([b"x"], pause=30), read_promises({"content-length": "5"}, UNSIGNED), Pace(idle=20))
    task = asyncio.ensure_future(body.read(10))
    await asyncio.sleep(0.01)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


# -------------------------------------------------------------------------------------------------------- parts of any size

NOISE = random.Random(7).randbytes(3 * PIECE + 12_345)


@settings(deadline=None, max_examples=25)
@given(
    st.lists(st.sampled_from((1, 100, SMALL_PART - 1, SMALL_PART, 100_000, PIECE, 2 * PIECE + 1)), min_size=1, max_size=12),
    st.sampled_from(("plain", "unsigned", "signed")),
    st.sampled_from((INLINE_MOST + 1, PIECE, len(NOISE))),
)
def test_a_body_is_the_same_in_whatever_parts_it_comes(sizes: list[int], coding: str, length: int) -> None:
    data = NOISE[:length]
    chunks = parts_of(data, 65_536)
    sent = data if coding == "plain" else framed(chunks, {} if coding == "unsigned" else None, signed=coding == "signed")
    headers = {"content-length": str(len(sent)), "x-amz-decoded-content-length": str(length)}
    if coding == "plain":
        headers.pop("x-amz-decoded-content-length")
    payload = {"plain": hashlib.sha256(data).hexdigest(), "unsigned": STREAMING_UNSIGNED_TRAILER, "signed": STREAMING_SIGNED}[
        coding
    ]

    def cut() -> Iterable[bytes]:
        at = 0
        for size in itertools.cycle(sizes):
            if at >= len(sent):
                return
            step = size if len(sent) // size < 200 else 70_001  # few enough
            yield sent[at : at + step]
            at += step

    async def read() -> None:
        signer = ChunkSigner(SigningKey(KEY), TIME, SCOPE, SEED) if coding == "signed" else None
        body = RequestBody(Wire(cut()), read_promises(headers, payload), Pace(), signer)
        body.want("md5", "crc32", "crc32c", "crc64nvme")
        seen = [bytes(part) async for part in body]
        assert b"".join(seen) == data
        assert body.digest("md5") == hashlib.md5(data).digest()
        assert all(body.digest(name) == DIGESTS[name](data) for name in ("crc32", "crc32c", "crc64nvme"))

    asyncio.run(read())


async def test_tiny_parts_are_put_together() -> None:
    """A part has its price, in memory too, in all that follows: nobody sends a million of them."""
    data = NOISE[: PIECE + 5]
    body = RequestBody(Wire(parts_of(data, 50)), read_promises({"content-length": str(len(data))}, UNSIGNED), Pace())
    seen = [bytes(part) async for part in body]
    assert b"".join(seen) == data
    assert all(len(part) >= SMALL_PART for part in seen[:-1])


async def test_what_goes_wrong_in_a_lane_ends_the_body(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(_self: Digests, _parts: object) -> None:
        raise MemoryError

    monkeypatch.setattr(Digests, "update_all", broken)
    body = body_of(NOISE)
    body.want("md5")
    with pytest.raises(MemoryError):
        await body.read(1 << 30)
    await body.close()
    with pytest.raises(LookupError):
        body.digest("md5")


@pytest.mark.parametrize("at", [100, PIECE + 5000, len(NOISE) + 100])
async def test_a_signed_chunk_that_was_changed_ends_the_body_before_it_is_handed_on(at: int) -> None:
    sent = bytearray(framed(parts_of(NOISE, 65_536)))
    sent[at] ^= 1
    headers = {"content-length": str(len(sent)), "x-amz-decoded-content-length": str(len(NOISE))}
    signer = ChunkSigner(SigningKey(KEY), TIME, SCOPE, SEED)
    body = RequestBody(Wire(parts_of(bytes(sent))), read_promises(headers, STREAMING_SIGNED), Pace(), signer)
    seen = bytearray()

    async def read() -> None:
        async for part in body:
            seen.extend(part)

    with pytest.raises(ApiError) as caught:
        await read()
    assert caught.value.code == "SignatureDoesNotMatch"
    assert NOISE.startswith(seen)
    assert len(seen) <= at


# ----------------------------------------------------------------------------------------------------------------- memory


async def test_pieces_in_flight_are_bounded_and_a_given_up_body_leaves_no_task() -> None:
    before = asyncio.all_tasks()
    data = b"x" * PIECE
    wire = Wire([data] * 64)
    body = RequestBody(wire, read_promises({"content-length": str(64 * PIECE)}, UNSIGNED), Pace())
    body.want("md5", "sha256")
    async for _ in body:
        assert wire.sent <= PIECE * 64
        break
    assert wire.sent <= 5 * PIECE
    await body.close()
    await asyncio.sleep(0)
    assert asyncio.all_tasks() == before


# ------------------------------------------------------------------------------------------------------------- no body at all


@pytest.mark.parametrize(
    ("headers", "payload", "none"),
    [
        ({"host": "x", "x-amz-checksum-mode": "ENABLED"}, UNSIGNED, True),
        ({}, hashlib.sha256(b"").hexdigest(), True),
        ({}, hashlib.sha256(b"x").hexdigest(), False),
        ({}, STREAMING_SIGNED, False),
        *(
            ({name: "0"}, UNSIGNED, False)
            for name in (
                "content-length",
                "transfer-encoding",
                "content-md5",
                "x-amz-trailer",
                "x-amz-decoded-content-length",
                "x-amz-sdk-checksum-algorithm",
                "x-amz-checksum-crc32",
                "x-amz-checksum-sha512",
            )
        ),
    ],
)
def test_a_head_that_promises_anything_has_a_body_to_be_checked(headers, payload, none):
    assert has_no_body(headers, payload) is none


async def test_no_body_is_as_an_empty_one():
    empty = RequestBody(Wire([]), read_promises({}, UNSIGNED), Pace())
    await empty.read(0)
    for body in (NO_BODY, empty):
        assert (body.length, body.started, body.ended, body.claimed_checksum) == (0, True, True, None)
    assert await NO_BODY.read(0) == b""
    assert [piece async for piece in NO_BODY] == []
    assert NO_BODY.digest("md5") == hashlib.md5(b"").digest()
    NO_BODY.want("sha256")
    await NO_BODY.close()
