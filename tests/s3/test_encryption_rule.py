"""Which encryption a write gets: each row of AWS's behaviour, and what holds for every request."""

from __future__ import annotations

import base64
import hashlib
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from strongroom.api.errors import ApiError
from strongroom.s3.encryption import BucketEncryption, Choice, CustomerKey, choose, decode_context, refuse_on

PRINCIPAL = "arn:aws:iam::111122223333:root"
OBJECT = "arn:aws:s3:::bucket/key"
KEY = bytes(range(32))
SSE = "x-amz-server-side-encryption"
NEEDS_KMS = "Server Side Encryption with AWS KMS managed key requires HTTP header x-amz-server-side-encryption : aws:kms"
NOT_SUPPORTED = "The encryption method specified is not supported"
INCOMPATIBLE = "Server Side Encryption with Customer provided key is incompatible with the encryption method specified"
CUSTOMER = "Requests specifying Server Side Encryption with Customer provided keys must "
BLOCKED = (
    f'User: {PRINCIPAL} is not authorized to perform: s3:CopyObject on resource: "{OBJECT}" because this bucket has blocked '
    "upload requests that specify Server Side Encryption with Customer provided keys (SSE-C). Please specify a different "
    "server-side encryption type"
)
BAD_CONTEXT = (
    "The header 'x-amz-server-side-encryption-context' shall be Base64-encoded UTF-8 string holding JSON which represents a "
    "string-string map"
)


def b64(value: bytes | str) -> str:
    return base64.b64encode(value.encode() if isinstance(value, str) else value).decode()


def trio(key: bytes = KEY, **changes: str | None) -> dict[str, str]:
    given = {
        "SSECustomerAlgorithm": "AES256",
        "SSECustomerKey": b64(key),
        "SSECustomerKeyMD5": b64(hashlib.md5(key).digest()),
    } | changes
    return {member: value for member, value in given.items() if value is not None}


def rule(algorithm="AES256", kms_key=None, *, bucket_key=False, blocked=("NONE",)) -> BucketEncryption:
    return BucketEncryption(algorithm, kms_key, bucket_key, blocked, explicit=True)


def pick(given, default=None, **how) -> Choice:
    return choose(given, default or rule(), **{"secure": True, "principal_arn": PRINCIPAL, "object_arn": OBJECT} | how)


def refused(given, default=None, **how) -> tuple[int, str, str, dict[str, str]]:
    with pytest.raises(ApiError) as caught:
        pick(given, default, **how)
    error = caught.value
    return error.status, error.code, error.message, error.members


CMK = rule("aws:kms", "cmk", bucket_key=True)
MANAGED = rule("aws:kms", None, bucket_key=True)
DSSE = rule("aws:kms:dsse", "cmk", bucket_key=True)
KMS = {"ServerSideEncryption": "aws:kms"}


@pytest.mark.parametrize(
    ("given", "default", "expected"),
    [
        ({"ServerSideEncryption": "AES256"}, CMK, Choice("SSE-S3", explicit_header=True)),
        (KMS | {"SSEKMSKeyId": "k"}, rule(), Choice("SSE-KMS", "k", explicit_header=True)),
        (KMS | {"SSEKMSKeyId": "k"}, CMK, Choice("SSE-KMS", "k", bucket_key=True, explicit_header=True)),
        # the rule's key is not inherited by a write that names KMS, its flag is
        (KMS, CMK, Choice("SSE-KMS", None, bucket_key=True, explicit_header=True)),
        (KMS | {"SSEKMSKeyId": ""}, CMK, Choice("SSE-KMS", None, bucket_key=True, explicit_header=True)),
        (KMS, MANAGED, Choice("SSE-KMS", None, bucket_key=True, explicit_header=True)),
        (KMS, rule(), Choice("SSE-KMS", explicit_header=True)),
        (KMS | {"BucketKeyEnabled": False}, CMK, Choice("SSE-KMS", explicit_header=True)),
        (KMS | {"BucketKeyEnabled": "true"}, rule(), Choice("SSE-KMS", bucket_key=True, explicit_header=True)),
        ({"ServerSideEncryption": "aws:kms:dsse"}, CMK, Choice("DSSE-KMS", explicit_header=True)),
        ({"ServerSideEncryption": "aws:kms:dsse", "SSEKMSKeyId": "k"}, rule(), Choice("DSSE-KMS", "k", explicit_header=True)),
        ({}, rule(), Choice("SSE-S3")),
        ({}, CMK, Choice("SSE-KMS", "cmk", bucket_key=True)),
        ({}, MANAGED, Choice("SSE-KMS", None, bucket_key=True)),
        ({}, DSSE, Choice("DSSE-KMS", "cmk")),
        ({"BucketKeyEnabled": "false"}, CMK, Choice("SSE-KMS", "cmk")),
        ({"BucketKeyEnabled": True}, rule("aws:kms", "cmk"), Choice("SSE-KMS", "cmk", bucket_key=True)),
        # a flag beside AES256 is ignored
        ({"BucketKeyEnabled": True}, rule(bucket_key=True), Choice("SSE-S3")),
        ({"ServerSideEncryption": "AES256", "BucketKeyEnabled": "true"}, CMK, Choice("SSE-S3", explicit_header=True)),
        ({"SSEKMSEncryptionContext": b64('{"a":"ü"}')}, CMK, Choice("SSE-KMS", "cmk", bucket_key=True, context={"a": "ü"})),
    ],
)
@pytest.mark.fact(
    "4.3.2",
    "4.3.3",
    "4.3.4",
    "4.3.5",
    "4.3.6",
    "4.3.7",
    "4.3.8",
    "4.3.9",
    "4.3.10",
    "4.3.11",
    "4.3.12",
    "4.3.13",
    "4.3.14",
    "6.4",
    "6.9",
    "7.6",
    "7.10",
)
def test_what_wins(given, default, expected):
    assert pick(given, default) == expected


@pytest.mark.parametrize("default", [rule(), CMK, DSSE])
@pytest.mark.fact("4.3.1")
def test_a_customer_key_wins_over_every_rule_and_is_never_shown(default):
    choice = pick(trio(), default)
    assert choice == Choice("SSE-C", customer=CustomerKey("AES256", KEY, trio()["SSECustomerKeyMD5"]), explicit_header=True)
    assert repr(KEY) not in repr(choice)
    assert trio()["SSECustomerKey"] not in repr(choice)


@pytest.mark.parametrize("value", ["true", "aes256", "AWS:KMS", "aws:fsx", "aws:backup", ""])
@pytest.mark.fact("4.4.1", "12.13")
def test_an_unknown_method(value):
    assert refused({"ServerSideEncryption": value, "SSEKMSKeyId": "k"}) == (
        400,
        "InvalidArgument",
        NOT_SUPPORTED,
        {"ArgumentName": SSE, "ArgumentValue": value},
    )


@pytest.mark.parametrize(
    ("given", "default"),
    [
        ({"SSEKMSKeyId": "k"}, rule()),
        ({"SSEKMSKeyId": "k"}, CMK),
        ({"SSEKMSKeyId": "k", "ServerSideEncryption": "AES256"}, CMK),
        ({"SSEKMSEncryptionContext": b64('{"a":"b"}')}, rule()),
        ({"SSEKMSEncryptionContext": b64('{"a":"b"}'), "ServerSideEncryption": "AES256"}, CMK),
        (trio() | {"SSEKMSKeyId": "k"}, rule()),
    ],
)
@pytest.mark.fact("4.3.15", "4.4.2")
def test_a_named_key_or_a_context_without_kms_is_refused_and_never_dropped(given, default):
    assert refused(given, default)[:3] == (400, "InvalidArgument", NEEDS_KMS)


@pytest.mark.parametrize("value", ["AES256", "aws:kms", "nonsense", ""])
@pytest.mark.parametrize("customer", [trio(), trio(SSECustomerAlgorithm="KMS"), {"SSECustomerKeyMD5": "x"}])
@pytest.mark.fact("4.4.3", "5.2.1")
def test_both_kinds_at_once_is_refused_before_anything_is_looked_at(value, customer):
    assert refused({"ServerSideEncryption": value} | customer) == (
        400,
        "InvalidArgument",
        INCOMPATIBLE,
        {"ArgumentName": SSE, "ArgumentValue": value},
    )


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (trio(SSECustomerAlgorithm=None), CUSTOMER + "provide a valid encryption algorithm."),
        (trio(SSECustomerKey=None), CUSTOMER + "provide an appropriate secret key."),
        (trio(SSECustomerKey=""), CUSTOMER + "provide an appropriate secret key."),
        (trio(SSECustomerKeyMD5=None), CUSTOMER + "provide the client calculated MD5 of the secret key."),
        (trio(b"0123456789"), "The secret key was invalid for the specified algorithm."),
        (trio(bytes(44)), "The secret key was invalid for the specified algorithm."),
        (trio(SSECustomerKeyMD5=b64(bytes(16))), "The calculated MD5 hash of the key did not match the hash that was provided."),
        (trio(SSECustomerKeyMD5="ü"), "The calculated MD5 hash of the key did not match the hash that was provided."),
        (trio(SSECustomerKey="not base64!"), "The calculated MD5 hash of the key did not match the hash that was provided."),
        (  # both wrong: the MD5 is compared first
            trio(b"short", SSECustomerKeyMD5=b64(bytes(16))),
            "The calculated MD5 hash of the key did not match the hash that was provided.",
        ),
    ],
)
@pytest.mark.fact("5.2.3", "5.2.4", "5.2.5", "5.2.6", "5.2.7", "5.2.8", "5.2.9")
def test_customer_keys_are_checked_in_order(given, message):
    assert refused(given) == (400, "InvalidArgument", message, {"ArgumentName": SSE})


@pytest.mark.fact("5.2.2")
def test_another_customer_algorithm():
    assert refused(trio(SSECustomerAlgorithm="KMS", SSECustomerKey=None)) == (
        400,
        "InvalidEncryptionAlgorithmError",
        "The Encryption request you specified is not valid. Supported value: AES256.",
        {"ArgumentName": SSE, "ArgumentValue": "KMS"},
    )


@pytest.mark.parametrize("given", [trio(), trio(SSECustomerKeyMD5="wrong"), trio() | KMS])
@pytest.mark.parametrize("secure", [True, False])
@pytest.mark.fact("5.6.2", "5.6.4")
def test_a_block_is_judged_before_the_customer_key(given, secure):
    blocked = rule("aws:kms", blocked=("SSE-C",))
    assert refused(given, blocked, secure=secure, action="s3:CopyObject") == (
        403,
        "AccessDenied",
        BLOCKED,
        {},
    )
    assert pick({}, blocked).mode == "SSE-KMS"


@pytest.mark.parametrize("given", [{}, KMS, {"ServerSideEncryption": "aws:kms:dsse"}])
@pytest.mark.fact("4.4.9", "4.4.10", "E34", "E35")
def test_kms_needs_a_secure_connection_and_signature_version_4(given):
    assert refused(given, CMK, secure=False)[:3] == (
        400,
        "InvalidArgument",
        "Requests specifying Server Side Encryption with AWS KMS managed keys must be made over a secure connection.",
    )
    assert refused(given, CMK, secure=False, signed_v4=False) == (
        400,
        "InvalidArgument",
        "Requests specifying Server Side Encryption with AWS KMS managed keys require AWS Signature Version 4.",
        {"ArgumentName": "Authorization", "ArgumentValue": "null"},
    )
    assert pick({"ServerSideEncryption": "AES256"}, CMK, secure=False, signed_v4=False).mode == "SSE-S3"


@pytest.mark.fact("5.1.4", "12.8")
@pytest.mark.parametrize("algorithm", ["AES256", "aws:kms", "aws:kms:dsse"])
@pytest.mark.parametrize("kms_key", [None, "alias/x"])
@pytest.mark.parametrize("bucket_key", [False, True])
@pytest.mark.parametrize("how", [{}, {"secure": False}, {"signed_v4": False}])
def test_what_a_rule_implies_is_what_is_chosen_for_a_write_that_says_nothing(algorithm, kms_key, bucket_key, how):
    """It is made once for all of them; a member that is None counts as not sent, and goes the long way."""
    default = rule(algorithm, None if algorithm == "AES256" else kms_key, bucket_key=bucket_key)
    said = [outcome_of({}, default, **how), outcome_of({"ServerSideEncryption": None}, default, **how)]
    assert said[0] == said[1]


def outcome_of(given, default, **how):
    try:
        return pick(given, default, **how)
    except ApiError as error:
        return error.code, error.message, error.members


def test_customer_keys_need_a_secure_connection():
    assert refused(trio(SSECustomerAlgorithm="KMS"), secure=False)[2] == CUSTOMER + "be made over a secure connection."


@pytest.mark.parametrize("value", ["yes", "", "TRUE"])
@pytest.mark.fact("4.4.6", "12.5")
def test_a_flag_that_is_none(value):
    code, members = refused({"BucketKeyEnabled": value}, CMK)[1::2]
    assert (code, members["ArgumentName"]) == ("InvalidArgument", SSE + "-bucket-key-enabled")


@pytest.mark.parametrize(
    "value",
    [
        "%%%",
        "",
        b64("no json"),
        b64(b"\xff\xfe"),
        b64("[]"),
        b64('"text"'),
        b64("null"),
        b64('{"a":1}'),
        b64('{"a":null}'),
        b64('{"a":{"b":"c"}}'),
        b64('{"a":["b"]}'),
        b64('[{"a":"b"}]'),
        b64('{"a":"b","a":"c"}'),
        b64('{"a":"\\ud800"}'),
        b64("[" * 100_000),
        b64('{"aws:s3:arn":"arn:aws:s3:::other/key"}'),
    ],
)
@pytest.mark.fact("4.4.4", "12.10")
def test_a_context_that_is_no_flat_map_of_strings(value):
    assert refused(KMS | {"SSEKMSEncryptionContext": value})[:3] == (400, "InvalidArgument", BAD_CONTEXT)


@pytest.mark.fact("4.9.2")
def test_the_context_may_repeat_what_s3_adds_but_not_change_it():
    assert decode_context(b64(json.dumps({"aws:s3:arn": OBJECT, "a": "b"})), OBJECT) == {"a": "b"}
    assert decode_context(b64("{}"), OBJECT) == decode_context(None, OBJECT) == {}


@pytest.mark.parametrize("value", ['{"a":""}', '{"":"a"}'])
@pytest.mark.fact("4.4.5")
def test_kms_has_no_empty_names_or_values_in_a_context(value):
    assert refused(KMS | {"SSEKMSEncryptionContext": b64(value)})[:2] == (400, "KMS.ValidationException")


@pytest.mark.fact("4.4.8")
def test_the_header_where_it_does_not_belong():
    refuse_on({"host": "x", SSE + "-aws-kms-key-id": "k"})
    with pytest.raises(ApiError) as caught:
        refuse_on({SSE: ""})
    assert caught.value.message == "x-amz-server-side-encryption header is not supported for this operation."
    assert caught.value.members == {"ArgumentName": SSE, "ArgumentValue": ""}


@pytest.mark.fact("2.1.8")
def test_the_kept_rule():
    kept = BucketEncryption("aws:kms:dsse", "alias/x", bucket_key=True, blocked=("SSE-C",), explicit=True)
    assert BucketEncryption.from_document(json.loads(json.dumps(kept.to_document())), "allowed") == kept
    assert BucketEncryption.from_document(None, "blocked").blocks_sse_c
    assert BucketEncryption.from_document(None, "allowed") == BucketEncryption("AES256", None, False, ("NONE",), explicit=False)
    with pytest.raises(LookupError):
        BucketEncryption.new_bucket("")


@pytest.mark.parametrize(
    "change",
    [{"algorithm": "none"}, {"kms_key": 1}, {"bucket_key": "false"}, {"explicit": None}, {"blocked": []}, {"blocked": ["sse-c"]}],
)
def test_a_damaged_rule_never_becomes_a_weaker_one(change):
    with pytest.raises((LookupError, TypeError)):
        BucketEncryption.from_document(CMK.to_document() | change, "blocked")


maybe = st.none() | st.just("") | st.text(max_size=8)
inputs = st.fixed_dictionaries(
    {},
    optional={
        "ServerSideEncryption": maybe | st.sampled_from(["AES256", "aws:kms", "aws:kms:dsse"]),
        "SSEKMSKeyId": maybe,
        "SSEKMSEncryptionContext": maybe | st.just(b64('{"a":"b"}')) | st.binary(max_size=20).map(b64),
        "BucketKeyEnabled": st.none() | st.booleans() | st.sampled_from(["true", "false", "x"]),
        "SSECustomerAlgorithm": maybe | st.just("AES256"),
        "SSECustomerKey": maybe | st.just(trio()["SSECustomerKey"]),
        "SSECustomerKeyMD5": maybe | st.just(trio()["SSECustomerKeyMD5"]),
    },
)
rules = st.builds(
    BucketEncryption,
    st.sampled_from(["AES256", "aws:kms", "aws:kms:dsse"]),
    st.none() | st.just("cmk"),
    bucket_key=st.booleans(),
    blocked=st.sampled_from([("SSE-C",), ("NONE",)]),
    explicit=st.booleans(),
)


@settings(max_examples=100, deadline=None)
@given(inputs, rules, st.booleans(), st.booleans())
def test_every_request_has_one_answer(given, default, secure, signed_v4):
    def outcome():
        try:
            return pick(given, default, secure=secure, signed_v4=signed_v4)
        except ApiError as error:
            return error.status, error.code, error.message, error.members

    result = outcome()
    assert result == outcome()
    customer = [given.get(name) for name in ("SSECustomerAlgorithm", "SSECustomerKey", "SSECustomerKeyMD5")]
    with_customer_key = any(value is not None for value in customer)
    if not isinstance(result, Choice):
        assert result[0] in {400, 403}
        return
    assert (result.mode == "SSE-C") == with_customer_key == (result.customer is not None)
    if with_customer_key:
        assert secure
        assert not default.blocks_sse_c
    if result.mode in {"SSE-KMS", "DSSE-KMS"}:
        assert secure
        assert signed_v4
    else:
        assert result.kms_key is None
        assert not result.context
    assert result.mode == "SSE-KMS" or not result.bucket_key
    sent = given.get("ServerSideEncryption")
    assert result.explicit_header == (sent is not None or with_customer_key)
    if sent is not None:
        assert result.mode == {"AES256": "SSE-S3", "aws:kms": "SSE-KMS", "aws:kms:dsse": "DSSE-KMS"}[sent]
