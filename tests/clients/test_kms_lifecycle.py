"""The life of a KMS key through boto3: rotation, grants, and what they do to what was sealed. Numbers are those of the facts about KMS."""

from __future__ import annotations

import asyncio
import json
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from strongroom.kms.names import KeyName
from strongroom.kms.records import KEY_KIND, TOMBSTONE_KIND, KeyRecord, Rotation
from strongroom.store.sqlite import SqliteCatalog
from tests.clients.house import OWNER, PATIENCE, refused

ROOT = f"arn:aws:iam::{OWNER}:root"


@pytest.mark.fact("A46")
def test_a46_automatic_rotation(kms, key):
    name, arn = key["KeyId"], key["Arn"]
    kms.enable_key_rotation(KeyId=name, RotationPeriodInDays=90)
    status = kms.get_key_rotation_status(KeyId=name)
    assert (status["KeyId"], status["KeyRotationEnabled"], status["RotationPeriodInDays"]) == (arn, True, 90)
    assert abs(status["NextRotationDate"] - datetime.now(UTC) - timedelta(days=90)) < timedelta(minutes=1)
    for days in (2561, 100_000):  # boto3 itself refuses fewer than 90
        refusal = refused(kms.enable_key_rotation, KeyId=name, RotationPeriodInDays=days)
        assert (refusal.code, f"Value '{days}' at 'rotationPeriodInDays'" in refusal.message) == ("ValidationException", True)
    kms.disable_key_rotation(KeyId=name)
    assert kms.get_key_rotation_status(KeyId=name)["KeyRotationEnabled"] is False
    kms.disable_key(KeyId=name)
    refusal = refused(kms.enable_key_rotation, KeyId=name)
    assert (refusal.code, refusal.message) == ("DisabledException", f"{arn} is disabled.")


@pytest.mark.fact("A42", "A47", "A51", "A53")
def test_a47_rotation_on_demand_keeps_what_was_sealed(kms, s3, bucket, key):
    name, first = key["KeyId"], key["CurrentKeyMaterialId"]
    blob = kms.encrypt(KeyId=name, Plaintext=b"secret")["CiphertextBlob"]
    s3.put_object(Bucket=bucket, Key="old", Body=b"old", ServerSideEncryption="aws:kms", SSEKMSKeyId=name)
    assert kms.rotate_key_on_demand(KeyId=name)["KeyId"] == key["Arn"]
    second = kms.describe_key(KeyId=name)["KeyMetadata"]["CurrentKeyMaterialId"]
    assert second != first
    opened = kms.decrypt(CiphertextBlob=blob)
    assert (opened["Plaintext"], opened["KeyMaterialId"]) == (b"secret", first)  # A42
    assert s3.get_object(Bucket=bucket, Key="old")["Body"].read() == b"old"  # A53
    made = kms.generate_data_key(KeyId=name, KeySpec="AES_256")
    assert made["KeyMaterialId"] == second
    (only,) = kms.get_paginator("list_key_rotations").paginate(KeyId=name).build_full_result()["Rotations"]
    assert (only["KeyMaterialId"], only["KeyMaterialState"], only["RotationType"]) == (second, "CURRENT", "ON_DEMAND")
    both = kms.list_key_rotations(KeyId=name, IncludeKeyMaterial="ALL_KEY_MATERIAL")["Rotations"]
    assert [(each["KeyMaterialId"], each["KeyMaterialState"]) for each in both] == [(first, "NON_CURRENT"), (second, "CURRENT")]
    assert "RotationDate" not in both[0]


@pytest.mark.fact("A89")
def test_a85_a89_the_key_of_s3(kms, keys):
    managed = keys[2]
    assert kms.get_key_rotation_status(KeyId=managed["KeyId"])["KeyRotationEnabled"] is True
    for call, given in (
        (kms.rotate_key_on_demand, {}),
        (kms.disable_key_rotation, {}),
        (kms.disable_key, {}),
        (kms.schedule_key_deletion, {}),
        (kms.update_key_description, {"Description": "mine"}),
        (kms.tag_resource, {"Tags": [{"TagKey": "a", "TagValue": "b"}]}),
        (kms.create_grant, {"GranteePrincipal": ROOT, "Operations": ["Decrypt"]}),
    ):
        assert refused(call, KeyId=managed["KeyId"], **given).code == "AccessDeniedException"
    assert refused(kms.create_alias, AliasName="alias/mine-now", TargetKeyId=managed["KeyId"]).code == "AccessDeniedException"


@pytest.mark.fact("A71", "A75", "A76")
def test_a71_to_a76_grants(kms, key):
    name = key["KeyId"]
    terms = {
        "GranteePrincipal": ROOT,
        "RetiringPrincipal": ROOT,
        "Operations": ["Decrypt", "GenerateDataKey"],
        "Constraints": {"EncryptionContextSubset": {"department": "letters"}},
        "Name": "letters",
    }
    made = kms.create_grant(KeyId=name, **terms)
    again = kms.create_grant(KeyId=name, **terms)
    assert made["GrantId"] == again["GrantId"]
    assert made["GrantToken"] != again["GrantToken"]
    (only,) = kms.get_paginator("list_grants").paginate(KeyId=name).build_full_result()["Grants"]
    assert abs(only.pop("CreationDate") - datetime.now(UTC)) < timedelta(minutes=1)
    assert only == {"KeyId": key["Arn"], "GrantId": made["GrantId"], "IssuingAccount": ROOT, **terms}
    assert kms.encrypt(KeyId=name, Plaintext=b"x", GrantTokens=[made["GrantToken"], again["GrantToken"]])["CiphertextBlob"]
    refusal = refused(kms.encrypt, KeyId=name, Plaintext=b"x", GrantTokens=[made["GrantToken"][:-4]])
    assert refusal.code == "InvalidGrantTokenException"
    mine = kms.list_retirable_grants(RetiringPrincipal=ROOT)["Grants"]
    assert made["GrantId"] in [each["GrantId"] for each in mine]
    kms.retire_grant(GrantToken=again["GrantToken"])
    assert kms.list_grants(KeyId=name)["Grants"] == []
    other = kms.create_grant(KeyId=name, **terms)
    assert refused(kms.revoke_grant, KeyId=name, GrantId=other["GrantId"], DryRun=True).code == "DryRunOperationException"
    kms.revoke_grant(KeyId=name, GrantId=other["GrantId"])
    assert refused(kms.revoke_grant, KeyId=name, GrantId=other["GrantId"]).code == "NotFoundException"


@pytest.mark.fact("A58", "A60")
def test_a58_a60_key_policies(kms, key):
    name = key["KeyId"]
    delegation = json.loads(kms.get_key_policy(KeyId=name)["Policy"])["Statement"][0]
    deny = {"Sid": "no end", "Effect": "Deny", "Principal": "*", "Action": "kms:ScheduleKeyDeletion", "Resource": "*"}
    wanted = json.dumps({"Version": "2012-10-17", "Statement": [delegation, deny]})
    kms.put_key_policy(KeyId=name, PolicyName="default", Policy=wanted)
    assert kms.get_key_policy(KeyId=name, PolicyName="default")["Policy"] == wanted
    shut_out = json.dumps({"Version": "2012-10-17", "Statement": [deny]})
    refusal = refused(kms.put_key_policy, KeyId=name, Policy=shut_out)
    message = "The new key policy will not allow you to update the key policy in the future."
    assert (refusal.code, refusal.message) == ("MalformedPolicyDocumentException", message)
    assert refused(kms.create_key, Policy=shut_out).message == message
    assert kms.create_key(Policy=shut_out, BypassPolicyLockoutSafetyCheck=True)["KeyMetadata"]["Enabled"]
    nobody = json.dumps({"Statement": [delegation, delegation | {"Principal": {"AWS": "arn:aws:iam::999999999999:root"}}]})
    refusal = refused(kms.put_key_policy, KeyId=name, Policy=nobody)
    assert refusal.message == "Policy contains a statement with one or more invalid principals."  # A61
    assert refused(kms.put_key_policy, KeyId=name, Policy="☃").code == "ValidationException"
    assert kms.get_key_policy(KeyId=name)["Policy"] == wanted
    assert kms.list_key_policies(KeyId=name)["PolicyNames"] == ["default"]


@pytest.mark.fact("A77")
def test_a77_whom_a_grant_may_name(kms, key, stranger):
    assert kms.create_grant(KeyId=key["KeyId"], GranteePrincipal=stranger.arn, Operations=["Decrypt"])["GrantId"]
    for nobody in (f"arn:aws:iam::{OWNER}:user/nobody", "arn:aws:iam::999999999999:root"):
        refusal = refused(kms.create_grant, KeyId=key["KeyId"], GranteePrincipal=nobody, Operations=["Decrypt"])
        assert (refusal.code, refusal.message) == ("InvalidArnException", f"ARN does not refer to a valid principal: {nobody}")


def test_a_stranger_retires_only_what_names_it(server, kms, key, stranger):
    theirs = server.client("kms", stranger)
    plain = kms.create_grant(KeyId=key["KeyId"], GranteePrincipal=stranger.arn, Operations=["Decrypt"])
    refusal = refused(theirs.retire_grant, GrantToken=plain["GrantToken"])
    assert (refusal.status, refusal.code) == (400, "AccessDeniedException")
    assert refused(theirs.list_grants, KeyId=key["Arn"]).code == "AccessDeniedException"
    assert (
        refused(theirs.encrypt, KeyId=key["Arn"], Plaintext=b"x", GrantTokens=[plain["GrantToken"]]).code
        == "AccessDeniedException"
    )
    named = kms.create_grant(KeyId=key["KeyId"], GranteePrincipal=ROOT, RetiringPrincipal=stranger.arn, Operations=["Decrypt"])
    (listed,) = theirs.list_retirable_grants(RetiringPrincipal=stranger.arn)["Grants"]
    assert (listed["GrantId"], listed["KeyId"]) == (named["GrantId"], key["Arn"])
    theirs.retire_grant(KeyId=key["Arn"], GrantId=named["GrantId"])
    assert [each["GrantId"] for each in kms.list_grants(KeyId=key["KeyId"])["Grants"]] == [plain["GrantId"]]
    theirs.close()


@pytest.mark.parametrize("operation", ["RetireGrant", "EnableKeyRotation", "DisableKeyRotation"])
@pytest.mark.fact("A4")
def test_a4_no_answer_but_200(server, kms, key, operation):
    body = {"KeyId": key["KeyId"]}
    if operation == "RetireGrant":
        body = {"GrantToken": kms.create_grant(KeyId=key["KeyId"], GranteePrincipal=ROOT, Operations=["Decrypt"])["GrantToken"]}
    headers = {"Content-Type": "application/x-amz-json-1.1", "X-Amz-Target": f"TrentService.{operation}"}
    reply = server.ask("POST", "/", headers, json.dumps(body).encode(), service="kms")
    assert (reply.status, reply.body) == (200, b"")


def test_upkeep_destroys_and_rotates_what_is_due(own_server):
    """The time passes in the catalog of a stopped server: dates are put where they would be a month later."""
    kms = own_server.client("kms")
    doomed, turning = (kms.create_key()["KeyMetadata"] for _ in range(2))
    kms.create_alias(AliasName="alias/doomed", TargetKeyId=doomed["KeyId"])
    blobs = [kms.encrypt(KeyId=key["KeyId"], Plaintext=b"x")["CiphertextBlob"] for key in (doomed, turning)]
    kms.schedule_key_deletion(KeyId=doomed["KeyId"], PendingWindowInDays=7)
    kms.enable_key_rotation(KeyId=turning["KeyId"], RotationPeriodInDays=90)
    own_server.stop()
    past = int(time.time() * 1000) - 1000
    asyncio.run(_change(own_server.data, doomed, lambda record: replace(record, deletion_ms=past)))
    asyncio.run(_change(own_server.data, turning, lambda record: replace(record, rotation=Rotation(90, past))))
    own_server.start()
    deadline = time.monotonic() + PATIENCE
    while not (rotations := kms.list_key_rotations(KeyId=turning["KeyId"])["Rotations"]):
        assert time.monotonic() < deadline
        time.sleep(0.1)
    assert [each["RotationType"] for each in rotations] == ["AUTOMATIC"]
    assert kms.decrypt(CiphertextBlob=blobs[1])["KeyMaterialId"] == turning["CurrentKeyMaterialId"]
    missing = ("NotFoundException", f"Key '{doomed['Arn']}' does not exist")
    for call, given in ((kms.describe_key, {"KeyId": doomed["KeyId"]}), (kms.decrypt, {"CiphertextBlob": blobs[0]})):
        refusal = refused(call, **given)
        assert (refusal.code, refusal.message) == missing  # A56
    assert refused(kms.describe_key, KeyId="alias/doomed").code == "NotFoundException"
    kms.close()
    own_server.stop()  # and upkeep has had its turn: rotating comes behind destroying
    assert asyncio.run(_documents(own_server.data, doomed)) == (None, True)


def _name(key: dict) -> KeyName:
    return KeyName(OWNER, "us-east-1", key["KeyId"])


async def _change(data, key, work) -> None:
    catalog = SqliteCatalog.open(data)
    try:
        scope = _name(key).scope
        record = KeyRecord.read(_name(key), await catalog.document(scope, KEY_KIND))
        await catalog.write(lambda transaction: transaction.set_document(scope, KEY_KIND, work(record).document()))
    finally:
        await catalog.close()


async def _documents(data, key) -> tuple:
    """The record, and whether there is a tombstone."""
    catalog = SqliteCatalog.open(data)
    try:
        scope = _name(key).scope
        return await catalog.document(scope, KEY_KIND), await catalog.document(scope, TOMBSTONE_KIND) is not None
    finally:
        await catalog.close()
