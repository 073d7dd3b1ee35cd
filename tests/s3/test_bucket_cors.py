"""CORS of a bucket: the configuration with its limits and refusals, and the answer to a preflight."""

from __future__ import annotations

import pytest

PAGE = "https://www.example.com"
RULE = {"ID": "one", "AllowedOrigins": [PAGE], "AllowedMethods": ["GET", "PUT"], "AllowedHeaders": ["Content-*", "X-Amz-Date"]}
OPEN = {"AllowedOrigins": ["*"], "AllowedMethods": ["GET"], "MaxAgeSeconds": 0}


@pytest.fixture
async def bucket(vault):
    return await vault.make()


async def put(vault, *rules):
    answer = await vault.ask("PutBucketCors", Bucket="bucket", CORSConfiguration={"CORSRules": list(rules)})
    assert (answer.status, answer.output) == (None, {})


async def got(vault):
    return (await vault.run("GetBucketCors", Bucket="bucket"))["CORSRules"]


def preflight(origin=PAGE, method="GET", headers=None):
    given = {"origin": origin, "access-control-request-method": method, "access-control-request-headers": headers}
    return {name: value for name, value in given.items() if value is not None}


async def test_a_configuration_takes_the_place_of_the_one_before(vault, bucket):
    error = await vault.refused("GetBucketCors", Bucket="bucket")
    assert (error.status, error.code, error.message) == (404, "NoSuchCORSConfiguration", "The CORS configuration does not exist")
    assert error.members == {"BucketName": "bucket"}
    await put(vault, RULE, OPEN)
    assert await got(vault) == [RULE, OPEN]
    await put(vault, OPEN)
    assert await got(vault) == [OPEN]
    for _ in range(2):
        assert await vault.run("DeleteBucketCors", Bucket="bucket") == {}
        assert (await vault.refused("GetBucketCors", Bucket="bucket")).code == "NoSuchCORSConfiguration"


async def test_it_goes_with_its_bucket(vault, bucket):
    await put(vault, RULE)
    await vault.run("DeleteBucket", Bucket="bucket")
    await vault.make()
    assert (await vault.refused("GetBucketCors", Bucket="bucket")).code == "NoSuchCORSConfiguration"


@pytest.mark.parametrize(
    ("rules", "code", "message"),
    [
        ([], "MalformedXML", None),
        ([{"AllowedOrigins": ["*"]}], "MalformedXML", None),
        ([{"AllowedOrigins": [], "AllowedMethods": ["GET"]}], "MalformedXML", None),
        ([OPEN] * 101, "InvalidRequest", "The number of CORS rules should not exceed allowed limit of 100 rules."),
        (
            [{**OPEN, "AllowedMethods": ["GET", "OPTIONS"]}],
            "InvalidRequest",
            "Found unsupported HTTP method in CORS config. Unsupported method is OPTIONS",
        ),
        (
            [{**OPEN, "AllowedMethods": ["get"]}],
            "InvalidRequest",
            "Found unsupported HTTP method in CORS config. Unsupported method is get",
        ),
        (
            [OPEN, {**OPEN, "AllowedOrigins": ["http://*.*.com"]}],
            "InvalidRequest",
            'AllowedOrigin "http://*.*.com" can not have more than one wildcard.',
        ),
        ([{**OPEN, "AllowedHeaders": ["x*y*"]}], "InvalidRequest", 'AllowedHeader "x*y*" can not have more than one wildcard.'),
        (
            [{**OPEN, "ExposeHeaders": ["x-amz-*"]}],
            "InvalidRequest",
            'ExposeHeader "x-amz-*" contains wildcard. We currently do not support wildcard for ExposeHeader.',
        ),
        ([{**OPEN, "ID": "i" * 256}], "InvalidRequest", "The ID of a CORS rule cannot be longer than 255 characters."),
        ([{**OPEN, "MaxAgeSeconds": -1}], "MalformedXML", None),
        ([{**OPEN, "AllowedOrigins": ["https://" + "o" * 24] * 2049}], "MaxMessageLengthExceeded", None),
        ([{**OPEN, "ExposeHeaders": ["ETag\r\nSet-Cookie: a=b"]}], "MalformedXML", None),
        ([{**OPEN, "AllowedHeaders": [""]}], "MalformedXML", None),
        ([{**OPEN, "AllowedOrigins": ["https://a b"]}], "MalformedXML", None),
    ],
)
async def test_a_bad_configuration_is_refused_and_the_old_one_stays(vault, bucket, rules, code, message):
    await put(vault, RULE)
    error = await vault.refused("PutBucketCors", Bucket="bucket", CORSConfiguration={"CORSRules": rules})
    assert (error.status, error.code) == (400, code)
    assert message in {None, error.message}
    assert await got(vault) == [RULE]


async def test_the_most_that_goes(vault, bucket):
    await put(vault, *[{**OPEN, "ID": "i" * 255}] * 100)
    assert len(await got(vault)) == 100


async def asked(vault, key="k", **headers):
    return (await vault.ask("Preflight", Bucket="bucket", Key=key, headers=preflight(**headers))).output


async def test_a_preflight_that_is_allowed(vault, bucket):
    await put(vault, RULE, OPEN)
    assert await asked(vault, method="PUT", headers="content-TYPE, x-amz-date,") == {
        "access-control-allow-origin": PAGE,
        "access-control-allow-credentials": "true",
        "access-control-allow-methods": "GET, PUT",
        "access-control-allow-headers": "content-type, x-amz-date",
        "vary": "Origin, Access-Control-Request-Headers, Access-Control-Request-Method",
    }
    open_to_all = await asked(vault, key="", origin="https://elsewhere.test")
    assert open_to_all["access-control-allow-origin"] == "*"
    assert open_to_all["access-control-max-age"] == "0"
    assert "access-control-allow-credentials" not in open_to_all


NOT_ALLOWED = (
    "CORSResponse: This CORS request is not allowed. This is usually because the evalution of Origin, request method / "
    "Access-Control-Request-Method or Access-Control-Request-Headers are not whitelisted by the resource's CORS spec."
)


@pytest.mark.parametrize(
    "headers",
    [
        preflight("https://elsewhere.test", "PUT"),
        preflight(method="DELETE"),
        preflight(method="PUT", headers="authorization"),
    ],
)
@pytest.mark.parametrize(("key", "kind"), [("k", "OBJECT"), ("", "BUCKET")])
async def test_a_preflight_that_is_not(vault, bucket, headers, key, kind):
    await put(vault, RULE, OPEN)
    error = await vault.refused("Preflight", Bucket="bucket", Key=key, headers=headers)
    assert (error.status, error.code, error.message) == (403, "AccessForbidden", NOT_ALLOWED)
    assert error.members == {"Method": headers["access-control-request-method"], "ResourceType": kind}


async def test_a_preflight_where_there_is_nothing_to_say(vault, bucket):
    error = await vault.refused("Preflight", Bucket="bucket", Key="k", headers=preflight())
    assert (error.status, error.code) == (403, "AccessForbidden")
    assert error.message == "CORSResponse: CORS is not enabled for this bucket."
    error = await vault.refused("Preflight", Bucket="none", Key="k", headers=preflight())
    assert (error.status, error.code, error.message) == (403, "AccessForbidden", "CORSResponse: Bucket not found")
    error = await vault.refused("Preflight", Bucket="", Key="", headers=preflight())
    assert (error.status, error.code) == (405, "MethodNotAllowed")


@pytest.mark.parametrize(
    ("headers", "message"),
    [
        ({}, "Insufficient information. Origin request header needed."),
        (preflight(method=None), "Invalid Access-Control-Request-Method: null"),
        (preflight(method="PATCH"), "Invalid Access-Control-Request-Method: PATCH"),
    ],
)
async def test_a_preflight_that_says_too_little(vault, bucket, headers, message):
    await put(vault, RULE)
    error = await vault.refused("Preflight", Bucket="bucket", Key="k", headers=headers)
    assert (error.status, error.code, error.message) == (400, "BadRequest", message)


@pytest.mark.parametrize("name", ["PutBucketCors", "GetBucketCors", "DeleteBucketCors"])
async def test_needs_and_a_bucket_that_is_not_there(vault, name):
    need = vault.register.find("s3", name).need
    assert need.action == ("s3:GetBucketCORS" if name.startswith("Get") else "s3:PutBucketCORS")
    given = {"CORSConfiguration": {"CORSRules": [OPEN]}} if name.startswith("Put") else {}
    assert (await vault.refused(name, Bucket="none", **given)).code == "NoSuchBucket"
