"""botocore is the other half: what its serializer writes we read, what we write its parser reads."""

from __future__ import annotations

from typing import Any

import pytest
from botocore.awsrequest import HeadersDict
from botocore.parsers import create_parser

from strongroom.api.codec import Codec
from strongroom.api.model import SUCCESSORS, members, operation_model, operation_names, trait
from strongroom.api.operation import Answer
from strongroom.api.routing import Route, Router
from tests.api.samples import output_for, params_for, written

CODEC = Codec()
ROUTER = Router()
#: How full the samples of each operation are: the required members alone, all members, and some.
FILLS = ((0, 0.0), (1, 1.0), (2, 0.5), (3, 0.3))
VERBATIM = ("Expires", "ResponseExpires")


def expected_input(service: str, operation: str, params: dict[str, Any]) -> dict[str, Any]:
    shape = operation_model(service, operation).input_shape
    shapes = members(shape)
    expected = {name: value for name, value in params.items() if shapes[name].type_name != "blob" or service != "s3"}
    for name in VERBATIM:
        if name in expected:
            moment = expected[name]
            expected[name] = f"{moment:%a, %d %b %Y %H:%M:%S} GMT"
    return expected


@pytest.mark.parametrize("operation", operation_names("s3"))
def test_s3_requests_are_read_as_botocore_writes_them(operation: str) -> None:
    for seed, fill in FILLS:
        params = params_for("s3", operation, seed, fill)
        request = written("s3", operation, params)
        route = ROUTER.route(request.method, request.path, request.query, request.headers)
        assert route.operation == SUCCESSORS.get(operation, operation)
        kind = CODEC.body_kind("s3", operation)
        asked = route._replace(operation=operation)
        given = CODEC.decode(asked, request.query, request.headers, request.body if kind == "buffer" else None)
        assert given == expected_input("s3", operation, params)
        assert kind != "none" or not request.body


@pytest.mark.parametrize("operation", operation_names("s3"))
def test_s3_answers_are_read_by_botocore(operation: str) -> None:
    if operation in ("SelectObjectContent", "GetBucketLocation"):  # an event stream; a root that botocore reads by a handler
        return
    model = operation_model("s3", operation)
    for seed, fill in FILLS:
        output = output_for("s3", operation, seed, fill)
        payload = trait(model.output_shape, "payload") if model.output_shape is not None else None
        streamed = payload is not None and members(model.output_shape)[payload].type_name == "blob"
        body = b"payload" if streamed else None
        given = {name: value for name, value in output.items() if not streamed or name != payload}
        encoded = CODEC.encode("s3", operation, Answer(given, body=body), "R1", "H1")
        assert encoded.status == model.http.get("responseCode", 200)
        assert all(name == name.lower() and value.isascii() for name, value in encoded.headers)
        response = {"status_code": encoded.status, "headers": HeadersDict(encoded.headers), "body": encoded.body}
        parsed = create_parser("rest-xml").parse(response, model.output_shape)
        metadata = parsed.pop("ResponseMetadata")
        assert metadata["RequestId"] == "R1"
        assert metadata["HostId"] == "H1"
        if streamed:
            assert parsed.pop(payload) == "payload"
        assert same(parsed, given)


def same(parsed: dict[str, Any], given: dict[str, Any]) -> bool:
    """Equal, but for what the wire does not tell apart (empty or absent), and the length and type that we add."""
    empty: tuple[Any, ...] = ({}, "", None)
    added = {"ContentLength", "ContentType"} - set(given)
    parsed = {name: value for name, value in parsed.items() if value not in empty and name not in added}
    given = {name: value for name, value in given.items() if value not in empty}
    assert parsed == given
    return True


@pytest.mark.parametrize("operation", operation_names("kms"))
def test_kms_both_ways(operation: str) -> None:
    model = operation_model("kms", operation)
    for seed, fill in FILLS:
        params = params_for("kms", operation, seed, fill)
        request = written("kms", operation, params)
        route = ROUTER.route(request.method, request.path, request.query, request.headers, "kms")
        assert route == Route("kms", operation, "", "", virtual_host=False)
        assert CODEC.decode(route, request.query, request.headers, request.body) == params
        output = output_for("kms", operation, seed, fill)
        encoded = CODEC.encode("kms", operation, Answer(output), "R1")
        assert model.output_shape is not None or encoded.body == b""
        response = {"status_code": encoded.status, "headers": HeadersDict(encoded.headers), "body": encoded.body}
        parsed = create_parser("json").parse(response, model.output_shape)
        assert parsed.pop("ResponseMetadata")["RequestId"] == "R1"
        assert parsed == output


@pytest.mark.parametrize("operation", ["GetCallerIdentity", "AssumeRole", "AssumeRoleWithWebIdentity", "GetSessionToken"])
def test_sts_both_ways(operation: str) -> None:
    query_both_ways("sts", operation)


@pytest.mark.parametrize("operation", operation_names("iam"))
def test_iam_both_ways(operation: str) -> None:
    query_both_ways("iam", operation)


def query_both_ways(service: Any, operation: str) -> None:
    model = operation_model(service, operation)
    for seed, fill in FILLS:
        params = params_for(service, operation, seed, fill)
        request = written(service, operation, params)
        unnamed = ROUTER.route(request.method, request.path, request.query, request.headers, service)
        assert unnamed == Route(service, "", "", "", virtual_host=False)
        route = ROUTER.action(unnamed, request.body)
        assert route == Route(service, operation, "", "", virtual_host=False)
        assert CODEC.decode(route, request.query, request.headers, request.body) == params
        output = output_for(service, operation, seed, fill)
        encoded = CODEC.encode(service, operation, Answer(output), "R1")
        response = {"status_code": encoded.status, "headers": HeadersDict(encoded.headers), "body": encoded.body}
        parsed = create_parser("query").parse(response, model.output_shape)
        assert parsed.pop("ResponseMetadata")["RequestId"] == "R1"
        assert parsed == output
