"""The aws command, unmodified: one AWS_ENDPOINT_URL serves s3, s3api, kms and sts. Each call costs about a second."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.clients.house import OWNER, unique
from tests.clients.setups import run_shell

AWS = Path(sys.executable).parent / "aws"


@pytest.fixture(scope="module")
def aws(server, tmp_path_factory):
    """Runs the command; ``fails`` is what a failing one must say."""
    home = tmp_path_factory.mktemp("home")
    environ = {
        "PATH": os.environ["PATH"],
        "HOME": str(home),
        "AWS_ENDPOINT_URL": server.url,
        "AWS_ACCESS_KEY_ID": server.owner.access_key_id,
        "AWS_SECRET_ACCESS_KEY": server.owner.secret_access_key,
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_MAX_ATTEMPTS": "1",
        "AWS_PAGER": "",
    }

    def run(*words, fails=None, json_=False):
        done = subprocess.run([str(AWS), *map(str, words)], env=environ, capture_output=True, text=True, timeout=40, check=False)
        if fails is not None:
            assert done.returncode != 0
            assert fails in done.stderr
            return done.stderr
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout) if json_ else done.stdout

    return run


@pytest.mark.timeout(120)
def test_s3_commands(aws, tmp_path):
    name = unique("cli")
    tree = tmp_path / "tree"
    (tree / "deep er").mkdir(parents=True)
    files = {"a.txt": b"hello", "deep er/ü.bin": os.urandom(3000), "big": os.urandom(9 << 20)}  # big: by parts
    for path, data in files.items():
        (tree / path).write_bytes(data)
        os.utime(tree / path, (1_700_000_000, 1_700_000_000))  # S3's times are whole seconds: a file of this one would look newer
    assert aws("s3", "mb", f"s3://{name}") == f"make_bucket: {name}\n"
    aws("s3", "sync", tree, f"s3://{name}/tree", "--only-show-errors")
    assert aws("s3", "sync", tree, f"s3://{name}/tree") == ""  # nothing has changed
    listed = aws("s3", "ls", f"s3://{name}", "--recursive", "--summarize")
    assert "Total Objects: 3" in listed
    assert f"Total Size: {sum(map(len, files.values()))}" in listed
    aws("s3", "mv", f"s3://{name}/tree/a.txt", f"s3://{name}/moved.txt", "--sse", "aws:kms")
    aws("s3", "cp", f"s3://{name}", tmp_path / "back", "--recursive", "--only-show-errors")
    assert (tmp_path / "back" / "moved.txt").read_bytes() == b"hello"
    for path in ("deep er/ü.bin", "big"):
        assert (tmp_path / "back" / "tree" / path).read_bytes() == files[path]
    (tree / "a.txt").unlink()
    (tree / "deep er/ü.bin").write_bytes(b"shorter")
    os.utime(tree / "deep er/ü.bin", (1_700_000_000, 1_700_000_000))
    printed = aws("s3", "sync", tree, f"s3://{name}/tree", "--delete", "--no-progress")
    assert [line.split()[0] for line in printed.splitlines()] == ["upload:"]  # a.txt has been moved away before
    (tree / "big").unlink()
    printed = aws("s3", "sync", tree, f"s3://{name}/tree", "--delete", "--no-progress")
    assert printed == f"delete: s3://{name}/tree/big\n"
    aws("s3", "sync", f"s3://{name}/tree", tmp_path / "back" / "tree", "--delete", "--only-show-errors")
    assert not (tmp_path / "back" / "tree" / "big").exists()
    assert (tmp_path / "back" / "tree" / "deep er/ü.bin").read_bytes() == b"shorter"
    aws("s3", "rm", f"s3://{name}", "--recursive", "--only-show-errors")
    aws("s3", "rb", f"s3://{name}")


@pytest.mark.timeout(120)
def test_the_set_up(server, bucket, s3, tmp_path):
    """As docs/clients.md has it, in the environment that its first block makes."""
    (tmp_path / "files").mkdir()
    (tmp_path / "files" / "one.txt").write_bytes(b"the first")
    s3.put_object(Bucket=bucket, Key="old", Body=b"")
    start = {"HOME": str(tmp_path), "PATH": f"{AWS.parent}:{os.environ['PATH']}", "NO_PROXY": "127.0.0.1"}
    run_shell("AWS CLI", server, run_shell("Credentials", server, start), bucket)
    assert [each["Key"] for each in s3.list_objects_v2(Bucket=bucket)["Contents"]] == ["one.txt"]
    assert "signature_version = s3v4" in (tmp_path / ".aws" / "config").read_text()


@pytest.mark.timeout(120)
def test_the_rule_and_a_key(aws, tmp_path):
    name = unique("cli")
    aws("s3api", "create-bucket", "--bucket", name)
    key = aws("kms", "create-key", "--description", "of the command", json_=True)["KeyMetadata"]
    rule = {"Rules": [{"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "aws:kms", "KMSMasterKeyID": key["KeyId"]}}]}
    aws("s3api", "put-bucket-encryption", "--bucket", name, "--server-side-encryption-configuration", json.dumps(rule))
    only = aws("s3api", "get-bucket-encryption", "--bucket", name, json_=True)["ServerSideEncryptionConfiguration"]["Rules"][0]
    assert only["ApplyServerSideEncryptionByDefault"] == rule["Rules"][0]["ApplyServerSideEncryptionByDefault"]
    (tmp_path / "body").write_bytes(b"secret")
    put = aws("s3api", "put-object", "--bucket", name, "--key", "k", "--body", tmp_path / "body", json_=True)
    assert (put["ServerSideEncryption"], put["SSEKMSKeyId"]) == ("aws:kms", key["Arn"])
    aws("kms", "disable-key", "--key-id", key["KeyId"])
    fails = f"(KMS.DisabledException) when calling the GetObject operation: {key['Arn']} is disabled."
    aws("s3api", "get-object", "--bucket", name, "--key", "k", tmp_path / "out", fails=fails)


@pytest.mark.timeout(120)
def test_customers_keys(aws, tmp_path):
    """In one piece and by parts; both keys are files."""
    name = unique("cli")
    aws("s3", "mb", f"s3://{name}")
    rule = {"Rules": [{"BlockedEncryptionTypes": {"EncryptionType": ["NONE"]}}]}
    aws("s3api", "put-bucket-encryption", "--bucket", name, "--server-side-encryption-configuration", json.dumps(rule))
    (tmp_path / "key").write_bytes(bytes(range(32)))
    (tmp_path / "other").write_bytes(bytes(32))
    mine = ("--sse-c", "AES256", "--sse-c-key", f"fileb://{tmp_path}/key")
    source = ("--sse-c-copy-source", "AES256", "--sse-c-copy-source-key", f"fileb://{tmp_path}/key")
    other = ("--sse-c", "AES256", "--sse-c-key", f"fileb://{tmp_path}/other")
    for file, data in (("small", b"hello"), ("big", os.urandom(9 << 20))):
        (tmp_path / file).write_bytes(data)
        aws("s3", "cp", tmp_path / file, f"s3://{name}/{file}", "--only-show-errors", *mine)
        aws("s3", "cp", f"s3://{name}/{file}", f"s3://{name}/copy", "--only-show-errors", *source, *other)
        aws("s3", "cp", f"s3://{name}/copy", tmp_path / "back", "--only-show-errors", *other)
        assert (tmp_path / "back").read_bytes() == data
    aws("s3", "cp", f"s3://{name}/small", tmp_path / "back", *other, fails="(403)")
    aws("s3", "cp", f"s3://{name}/small", tmp_path / "back", fails="(400)")


@pytest.mark.timeout(120)
def test_kms_and_sts(aws, keys, tmp_path):
    (tmp_path / "plain").write_bytes(b"secret")
    sealed = aws("kms", "encrypt", "--key-id", "alias/first", "--plaintext", f"fileb://{tmp_path}/plain", json_=True)
    assert sealed["KeyId"] == keys[0]["Arn"]
    (tmp_path / "sealed").write_bytes(base64.b64decode(sealed["CiphertextBlob"]))
    opened = aws("kms", "decrypt", "--ciphertext-blob", f"fileb://{tmp_path}/sealed", json_=True)
    assert base64.b64decode(opened["Plaintext"]) == b"secret"
    assert aws("sts", "get-caller-identity", json_=True)["Account"] == OWNER


@pytest.mark.timeout(180)
def test_the_life_of_a_key(aws):
    key = aws("kms", "create-key", "--tags", "TagKey=team,TagValue=letters", json_=True)["KeyMetadata"]
    name = ("--key-id", key["KeyId"])
    assert aws("kms", "list-resource-tags", *name, json_=True)["Tags"] == [{"TagKey": "team", "TagValue": "letters"}]
    aws("kms", "enable-key-rotation", *name, "--rotation-period-in-days", "90")
    assert aws("kms", "get-key-rotation-status", *name, json_=True)["RotationPeriodInDays"] == 90
    aws("kms", "rotate-key-on-demand", *name)
    (only,) = aws("kms", "list-key-rotations", *name, json_=True)["Rotations"]
    assert (only["RotationType"], only["KeyMaterialId"] != key["CurrentKeyMaterialId"]) == ("ON_DEMAND", True)
    root = f"arn:aws:iam::{OWNER}:root"
    made = aws("kms", "create-grant", *name, "--grantee-principal", root, "--operations", "Decrypt", "Encrypt", json_=True)
    (only,) = aws("kms", "list-grants", *name, json_=True)["Grants"]
    assert (only["GrantId"], only["Operations"]) == (made["GrantId"], ["Decrypt", "Encrypt"])
    aws("kms", "retire-grant", "--grant-token", made["GrantToken"])
    aws("kms", "schedule-key-deletion", *name, "--pending-window-in-days", "7")
    aws("kms", "rotate-key-on-demand", *name, fails=f"{key['Arn']} is pending deletion.")
    aws("kms", "cancel-key-deletion", *name)
    assert aws("kms", "describe-key", *name, json_=True)["KeyMetadata"]["KeyState"] == "Disabled"


@pytest.mark.timeout(120)
def test_versions(aws, tmp_path):
    name = unique("cli")
    aws("s3", "mb", f"s3://{name}")
    at = ("--bucket", name, "--key", "k")
    aws("s3api", "put-bucket-versioning", "--bucket", name, "--versioning-configuration", "Status=Enabled")
    (tmp_path / "old").write_bytes(b"old")
    old = aws("s3api", "put-object", *at, "--body", tmp_path / "old", json_=True)["VersionId"]
    aws("s3", "rm", f"s3://{name}/k")
    aws("s3", "rb", f"s3://{name}", "--force", fails="BucketNotEmpty")
    listed = aws("s3api", "list-object-versions", "--bucket", name, json_=True)
    (version,), (marker,) = listed["Versions"], listed["DeleteMarkers"]
    assert (version["VersionId"], version["IsLatest"], marker["IsLatest"]) == (old, False, True)
    aws("s3api", "delete-object", *at, "--version-id", marker["VersionId"])
    aws("s3api", "get-object", *at, "--version-id", old, tmp_path / "new")
    assert (tmp_path / "new").read_bytes() == b"old"
    aws("s3api", "delete-object", *at, "--if-match", "none", fails="PreconditionFailed")


@pytest.mark.timeout(120)
def test_the_policy_simulator(aws):
    right = {"Effect": "Allow", "Action": "s3:GetObject", "Resource": "*", "Condition": {"Bool": {"aws:SecureTransport": "true"}}}
    document = json.dumps({"Version": "2012-10-17", "Statement": [right]})
    simulate = ("iam", "simulate-custom-policy", "--policy-input-list", document, "--action-names", "s3:GetObject")
    entry = "ContextKeyName=aws:SecureTransport,ContextKeyValues=true,ContextKeyType=boolean"
    allowed = aws(*simulate, "--context-entries", entry, json_=True)["EvaluationResults"][0]
    assert (allowed["EvalDecision"], allowed["MatchedStatements"][0]["SourcePolicyId"]) == ("allowed", "PolicyInputList.1")
    denied = aws(*simulate, json_=True)["EvaluationResults"][0]
    assert (denied["EvalDecision"], denied["MissingContextValues"]) == ("implicitDeny", ["aws:SecureTransport"])
    user = unique("user")
    arn = aws("iam", "create-user", "--user-name", user, json_=True)["User"]["Arn"]
    aws("iam", "put-user-policy", "--user-name", user, "--policy-name", "p", "--policy-document", document)
    keys = aws("iam", "get-context-keys-for-principal-policy", "--policy-source-arn", arn, json_=True)["ContextKeyNames"]
    assert keys == ["aws:SecureTransport"]
    words = ("iam", "simulate-principal-policy", "--policy-source-arn", arn, "--action-names", "s3:GetObject", "s3:PutObject")
    found = aws(*words, "--context-entries", entry, "--query", "EvaluationResults[].EvalDecision", json_=True)
    assert found == ["allowed", "implicitDeny"]
