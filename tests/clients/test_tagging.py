"""Tags of objects, as an unmodified client puts, copies and reads them."""

from __future__ import annotations

import pytest

from tests.clients.house import refused
from tests.clients.test_posts import SMALL, form_for, post, read

TAGS = [{"Key": "Gr\u00fc\u00dfe an", "Value": "alle +/="}, {"Key": "b", "Value": ""}]
DOCUMENT = "<Tagging><TagSet><Tag><Key>a</Key><Value>1 \u00fc</Value></Tag></TagSet></Tagging>"


@pytest.fixture(scope="module")
def s3(server):
    """Where nothing else is said, boto3 signs forms by version 2 in us-east-1."""
    client = server.client("s3", signature_version="s3v4")
    yield client
    client.close()


def tags(s3, bucket, key="k", **given):
    return s3.get_object_tagging(Bucket=bucket, Key=key, **given)["TagSet"]


def test_put_got_counted_and_deleted(s3, bucket):
    s3.put_object(Bucket=bucket, Key="k", Body=b"x", Tagging="a=1&b=2")
    at = {"Bucket": bucket, "Key": "k"}
    before = s3.head_object(**at)
    assert before["ResponseMetadata"]["HTTPHeaders"]["x-amz-tagging-count"] == "2"
    assert tags(s3, bucket) == [{"Key": "a", "Value": "1"}, {"Key": "b", "Value": "2"}]
    assert s3.put_object_tagging(**at, Tagging={"TagSet": TAGS})["ResponseMetadata"]["HTTPStatusCode"] == 200
    assert tags(s3, bucket) == TAGS
    after = s3.get_object(**at)
    assert after["Body"].read() == b"x"
    assert [after[name] for name in ("ETag", "LastModified", "TagCount")] == [before["ETag"], before["LastModified"], 2]
    assert s3.delete_object_tagging(**at)["ResponseMetadata"]["HTTPStatusCode"] == 204
    assert tags(s3, bucket) == []
    assert "TagCount" not in s3.head_object(**at)
    twice = {"TagSet": [{"Key": "k", "Value": "1"}, {"Key": "k", "Value": "2"}]}
    assert refused(s3.put_object_tagging, **at, Tagging=twice).code == "InvalidTag"


def test_versions_copies_and_uploads(s3, bucket):
    s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    first = s3.put_object(Bucket=bucket, Key="k", Tagging="n=1")["VersionId"]
    second = s3.put_object(Bucket=bucket, Key="k", Tagging="n=2")["VersionId"]
    assert s3.get_object_tagging(Bucket=bucket, Key="k", VersionId=first)["VersionId"] == first
    assert s3.put_object_tagging(Bucket=bucket, Key="k", VersionId=first, Tagging={"TagSet": TAGS})["VersionId"] == first
    assert [tags(s3, bucket, VersionId=each) for each in (first, second)] == [TAGS, [{"Key": "n", "Value": "2"}]]
    source = {"Bucket": bucket, "Key": "k", "VersionId": first}
    s3.copy_object(Bucket=bucket, Key="copy", CopySource=source)
    assert tags(s3, bucket, "copy") == TAGS
    s3.copy_object(Bucket=bucket, Key="copy", CopySource=source, TaggingDirective="REPLACE", Tagging="c=3")
    assert tags(s3, bucket, "copy") == [{"Key": "c", "Value": "3"}]
    upload = s3.create_multipart_upload(Bucket=bucket, Key="m", Tagging="d=4")["UploadId"]
    part = s3.upload_part(Bucket=bucket, Key="m", UploadId=upload, PartNumber=1, Body=b"x")["ETag"]
    parts = {"Parts": [{"PartNumber": 1, "ETag": part}]}
    s3.complete_multipart_upload(Bucket=bucket, Key="m", UploadId=upload, MultipartUpload=parts)
    assert tags(s3, bucket, "m") == [{"Key": "d", "Value": "4"}]


def test_the_document_of_a_form(s3, server, bucket):
    assert post(server, bucket, form_for(s3, bucket, tagging=DOCUMENT)).status == 204
    assert tags(s3, bucket) == [{"Key": "a", "Value": "1 \u00fc"}]
    assert read(s3, bucket)["TagCount"] == 1
    assert post(server, bucket, form_for(s3, bucket, tagging="<Tagging><TagSet/></Tagging>")).status == 204
    assert tags(s3, bucket) == []


@pytest.mark.parametrize("document", ["", "a=1", "<Tagging/>", "<TagSet/>", DOCUMENT.replace("Value", "Worth"), DOCUMENT[:-1]])
def test_a_document_of_a_form_that_is_none(s3, server, bucket, document):
    s3.put_object(Bucket=bucket, Key="k", Body=SMALL)
    assert post(server, bucket, form_for(s3, bucket, tagging=document), b"new").error[:2] == (400, "MalformedXML")
    assert read(s3, bucket)["Body"].read() == SMALL
