"""Microseconds that routing, decoding and encoding take for the hot operations. One core, no server."""

from __future__ import annotations

import timeit
from datetime import UTC, datetime

from strongroom.api.codec import Codec
from strongroom.api.operation import Answer
from strongroom.api.routing import Router

COMMON = {
    "host": "bucket.localhost:9000",
    "user-agent": "Boto3/1.44 md/Botocore#1.44 ua/2.1 os/linux md/arch#x86_64 lang/python#3.11",
    "x-amz-date": "20261124T000000Z",
    "x-amz-content-sha256": "UNSIGNED-PAYLOAD",
    "authorization": "AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20261124/us-east-1/s3/aws4_request, SignedHeaders=host, Signature=0",
    "amz-sdk-invocation-id": "00000000-0000-0000-0000-000000000000",
    "amz-sdk-request": "attempt=1",
}
PUT = COMMON | {
    "content-length": "4096",
    "content-type": "text/plain",
    "x-amz-sdk-checksum-algorithm": "CRC32",
    "x-amz-checksum-crc32": "AAAAAA==",
    "x-amz-meta-colour": "blue",
    "expect": "100-continue",
}
ETAG = '"d41d8cd98f00b204e9800998ecf8427e"'
PUT_ANSWER = Answer({"ETag": ETAG, "ServerSideEncryption": "AES256", "ChecksumCRC32": "AAAAAA==", "ChecksumType": "FULL_OBJECT"})
GET_ANSWER = Answer(
    {
        "LastModified": datetime(2026, 11, 24, tzinfo=UTC),
        "ETag": ETAG,
        "ContentLength": 4096,
        "ContentType": "text/plain",
        "AcceptRanges": "bytes",
        "ServerSideEncryption": "AES256",
        "Metadata": {"colour": "blue"},
    },
    body=b"x" * 4096,
)


def main() -> None:
    router, codec = Router(["localhost"]), Codec()
    put = router.route("PUT", "/folder/object", "", PUT)
    get = router.route("GET", "/folder/object", "", COMMON)
    cases = {
        "route  PutObject": lambda: router.route("PUT", "/folder/object", "", PUT),
        "route  GetObject": lambda: router.route("GET", "/folder/object", "", COMMON),
        "route  UploadPart": lambda: router.route("PUT", "/folder/object", "partNumber=1&uploadId=abc", PUT),
        "decode PutObject": lambda: codec.decode(put, "", PUT, None),
        "decode GetObject": lambda: codec.decode(get, "", COMMON, None),
        "encode PutObject": lambda: codec.encode("s3", "PutObject", PUT_ANSWER, "0123456789ABCDEF", "host"),
        "encode GetObject": lambda: codec.encode("s3", "GetObject", GET_ANSWER, "0123456789ABCDEF", "host"),
    }
    for name, case in cases.items():
        case()
        rounds = 50_000
        best = min(timeit.repeat(case, number=rounds, repeat=5)) / rounds
        print(f"{name}  {best * 1e6:5.2f} µs")


if __name__ == "__main__":
    main()
