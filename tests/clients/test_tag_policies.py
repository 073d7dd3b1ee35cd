"""Policies that ask for tags: of the object that is there, and of the request. By real users and bucket policies."""

from __future__ import annotations

import json

import pytest

from tests.clients.house import refused, unique
from tests.clients.test_posts import form_for, post
from tests.clients.test_user_rights import ALLOW_ALL, arn_of, new_user

PUBLIC = {"StringEquals": {"s3:ExistingObjectTag/Class": "public"}}


@pytest.fixture
def user(server, iam, s3, bucket):
    """A client of a user who may what is said, on the bucket."""
    made = []

    def user(*statements):
        _, who = new_user(
            server, iam, *({"Resource": [f"arn:aws:s3:::{bucket}", f"arn:aws:s3:::{bucket}/*"], **one} for one in statements)
        )
        client = server.client("s3", who, signature_version="s3v4")
        made.append(client)
        return client

    yield user
    for client in made:
        client.close()


def allow(*actions, **condition):
    said = {"Effect": "Allow", "Action": [f"s3:{action}" for action in actions]}
    return {**said, "Condition": condition} if condition else said


def deny(*actions, **condition):
    return {**allow(*actions, **condition), "Effect": "Deny"}


@pytest.mark.fact("C44")
def test_c44_reads_by_the_tags_of_the_object(s3, bucket, user):
    reads = ("GetObject", "GetObjectVersion", "GetObjectTagging", "GetObjectVersionTagging")
    reader = user(allow(*reads, **PUBLIC), allow("ListBucket"))
    s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    secret = s3.put_object(Bucket=bucket, Key="k", Body=b"secret", Tagging="Class=secret")["VersionId"]
    public = s3.put_object(Bucket=bucket, Key="k", Body=b"public", Tagging="Class=public")["VersionId"]
    at = {"Bucket": bucket, "Key": "k"}
    assert reader.get_object(**at)["Body"].read() == b"public"
    assert reader.head_object(**at, VersionId=public)["TagCount"] == 1
    assert reader.get_object_tagging(**at)["TagSet"] == [{"Key": "Class", "Value": "public"}]
    for call in (reader.get_object, reader.get_object_tagging):
        assert refused(call, **at, VersionId=secret).code == "AccessDenied"
    assert refused(reader.head_object, **at, VersionId=secret).status == 403
    s3.put_object_tagging(**at, Tagging={"TagSet": []})
    assert refused(reader.get_object, **at).code == "AccessDenied"
    s3.put_object_tagging(**at, VersionId=secret, Tagging={"TagSet": [{"Key": "Class", "Value": "public"}]})
    assert reader.get_object(**at, VersionId=secret)["Body"].read() == b"secret"
    assert refused(reader.get_object, **at).code == "AccessDenied"
    assert refused(reader.get_object, **at, VersionId="x").code == "AccessDenied"


def test_a_source_is_judged_by_its_own_tags(s3, bucket, user):
    copier = user(
        allow("GetObject", "PutObject", "GetObjectTagging", "PutObjectTagging"),
        deny("GetObject", StringEquals={"s3:ExistingObjectTag/Class": "secret"}),
    )
    s3.put_object(Bucket=bucket, Key="secret", Body=b"secret", Tagging="Class=secret")
    s3.put_object(Bucket=bucket, Key="public", Body=b"public", Tagging="Class=public")
    for key in ("secret", "public"):  # those of what is overwritten are not asked for
        copier.copy_object(Bucket=bucket, Key=key, CopySource=f"{bucket}/public", MetadataDirective="REPLACE")
        s3.put_object_tagging(Bucket=bucket, Key=key, Tagging={"TagSet": [{"Key": "Class", "Value": key}]})
    for to in ("public", "new"):
        assert refused(copier.copy_object, Bucket=bucket, Key=to, CopySource=f"{bucket}/secret").code == "AccessDenied"
    upload = {"Bucket": bucket, "Key": "m", "UploadId": copier.create_multipart_upload(Bucket=bucket, Key="m")["UploadId"]}
    assert refused(copier.upload_part_copy, **upload, PartNumber=1, CopySource=f"{bucket}/secret").code == "AccessDenied"
    copier.upload_part_copy(**upload, PartNumber=1, CopySource=f"{bucket}/public")


def test_writes_by_the_tags_they_bring(s3, server, bucket, user):
    good = {
        "StringEquals": {"s3:RequestObjectTag/Project": "good"},
        "ForAllValues:StringEquals": {"s3:RequestObjectTagKeys": ["Project", "Year"]},
    }
    writer = user(
        allow("PutObject", "GetObject", "GetObjectTagging"), allow("PutObjectTagging", "PutObjectVersionTagging", **good)
    )
    at = {"Bucket": bucket, "Key": "k"}
    writer.put_object(**at, Body=b"untagged")
    writer.put_object(**at, Body=b"good", Tagging="Project=good&Year=1")
    tagging = {"TagSet": [{"Key": "Project", "Value": "good"}]}
    writer.put_object_tagging(**at, Tagging=tagging)
    writer.create_multipart_upload(**at, Tagging="Project=good")
    form = "<Tagging><TagSet><Tag><Key>Project</Key><Value>{}</Value></Tag></TagSet></Tagging>"
    assert post(server, bucket, form_for(writer, bucket, tagging=form.format("good"))).status == 204
    assert post(server, bucket, form_for(writer, bucket, tagging=form.format("bad")), b"bad").error[:2] == (403, "AccessDenied")
    for tags in ("Project=bad", "Year=1", "Project=good&Other=1", "Project=good&project=bad"):
        assert refused(writer.put_object, **at, Body=b"bad", Tagging=tags).code == "AccessDenied"
        assert refused(writer.create_multipart_upload, **at, Tagging=tags).code == "AccessDenied"
        copy = {"CopySource": f"{bucket}/k", "TaggingDirective": "REPLACE", "MetadataDirective": "REPLACE"}
        assert refused(writer.copy_object, **at, **copy, Tagging=tags).code == "AccessDenied"
    assert (
        refused(writer.put_object_tagging, **at, Tagging={"TagSet": [{"Key": "Project", "Value": "bad"}]}).code == "AccessDenied"
    )
    assert s3.get_object_tagging(**at)["TagSet"] == tagging["TagSet"]
    assert s3.get_object(**at)["Body"].read() != b"bad"


def test_tags_that_a_copy_takes_along_are_judged_too(s3, bucket, user):
    """Whatever the header says that does not count."""
    copier = user(
        allow("PutObject", "GetObject", "GetObjectTagging"),
        allow("PutObjectTagging", StringEquals={"s3:RequestObjectTag/Project": "good"}),
    )
    s3.put_object(Bucket=bucket, Key="good", Tagging="Project=good")
    s3.put_object(Bucket=bucket, Key="bad", Tagging="Project=bad")
    copier.copy_object(Bucket=bucket, Key="k", CopySource=f"{bucket}/good")
    for given in ({}, {"Tagging": "Project=good"}, {"Tagging": "Project=good", "TaggingDirective": "COPY"}):
        assert refused(copier.copy_object, Bucket=bucket, Key="k", CopySource=f"{bucket}/bad", **given).code == "AccessDenied"
    assert s3.get_object_tagging(Bucket=bucket, Key="k")["TagSet"] == [{"Key": "Project", "Value": "good"}]


def test_a_bucket_policy_that_asks_for_tags(s3, server, iam, bucket):
    """A Deny of it holds for those whom everything else allows."""
    name, who = new_user(server, iam, ALLOW_ALL)
    statement = {
        "Effect": "Deny",
        "Principal": {"AWS": arn_of(name)},
        "Action": ["s3:GetObject", "s3:GetObjectTagging"],
        "Resource": f"arn:aws:s3:::{bucket}/*",
        "Condition": {"StringNotEquals": {"s3:ExistingObjectTag/Class": "public"}},
    }
    s3.put_bucket_policy(Bucket=bucket, Policy=json.dumps({"Version": "2012-10-17", "Statement": statement}))
    s3.put_object(Bucket=bucket, Key="public", Body=b"x", Tagging="Class=public")
    s3.put_object(Bucket=bucket, Key="k", Body=b"x")
    client = server.client("s3", who)
    assert client.get_object(Bucket=bucket, Key="public")["Body"].read() == b"x"
    assert "with an explicit deny in a resource-based policy" in refused(client.get_object, Bucket=bucket, Key="k").message
    assert refused(client.get_object, Bucket=bucket, Key=unique()).code == "AccessDenied"
    assert s3.get_object(Bucket=bucket, Key="k")["Body"].read() == b"x"
    client.close()


def test_tags_of_what_takes_the_place_of_somebody_elses_object(s3, server, stranger):
    """Its owner has a say about its own tags, and none about those of what comes instead."""
    name = unique()
    s3.create_bucket(Bucket=name, ObjectOwnership="ObjectWriter")
    statement = {
        "Effect": "Allow",
        "Principal": {"AWS": stranger.account_id},
        "Action": ["s3:PutObject"],
        "Resource": f"arn:aws:s3:::{name}/*",
    }
    s3.put_bucket_policy(Bucket=name, Policy=json.dumps({"Version": "2012-10-17", "Statement": statement}))
    theirs = server.client("s3", stranger)
    theirs.put_object(Bucket=name, Key="k", Body=b"theirs")
    assert refused(s3.put_object_tagging, Bucket=name, Key="k", Tagging={"TagSet": []}).code == "AccessDenied"
    s3.put_object(Bucket=name, Key="k", Body=b"ours", Tagging="a=1")
    assert s3.get_object_tagging(Bucket=name, Key="k")["TagSet"] == [{"Key": "a", "Value": "1"}]
    theirs.put_object(Bucket=name, Key="k", Body=b"theirs")
    assert refused(theirs.put_object, Bucket=name, Key="k", Body=b"x", Tagging="a=1").code == "AccessDenied"
    theirs.close()
