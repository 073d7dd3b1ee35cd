from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import strongroom
from strongroom.api import error_table
from strongroom.api.errors import ERRORS, ApiError
from strongroom.api.model import SERVICES, constraint, service_model


def test_an_unknown_code_fails_at_once() -> None:
    for code in ("NoSuchBukket", "", "KMS.", "KMS.NoSuchBucket", "KMS.KMS.DisabledException"):
        with pytest.raises(LookupError):
            ApiError(code)


def test_what_an_error_carries() -> None:
    error = ApiError("BadDigest", CalculatedDigest="c", fields={"Content-MD5": "x"}, headers={"A": "b"})
    assert (error.status, error.message) == (400, "The Content-MD5 you specified did not match what we received.")
    assert list(error.members.items()) == [("CalculatedDigest", "c"), ("Content-MD5", "x")]
    assert error.headers == {"A": "b"}
    assert ApiError("AccessDenied", "").message == ""
    assert ApiError("InvalidRequest", status=409).status == 409
    assert ApiError("KMS.DisabledException", "off").status == 400


@pytest.mark.parametrize(
    ("code", "status", "text"),
    [
        ("NoSuchBucket", 404, "The specified bucket does not exist"),
        ("NoSuchKey", 404, "The specified key does not exist."),
        ("MalformedXML", 400, "The XML you provided was not well-formed or did not validate against our published schema"),
        ("AccessDenied", 403, "Access Denied"),
        ("ServerSideEncryptionConfigurationNotFoundError", 404, "The server side encryption configuration was not found"),
        (
            "OperationAborted",
            409,
            "A conflicting conditional operation is currently in progress against this resource. Please try again.",
        ),
        ("InvalidEncryptionAlgorithmError", 400, "The Encryption request you specified is not valid. Supported value: AES256."),
        ("InvalidDigest", 400, "The Content-MD5 you specified was invalid."),
        (
            "SignatureDoesNotMatch",
            403,
            "The request signature we calculated does not match the signature you provided. Check your key and signing method.",
        ),
        ("RequestTimeTooSkewed", 403, "The difference between the request time and the current time is too large."),
        ("ExpiredToken", 400, "The provided token has expired."),
        ("InvalidBucketOwnerAWSAccountID", 400, "The value of the expected bucket owner parameter must be an AWS Account ID..."),
        ("IncorrectKeyException", 400, "The key ID in the request does not identify a CMK that can perform this operation."),
        ("DryRunOperationException", 400, "The request would have succeeded, but the DryRun option is set."),
        ("InvalidCiphertextException", 400, ""),
        ("KMSInternalException", 500, "An internal exception occurred. The request can be retried."),
        ("InvalidClientTokenId", 403, "The security token included in the request is invalid."),
    ],
)
def test_statuses_and_texts_of_record(code: str, status: int, text: str) -> None:
    assert ERRORS[code] == (status, text)


def modelled_errors() -> Iterator[tuple[str, int]]:
    """(code, status) of every exception that the operations of the models name."""
    for service in SERVICES:
        model = service_model(service)
        for name in model.operation_names:
            for shape in model.operation_model(name).error_shapes:
                told = constraint(shape, "error") or {}
                fault = service == "kms" and shape.name in (
                    "DependencyTimeoutException",
                    "KMSInternalException",
                    "KeyUnavailableException",
                )
                status = told.get("httpStatusCode", 500 if fault else 400)
                if service in ("s3", "kms"):
                    yield told.get("code", shape.name), status


def test_every_error_of_the_s3_and_kms_models_is_there() -> None:
    found = set(modelled_errors())
    assert len(found) > 50
    for code, status in found:
        assert ERRORS[code][0] == status, code


def test_the_tables_contradict_nothing() -> None:
    tables = (error_table.S3, error_table.KMS, error_table.QUERY)
    assert sum(len(table) for table in tables) == len(ERRORS)
    assert all(300 <= status < 600 for status, _ in ERRORS.values())


def test_every_code_that_the_sources_name_is_in_the_table() -> None:
    unknown: list[str] = []
    for path in Path(strongroom.__file__).parent.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "ApiError" and node.args:
                code = node.args[0]
                if isinstance(code, ast.Constant) and code.value.removeprefix("KMS.") not in ERRORS:
                    unknown.append(f"{path.name}:{node.lineno} {code.value}")
    assert not unknown
