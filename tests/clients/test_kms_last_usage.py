"""When a key was last used, through boto3: by the KMS API and by S3, on another worker, after a restart and after the power went."""

from __future__ import annotations

import json
import sqlite3
import time
from contextlib import closing
from datetime import UTC, datetime, timedelta

import pytest

from tests.clients.house import PATIENCE, refused, unique

SOON = timedelta(minutes=5)


def last(kms, key_id, *operations):
    """The last use, as soon as it is one of these operations (any, if none is named)."""
    deadline = time.monotonic() + PATIENCE
    while True:
        found = kms.get_key_last_usage(KeyId=key_id)["KeyLastUsage"]
        if found and found["Operation"] in (operations or (found["Operation"],)):
            return found
        assert time.monotonic() < deadline, found
        time.sleep(0.05)


def test_the_last_use_by_the_kms_api_and_by_s3(server, kms, s3, bucket, key):
    name = key["KeyId"]
    answer = kms.get_key_last_usage(KeyId=key["Arn"])
    assert (answer["KeyId"], answer["KeyLastUsage"]) == (name, {})
    assert answer["KeyCreationDate"] == answer["TrackingStartDate"] == key["CreationDate"]
    made = kms.generate_data_key(KeyId=name, KeySpec="AES_256")
    found = last(kms, name)
    assert (found["Operation"], found["KmsRequestId"]) == ("GenerateDataKey", made["ResponseMetadata"]["RequestId"])
    assert abs(found["Timestamp"] - datetime.now(UTC)) < SOON
    kms.encrypt(KeyId=name, Plaintext=b"x")
    last(kms, name, "Encrypt")
    s3.put_object(Bucket=bucket, Key="k", Body=b"x", ServerSideEncryption="aws:kms", SSEKMSKeyId=name, BucketKeyEnabled=True)
    last(kms, name, "GenerateDataKey")
    read = s3.get_object(Bucket=bucket, Key="k")
    assert read["Body"].read() == b"x"
    found = last(kms, name, "Decrypt")
    assert found["KmsRequestId"] == read["ResponseMetadata"]["RequestId"]
    (event,) = [
        each
        for each in json.loads(server.run("audit", "export", "--data", str(server.data)))["Records"]
        if each["eventID"] == found["CloudTrailEventId"]
    ]
    assert (event["eventName"], event["requestID"]) == ("Decrypt", found["KmsRequestId"])
    kms.disable_key(KeyId=name)
    assert refused(kms.encrypt, KeyId=name, Plaintext=b"x").code == "DisabledException"
    assert kms.get_key_last_usage(KeyId=name)["KeyLastUsage"] == found


def test_who_may_ask(server, kms, iam, key, stranger):
    name, alias = key["KeyId"], f"alias/{unique()}"
    kms.create_alias(AliasName=alias, TargetKeyId=name)
    assert refused(kms.get_key_last_usage, KeyId=alias).code == "NotFoundException"
    assert refused(kms.get_key_last_usage, KeyId="0d990263-018e-4e65-a703-eff731de951e").code == "NotFoundException"
    foreign = server.client("kms", stranger)
    everybody = {"Effect": "Allow", "Principal": "*", "Action": "kms:*", "Resource": "*"}
    kms.put_key_policy(KeyId=name, Policy=json.dumps({"Version": "2012-10-17", "Statement": everybody}))
    assert foreign.describe_key(KeyId=key["Arn"])
    refusal = refused(foreign.get_key_last_usage, KeyId=key["Arn"])
    assert (refusal.code, "kms:GetKeyLastUsage" in refusal.message) == ("AccessDeniedException", True)
    foreign.close()
    owner = {"Effect": "Allow", "Principal": {"AWS": server.owner.arn}, "Resource": "*"}
    others = {**owner, "NotAction": "kms:GetKeyLastUsage"}
    kms.put_key_policy(KeyId=name, Policy=json.dumps({"Version": "2012-10-17", "Statement": others}))
    assert refused(kms.get_key_last_usage, KeyId=name).code == "AccessDeniedException"
    kms.put_key_policy(KeyId=name, Policy=json.dumps({"Version": "2012-10-17", "Statement": {**owner, "Action": "kms:*"}}))
    assert kms.get_key_last_usage(KeyId=name)["KeyLastUsage"] == {}


def test_every_worker_knows(two_workers, two_doors):
    clients = [two_workers.client("kms", url=f"http://127.0.0.1:{door.port}") for door in two_doors]
    key_id = clients[0].create_key()["KeyMetadata"]["KeyId"]
    clients[0].encrypt(KeyId=key_id, Plaintext=b"x")
    assert last(clients[1], key_id)["Operation"] == "Encrypt"
    clients[1].generate_data_key(KeyId=key_id, KeySpec="AES_256")
    assert last(clients[0], key_id, "GenerateDataKey") == last(clients[1], key_id, "GenerateDataKey")
    for client in clients:
        client.close()


def until_kept(server):
    """A crash may lose what was used in the last seconds, and nothing that is in the catalog."""
    deadline = time.monotonic() + PATIENCE
    with closing(sqlite3.connect(f"file:{server.data}/catalog.sqlite?mode=ro", uri=True)) as catalog:
        while not catalog.execute("SELECT 1 FROM document WHERE kind = 'key-last-use'").fetchone():
            assert time.monotonic() < deadline
            time.sleep(0.05)


@pytest.mark.parametrize("end", ["stop", "kill"])
def test_it_outlives_the_server(own_server, end):
    kms = own_server.client("kms")
    key_id = kms.create_key()["KeyMetadata"]["KeyId"]
    mac = kms.create_key(KeySpec="HMAC_256", KeyUsage="GENERATE_VERIFY_MAC")["KeyMetadata"]["KeyId"]
    kms.encrypt(KeyId=key_id, Plaintext=b"x")
    found = last(kms, key_id)
    if end == "stop":  # what was used a moment before is kept, too
        kms.generate_mac(KeyId=mac, Message=b"x", MacAlgorithm="HMAC_SHA_256")
    else:
        until_kept(own_server)
    tracked = kms.get_key_last_usage(KeyId=mac)["TrackingStartDate"]
    getattr(own_server, end)()
    own_server.start()
    assert kms.get_key_last_usage(KeyId=key_id)["KeyLastUsage"] == found
    answer = kms.get_key_last_usage(KeyId=mac)
    assert answer["KeyLastUsage"].get("Operation") == ("GenerateMac" if end == "stop" else None)
    assert answer["TrackingStartDate"] == tracked
    kms.close()
