"""Bucket keys as clients and operators see them: headers, and the numbers of the metrics page (facts, section 7)."""

from __future__ import annotations

import http.client
import json
import re

from tests.clients.house import refused, unique
from tests.clients.rules import SSE, put_rule


def numbers(server):
    """Operations of KMS by (operation, cause), and uses of bucket keys without one by operation."""
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=20)
    connection.request("GET", "/-/metrics")
    page = connection.getresponse().read().decode()
    connection.close()
    operations = re.findall(r'strongroom_kms_operations_total\{cause="([^"]+)",operation="([^"]+)"\} ([0-9.]+)', page)
    hits = re.findall(r'strongroom_kms_bucket_key_hits_total\{operation="([^"]+)"\} ([0-9.]+)', page)
    return {(operation, cause): float(count) for cause, operation, count in operations} | {
        (operation, "memory"): float(count) for operation, count in hits
    }


def test_operations_of_kms_are_counted_by_cause_and_bucket_keys_save_them(own_server):
    s3, kms = own_server.client("s3"), own_server.client("kms")
    name = unique()
    s3.create_bucket(Bucket=name)
    key_id = kms.create_key()["KeyMetadata"]["KeyId"]
    kms.generate_data_key(KeyId=key_id, KeySpec="AES_256")
    s3.put_object(Bucket=name, Key="alone", Body=b"x", ServerSideEncryption="aws:kms", SSEKMSKeyId=key_id)
    s3.get_object(Bucket=name, Key="alone")["Body"].read()
    put_rule(s3, name, "aws:kms", key_id, BucketKeyEnabled=True)
    for number in range(20):
        s3.put_object(Bucket=name, Key=f"{number}", Body=b"x")
        assert s3.get_object(Bucket=name, Key=f"{number}")["BucketKeyEnabled"] is True
    expected = {
        ("GenerateDataKey", "api"): 1,
        ("GenerateDataKey", "s3"): 1,
        ("Decrypt", "s3"): 1,
        ("GenerateDataKey", "bucket-key"): 1,
        ("GenerateDataKey", "memory"): 19,
        ("Decrypt", "memory"): 20,
    }
    assert numbers(own_server) == expected
    own_server.stop()
    own_server.start()
    for number in range(20):
        assert s3.get_object(Bucket=name, Key=f"{number}")["Body"].read() == b"x"
    assert numbers(own_server) == {("Decrypt", "bucket-key"): 1, ("Decrypt", "memory"): 19}
    kms.disable_key(KeyId=key_id)
    for call, more in ((s3.get_object, {}), (s3.put_object, {"Body": b"x"})):
        assert refused(call, Bucket=name, Key="1", **more).code == "KMS.DisabledException"
    kms.enable_key(KeyId=key_id)
    assert s3.get_object(Bucket=name, Key="1")["Body"].read() == b"x"
    headers = own_server.ask("HEAD", f"/{name}/1").headers
    assert headers[f"{SSE}-bucket-key-enabled"] == "true"
    s3.close()
    kms.close()


def test_without_a_bucket_key_each_use_is_an_operation_of_kms_and_is_in_the_record(own_server):
    """Also where the question whether the caller may is not asked again, until something has changed."""
    s3, kms = own_server.client("s3"), own_server.client("kms")
    name = unique()
    s3.create_bucket(Bucket=name)
    arn = kms.create_key()["KeyMetadata"]["Arn"]
    put_rule(s3, name, "aws:kms", arn)
    for number in range(10):
        s3.put_object(Bucket=name, Key=f"{number}", Body=b"x")
        assert s3.get_object(Bucket=name, Key=f"{number}")["Body"].read() == b"x"
    assert numbers(own_server) == {("GenerateDataKey", "s3"): 10, ("Decrypt", "s3"): 10}
    kms.disable_key(KeyId=arn)
    for call, more in ((s3.get_object, {}), (s3.put_object, {"Body": b"x"})):
        assert refused(call, Bucket=name, Key="1", **more).code == "KMS.DisabledException"
    own_server.stop()
    uses = [
        json.loads(line)
        for line in own_server.run("audit", "list", "--data", str(own_server.data), "--key", arn, "--json").splitlines()
    ]
    told = [(use["operation"], use["outcome"], use["context"]["aws:s3:arn"].rpartition("/")[2]) for use in uses]
    done = [(name, "Success", f"{number}") for number in range(10) for name in ("GenerateDataKey", "Decrypt")]
    assert told == [*done, *[(name, "DisabledException", "1") for name in ("Decrypt", "GenerateDataKey")]]
    assert all(use["kms"] and use["context"] == {"aws:s3:arn": use["resource"]} for use in uses)
    s3.close()
    kms.close()
