"""CORS as boto3 configures it and a browser meets it: preflights that nobody signs, presigned URLs, forms, refusals."""

from __future__ import annotations

import pytest

from tests.clients.house import Server, refused, unique
from tests.clients.test_posts import form_for, post

PAGE = "https://app.example.com"
RULE = {
    "ID": "app",
    "AllowedOrigins": ["https://*.example.com"],
    "AllowedMethods": ["GET", "PUT", "POST"],
    "AllowedHeaders": ["*"],
    "ExposeHeaders": ["ETag"],
    "MaxAgeSeconds": 3000,
}
ASK = {"Origin": PAGE, "Access-Control-Request-Method": "PUT", "Access-Control-Request-Headers": "content-type,x-amz-meta-a"}


def told(reply):
    return {name: value for name, value in reply.headers.items() if name.startswith("access-control-")}


@pytest.fixture
def shared(s3, bucket):
    s3.put_bucket_cors(Bucket=bucket, CORSConfiguration={"CORSRules": [RULE]})
    return bucket


def test_a_configuration_is_put_got_and_deleted(s3, bucket, shared):
    assert s3.get_bucket_cors(Bucket=bucket)["CORSRules"] == [RULE]
    bad = {**RULE, "AllowedMethods": ["GET", "PATCH"]}
    refusal = refused(s3.put_bucket_cors, Bucket=bucket, CORSConfiguration={"CORSRules": [bad]})
    assert (refusal.status, refusal.code) == (400, "InvalidRequest")
    assert refusal.message == "Found unsupported HTTP method in CORS config. Unsupported method is PATCH"
    assert s3.get_bucket_cors(Bucket=bucket)["CORSRules"] == [RULE]
    assert s3.delete_bucket_cors(Bucket=bucket)["ResponseMetadata"]["HTTPStatusCode"] == 204
    refusal = refused(s3.get_bucket_cors, Bucket=bucket)
    assert (refusal.status, refusal.code) == (404, "NoSuchCORSConfiguration")


@pytest.mark.parametrize(
    "document",
    [
        b"<CORSConfiguration><CORSRule>",
        b"<CORSConfiguration/>",
        b"<CORSConfiguration><CORSRule><AllowedOrigin>*</AllowedOrigin></CORSRule></CORSConfiguration>",
        b"<CORSConfiguration><CORSRule><AllowedOrigin>*</AllowedOrigin><AllowedMethod>GET</AllowedMethod><What/></CORSRule></CORSConfiguration>",
        (
            b"<CORSConfiguration><CORSRule><AllowedOrigin>*</AllowedOrigin><AllowedMethod>GET</AllowedMethod>"
            b"<MaxAgeSeconds>soon</MaxAgeSeconds></CORSRule></CORSConfiguration>"
        ),
    ],
)
def test_a_document_that_is_none_keeps_the_old_one(server, s3, shared, document):
    status, code, _ = server.ask("PUT", f"/{shared}?cors", body=document).error
    assert (status, code) == (400, "MalformedXML")
    assert s3.get_bucket_cors(Bucket=shared)["CORSRules"] == [RULE]


def test_a_page_uploads_and_downloads(server, s3, shared):
    """By presigned URLs, whose preflight has the signature of another method in its query."""
    client = server.client("s3", signature_version="s3v4")
    url = client.generate_presigned_url("put_object", {"Bucket": shared, "Key": "k", "ContentType": "text/plain"})
    allowed = server.follow("OPTIONS", url, ASK)
    assert (allowed.status, allowed.body) == (200, b"")
    assert allowed.headers["access-control-allow-headers"] == "content-type, x-amz-meta-a"
    expected = {
        "access-control-allow-origin": PAGE,
        "access-control-allow-credentials": "true",
        "access-control-allow-methods": "GET, PUT, POST",
        "access-control-expose-headers": "ETag",
        "access-control-max-age": "3000",
    }
    put = server.follow("PUT", url, {"Origin": PAGE, "Content-Type": "text/plain"}, b"hello")
    assert (put.status, told(put)) == (200, expected)
    url = client.generate_presigned_url("get_object", {"Bucket": shared, "Key": "k"})
    got = server.follow("GET", url, {"Origin": PAGE})
    assert (got.status, got.body, told(got)) == (200, b"hello", expected)
    assert "Origin" in got.headers["vary"]
    cached = server.follow("GET", url, {"Origin": PAGE, "If-None-Match": got.headers["etag"]})
    assert (cached.status, told(cached)) == (304, expected)
    assert told(server.follow("GET", url)) == {}
    nobody = server.ask("GET", f"/{shared}/k", {"Origin": PAGE}, anonymous=True)
    assert (nobody.status, told(nobody)) == (403, expected)
    client.close()


def test_a_form_of_a_page(server, shared):
    client = server.client("s3", signature_version="s3v4")
    sent = post(server, shared, form_for(client, shared), Origin=PAGE)
    assert (sent.status, told(sent)["access-control-allow-origin"]) == (204, PAGE)
    again = post(server, shared, form_for(client, shared) | {"key": "other"}, Origin=PAGE)
    assert (again.status, told(again)["access-control-allow-origin"]) == (403, PAGE)
    client.close()


def test_who_is_not_let_in(server, s3, bucket, shared):
    elsewhere = server.send("OPTIONS", f"/{shared}/k", {**ASK, "Origin": "https://example.org"})
    assert elsewhere.error[:2] == (403, "AccessForbidden")
    assert elsewhere.members["ResourceType"] == "OBJECT"
    assert told(elsewhere) == {}
    s3.delete_bucket_cors(Bucket=bucket)
    closed = server.send("OPTIONS", f"/{shared}", ASK)
    assert closed.error == (403, "AccessForbidden", "CORSResponse: CORS is not enabled for this bucket.")
    assert (closed.members["Method"], closed.members["ResourceType"]) == ("PUT", "BUCKET")


def test_a_bucket_that_the_host_names(tmp_path, resolving):
    server = Server(tmp_path, {"STRONGROOM_DOMAINS": "localhost"})
    server.start()
    try:
        name, client = unique(), server.client("s3")
        client.create_bucket(Bucket=name)
        client.put_bucket_cors(Bucket=name, CORSConfiguration={"CORSRules": [RULE]})
        for path, kind in (("/", "BUCKET"), ("/a/b", "OBJECT")):
            host = {"Host": f"{name}.localhost:{server.port}"}
            assert told(server.send("OPTIONS", path, {**ASK, **host}))["access-control-allow-origin"] == PAGE
            refusal = server.send("OPTIONS", path, {**ASK, **host, "Origin": "https://example.org"})
            assert refusal.members["ResourceType"] == kind
        client.close()
    finally:
        server.close()
