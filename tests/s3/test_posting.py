"""What a form upload is answered with."""

from __future__ import annotations

import pytest

from strongroom.s3.posting import location_of, redirected
from tests.s3.test_multipart import TAIL
from tests.s3.vault import body_of

GIVEN = {"Bucket": "bucket", "Key": "a&b"}


@pytest.mark.parametrize(
    ("address", "sent"),
    [
        ("https://example.com", "https://example.com?bucket=bucket&key=a%26b&etag=%22e%22"),
        ("http://example.com:81/ü?#f", "http://example.com:81/%C3%BC?bucket=bucket&key=a%26b&etag=%22e%22#f"),
        ("https://example.com/%2F?a=%20", "https://example.com/%2F?a=%20&bucket=bucket&key=a%26b&etag=%22e%22"),
        ("", None),
        (None, None),
        ("example.com", None),
        ("//example.com", None),
        ("https:///a", None),
        ("data:text/html,x", None),
        ("https://example.com/\n", None),
        (" https://example.com/", None),
        ("https://[", None),
    ],
)
def test_redirects(address, sent):
    assert redirected(address, GIVEN, '"e"') == sent


async def test_the_address_of_the_object(vault):
    await vault.make()
    call = vault.call("PostObject", **GIVEN)
    assert location_of(call) == "http://s3.example:9000/bucket/a%26b"
    call.virtual_host = True
    assert location_of(call) == "http://s3.example:9000/a%26b"


@pytest.mark.parametrize("size", [0, 1, 65_400, 65_600, 300_000])
async def test_a_body_whose_length_nobody_has_told(vault, size):
    """It lives where one whose length was told lives."""
    await vault.make()
    data = (TAIL * 400)[:size]
    for operation in ("PutObject", "PostObject"):
        body = body_of(data, length=None if operation == "PostObject" else size, wire_length=None)
        await vault.run(operation, Bucket="bucket", Key=operation, data=body)
        assert (await vault.get(operation))[0] == data
    rows = vault.sql("SELECT length(body) FROM version ORDER BY object_key")
    assert rows[0] == rows[1]
