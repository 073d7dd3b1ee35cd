"""The front ends of KMS (JSON) and of IAM and STS (query): texts of broken constraints, wrong types, errors."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from strongroom.api.codec import Codec
from strongroom.api.errors import ApiError
from strongroom.api.operation import Answer
from strongroom.api.routing import Route

CODEC = Codec()


def kms(operation: str, body: object) -> dict[str, Any]:
    raw = body if isinstance(body, bytes) else orjson.dumps(body)
    return CODEC.decode(Route("kms", operation, "", "", virtual_host=False), "", {}, raw)


def sts(operation: str, form: str, query: str = "") -> dict[str, Any]:
    return CODEC.decode(Route("sts", operation, "", "", virtual_host=False), query, {}, form.encode())


def refusal(operation: str, raw: bytes) -> str:
    try:
        kms(operation, raw)
    except ApiError as error:
        return error.code
    return ""


def message_of(operation: str, body: object) -> str:
    with pytest.raises(ApiError) as caught:
        kms(operation, body)
    assert (caught.value.code, caught.value.status) == ("ValidationException", 400)
    return caught.value.message


@pytest.mark.parametrize(
    ("operation", "body", "text"),
    [
        ("DescribeKey", {}, "Value null at 'keyId' failed to satisfy constraint: Member must not be null"),
        ("DescribeKey", {"KeyId": None}, "Value null at 'keyId' failed to satisfy constraint: Member must not be null"),
        (
            "DescribeKey",
            {"KeyId": ""},
            "Value '' at 'keyId' failed to satisfy constraint: Member must have length greater than or equal to 1",
        ),
        (
            "Encrypt",
            {"KeyId": "k", "Plaintext": ""},
            "Value at 'plaintext' failed to satisfy constraint: Member must have length greater than or equal to 1",
        ),
        (
            "Encrypt",
            {"KeyId": "k", "Plaintext": "AAAA" * 1366},
            "Value at 'plaintext' failed to satisfy constraint: Member must have length less than or equal to 4096",
        ),
        (
            "GenerateRandom",
            {"NumberOfBytes": 0},
            "Value '0' at 'numberOfBytes' failed to satisfy constraint: Member must have value greater than or equal to 1",
        ),
        (
            "GenerateRandom",
            {"NumberOfBytes": 1025},
            "Value '1025' at 'numberOfBytes' failed to satisfy constraint: Member must have value less than or equal to 1024",
        ),
        (
            "CreateKey",
            {"Tags": [{"TagKey": "", "TagValue": ""}]},
            "Value '' at 'tags.1.member.tagKey' failed to satisfy constraint: Member must have length greater than or equal to 1",
        ),
        (
            "CreateAlias",
            {"AliasName": "alias/ä", "TargetKeyId": "k"},
            "Value 'alias/ä' at 'aliasName' failed to satisfy constraint: Member must satisfy regular expression pattern: ^[a-zA-Z0-9:/_-]+$",
        ),
        (
            "CreateAlias",
            {"AliasName": "alias/x\n", "TargetKeyId": "k"},
            "Value 'alias/x\n' at 'aliasName' failed to satisfy constraint: Member must satisfy regular expression pattern: ^[a-zA-Z0-9:/_-]+$",
        ),
        (
            "DescribeKey",
            {"KeyId": "k", "GrantTokens": ["t"] * 11},
            f"Value '[{', '.join('t' * 11)}]' at 'grantTokens' failed to satisfy constraint: Member must have length less than or equal to 10",
        ),
    ],
)
def test_texts_of_broken_constraints(operation: str, body: dict[str, Any], text: str) -> None:
    assert message_of(operation, body) == f"1 validation error detected: {text}"


def test_enumerations_print_their_set() -> None:
    message = message_of("CreateKey", {"KeyUsage": "DANCE"})
    match = re.fullmatch(
        r"1 validation error detected: Value 'DANCE' at 'keyUsage' failed to satisfy constraint: Member must satisfy enum value set: \[(.*)\]",
        message,
    )
    assert match is not None
    assert {"SIGN_VERIFY", "ENCRYPT_DECRYPT", "GENERATE_VERIFY_MAC", "KEY_AGREEMENT"} <= set(match[1].split(", "))


def test_all_violations_in_one_text() -> None:
    message = message_of("Encrypt", {"Plaintext": "", "EncryptionAlgorithm": "ROT13"})
    assert message.startswith("3 validation errors detected: ")
    assert message.count("; Value") == 2


def test_a_secret_is_not_repeated() -> None:
    body = {
        "XksProxyAuthenticationCredential": {"AccessKeyId": "secret one", "RawSecretAccessKey": "secret two"},
        "CustomKeyStoreName": "x",
    }
    message = message_of("CreateCustomKeyStore", body)
    assert "secret" not in message
    assert "Value at 'xksProxyAuthenticationCredential.rawSecretAccessKey'" in message


@pytest.mark.parametrize(
    "body",
    [
        b"{",
        b"nope",
        b"[]",
        b'"text"',
        b"\xff",
        b"[" * 100_000,
        b'{"KeyId": 1}',
        b'{"KeyId": ["k"]}',
        b'{"KeyId": "k", "Plaintext": "not base64!"}',
        b'{"KeyId": "k", "Plaintext": "AAA"}',
        b'{"KeyId": "k", "Plaintext": 1}',
        b'{"KeyId": "k", "Plaintext": "AAAA", "EncryptionContext": []}',
        b'{"KeyId": "k", "Plaintext": "AAAA", "EncryptionContext": {"a": 1}}',
        b'{"KeyId": "k", "Plaintext": "AAAA", "GrantTokens": "t"}',
        b'{"KeyId": "k", "Plaintext": "AAAA", "DryRun": "true"}',
        b'{"KeyId": "k", "Plaintext": "AAAA", "GrantTokens": [null]}',
    ],
)
def test_wrong_types_do_not_come_in(body: bytes) -> None:
    with pytest.raises(ApiError) as caught:
        kms("Encrypt", body)
    assert (caught.value.code, caught.value.status) == ("SerializationException", 400)


@pytest.mark.parametrize("number", ["1.5", "true", '"1"', "99999999999", "1e400"])
def test_integers_are_integers(number: str) -> None:
    with pytest.raises(ApiError, match="SerializationException"):
        kms("GenerateRandom", f'{{"NumberOfBytes": {number}}}'.encode())


def test_unknown_members_are_ignored_and_no_body_is_no_members() -> None:
    assert kms("ListKeys", {"Limit": 3, "Unknown": {"deep": [1]}}) == {"Limit": 3}
    assert kms("ListKeys", b"") == {}


def test_answers_of_kms() -> None:
    moment = datetime(2026, 1, 1, 0, 0, 0, 500_000, tzinfo=UTC)
    metadata = {"KeyId": "k", "CreationDate": moment, "Enabled": False, "DeletionDate": None}
    encoded = CODEC.encode("kms", "DescribeKey", Answer({"KeyMetadata": metadata}), "id")
    assert orjson.loads(encoded.body) == {"KeyMetadata": {"KeyId": "k", "CreationDate": 1767225600.5, "Enabled": False}}  # type: ignore[arg-type]
    assert dict(encoded.headers) == {
        "x-amzn-requestid": "id",
        "content-type": "application/x-amz-json-1.1",
        "content-length": str(len(encoded.body)),  # type: ignore[arg-type]
    }
    assert CODEC.encode("kms", "EnableKey", Answer({}), "id").body == b""
    with pytest.raises(LookupError):
        CODEC.encode("kms", "DescribeKey", Answer({"keyMetadata": {}}), "id")


@pytest.mark.parametrize(
    ("error", "status", "fields"),
    [
        (ApiError("NotFoundException", "no"), 400, {"__type": "NotFoundException", "message": "no"}),
        (ApiError("AccessDenied", "User: x"), 400, {"__type": "AccessDeniedException", "message": "User: x"}),
        (ApiError("InvalidCiphertextException"), 400, {"__type": "InvalidCiphertextException"}),
        (ApiError("KMSInvalidMacException"), 400, {"__type": "KMSInvalidMacException"}),
        (ApiError("KMSInvalidSignatureException"), 400, {"__type": "KMSInvalidSignatureException"}),
        (ApiError("UnsupportedOperationException"), 400, {"__type": "UnsupportedOperationException"}),
        (
            ApiError("InvalidAccessKeyId"),
            400,
            {"__type": "UnrecognizedClientException", "message": "The security token included in the request is invalid."},
        ),
        (ApiError("KeyUnavailableException", "x"), 500, {"__type": "KeyUnavailableException", "message": "x"}),
        (ApiError("NotImplemented", "x"), 501, {"__type": "NotImplemented", "message": "x"}),
    ],
)
def test_errors_of_kms(error: ApiError, status: int, fields: dict[str, str]) -> None:
    encoded = CODEC.encode_error("kms", error, "id")
    assert (encoded.status, orjson.loads(encoded.body)) == (status, fields)  # type: ignore[arg-type]


def test_an_inner_text_never_becomes_an_internal_error_of_kms() -> None:
    encoded = CODEC.encode_error("kms", ApiError("InternalError"), "id")
    assert encoded.status == 500
    assert orjson.loads(encoded.body)["__type"] == "KMSInternalException"  # type: ignore[arg-type]


@settings(max_examples=100)
@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(st.sampled_from(["KeyId", "Plaintext", "Tags", "TagKey", "Limit", "x"]), inner, max_size=4)
        ),
        max_leaves=10,
    )
)
def test_no_json_does_worse_than_an_error(value: object) -> None:
    try:
        raw = orjson.dumps(value)
    except TypeError:  # an integer or a surrogate that JSON cannot carry here
        return
    for operation in ("Encrypt", "CreateKey", "ListKeys"):
        assert refusal(operation, raw) in ("", "SerializationException", "ValidationException")


# ---------------------------------------------------------------------------------------------------------------- query


def test_forms() -> None:
    form = (
        "Action=AssumeRole&Version=2011-06-15&RoleArn=arn%3Aaws%3Aiam%3A%3A123456789012%3Arole%2Fx&RoleSessionName=a+b".replace(
            "+", "_"
        )
    )
    tags = "&Tags.member.2.Key=second&Tags.member.2.Value=v&Tags.member.1.Key=f%C3%A9&Tags.member.1.Value=&Tags.member.x.Key=no&DurationSeconds=900"
    assert sts("AssumeRole", form + tags + "&Unknown=1&" + ".".join("a" * 1000) + "=1") == {
        "RoleArn": "arn:aws:iam::123456789012:role/x",
        "RoleSessionName": "a_b",
        "Tags": [{"Key": "fé", "Value": ""}, {"Key": "second", "Value": "v"}],
        "DurationSeconds": 900,
    }
    assert sts("GetCallerIdentity", "", "Action=GetCallerIdentity&Version=2011-06-15") == {}


def test_the_text_of_a_bad_session_name() -> None:
    with pytest.raises(ApiError) as caught:
        sts("AssumeRole", "RoleArn=arn:aws:iam::123456789012:role/x&RoleSessionName=Session1:2")
    assert caught.value.code == "ValidationError"
    assert caught.value.message == (
        "1 validation error detected: Value 'Session1:2' at 'roleSessionName' failed to satisfy constraint: Member must satisfy regular "
        "expression pattern: [\\w+=,.@-]*"
    )


@pytest.mark.parametrize(
    ("form", "code"),
    [("DurationSeconds=x", "MalformedInput"), ("RoleArn=%ff", "MalformedQueryString"), ("a&" * 20_000, "MalformedQueryString")],
)
def test_forms_that_are_none(form: str, code: str) -> None:
    with pytest.raises(ApiError) as caught:
        sts("AssumeRole", form)
    assert caught.value.code == code
    with pytest.raises(ApiError, match="MalformedQueryString"):
        CODEC.decode(Route("sts", "AssumeRole", "", "", virtual_host=False), "", {}, b"\xff")


def test_answers_of_sts() -> None:
    encoded = CODEC.encode("sts", "GetCallerIdentity", Answer({"Account": "123456789012", "Arn": "a&b", "UserId": "u"}), "id")
    assert encoded.body == (
        b'<GetCallerIdentityResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><GetCallerIdentityResult><UserId>u</UserId>'
        b"<Account>123456789012</Account><Arn>a&amp;b</Arn></GetCallerIdentityResult><ResponseMetadata><RequestId>id</RequestId>"
        b"</ResponseMetadata></GetCallerIdentityResponse>"
    )
    assert dict(encoded.headers)["x-amzn-requestid"] == "id"
    moment = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    body = CODEC.encode("sts", "GetSessionToken", Answer({"Credentials": {"Expiration": moment}}), "id").body
    assert b"<Expiration>2026-01-02T03:04:05Z</Expiration>" in body  # type: ignore[operator]


@pytest.mark.parametrize(
    ("error", "status", "kind", "code"),
    [
        (ApiError("InvalidAccessKeyId"), 403, "Sender", "InvalidClientTokenId"),
        (ApiError("SignatureDoesNotMatch"), 403, "Sender", "SignatureDoesNotMatch"),
        (ApiError("ExpiredToken"), 403, "Sender", "ExpiredToken"),
        (ApiError("AccessDenied", "User: <x>"), 403, "Sender", "AccessDenied"),
        (ApiError("NoSuchEntity"), 404, "Sender", "NoSuchEntity"),
        (ApiError("InternalError"), 500, "Receiver", "InternalFailure"),
    ],
)
def test_errors_of_sts(error: ApiError, status: int, kind: str, code: str) -> None:
    encoded = CODEC.encode_error("sts", error, "id")
    assert encoded.status == status
    start = (
        f'<ErrorResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><Error><Type>{kind}</Type><Code>{code}</Code><Message>'
    )
    assert encoded.body.startswith(start.encode())  # type: ignore[union-attr]
    assert encoded.body.endswith(b"</Message></Error><RequestId>id</RequestId></ErrorResponse>")  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("service", "name", "code", "status"),
    [
        ("kms", "Encrypt", "NotImplemented", 501),
        ("kms", "Nothing", "UnknownOperationException", 400),
        ("sts", "AssumeRole", "NotImplemented", 501),
        ("sts", "Nothing", "InvalidAction", 400),
        ("iam", "", "MissingAction", 400),
    ],
)
def test_what_is_not_built(service: Any, name: str, code: str, status: int) -> None:
    error = CODEC.not_built(service, name)
    assert (error.code, error.status) == (code, status)
