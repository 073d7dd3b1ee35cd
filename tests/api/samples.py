"""Values that fit a shape of botocore's model, made from a seeded random source; and requests as botocore writes them."""

from __future__ import annotations

import random
import re
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple
from urllib.parse import quote, unquote

from botocore.serialize import create_serializer

from strongroom.api.model import members, operation_model, required, service_model, trait

_TEXTS = ("plain", "a b", "<tag> & \"quote\" 'x'", "é☃𝄞", "line\nbreak", "%41+", "]]>", " lead and trail ")
_SAFE = ("plain", "a b", 'W/"etag"', "a=1&b=2", "bytes=0-9", "/b/k%20x")
_KEYS = ("k", "a/b c/é☃", "/leading//slashes/", "plus+percent%41?x=1#y", "x" * 1000)
_FITTING = {
    "CloudHsmClusterIdType": "cluster-1a23b4cdefg".replace("1", "2"),
    "pathType": "/a/path/",
    "pathPrefixType": "/a/",
    "policyPathType": "/a/b/",
    "rolePathPatternType": "/a/",
    "policyVersionIdType": "v12",
    "accountIdType": "123456789012",
    "OrganizationIdType": "o-0123456789ab",
    "accountAliasType": "an-alias",
    "accountPropertyKeyType": "a/key",
    "organizationsEntityPathType": "o-0123456789/r-0123/",
    "organizationsPolicyIdType": "p-01234567",
    "redirectUrlType": "https://example.com/a",
    "RegionType": "eu-central-1",
    "GrantConstraintSourceArnType": "arn:aws:s3:eu-central-1:123456789012:bucket",
    "ServicePrincipalType": "s3.amazonaws.com",
    "XksProxyUriEndpointType": "https://example.com",
    "XksProxyUriPathType": "/strong/kms/xks/v1",
    "XksProxyVpcEndpointServiceNameType": "com.amazonaws.vpce.eu-central-1.vpce-svc-0123456789abcdef0",
    "NonEmptyKmsKeyArnString": "arn:aws:kms:us-east-1:123456789012:key/1234",
}

#: Members of deprecated shapes that share one wire name.
_CLASHING = {
    (name, member)
    for name in ("TopicConfigurationDeprecated", "QueueConfigurationDeprecated", "CloudFunctionConfiguration")
    for member in ("Event", "Events")
}


class Request(NamedTuple):
    method: str
    path: str
    query: str
    headers: dict[str, str]
    body: bytes


def sample(shape: Any, rng: random.Random, *, fill: float, wire: bool = False) -> Any:
    """A value of a shape; ``fill`` is the chance of each optional member; ``wire``: it travels in a header or query."""
    kind = shape.type_name
    if kind == "structure":
        return structure(shape, rng, fill=fill)
    if kind == "list":
        count = min(rng.randint(1, 3), shape.metadata.get("max", 3))
        return [sample(shape.member, rng, fill=fill, wire=wire) for _ in range(count)]
    if kind == "map":
        words = rng.sample(["one", "two-2", "three_3"], 2)
        return {word: sample(shape.value, rng, fill=fill, wire=wire or trait(shape, "location") == "headers") for word in words}
    if kind in ("integer", "long"):
        return rng.randint(shape.metadata.get("min", 0), shape.metadata.get("max", 10_000))
    if kind == "boolean":
        return rng.random() < 0.5
    if kind == "timestamp":
        return datetime(2001, 2, 3, tzinfo=UTC) + timedelta(seconds=rng.randint(0, 10**9))
    if kind == "blob":
        return rng.randbytes(rng.randint(1, 64))
    return text(shape, rng, wire=wire)


def structure(shape: Any, rng: random.Random, *, fill: float, top: bool = False) -> dict[str, Any]:
    needed = required(shape)
    inner = members(shape)
    if shape.metadata.get("union"):
        needed = (rng.choice(list(inner)),)
        fill = 0
    chosen = [name for name in inner if (name in needed or rng.random() < fill) and (shape.name, name) not in _CLASHING]
    if not chosen and inner and not top:
        chosen = [next(iter(inner))]  # an empty structure leaves no trace in a form
    return {name: sample(inner[name], rng, fill=fill, wire=trait(inner[name], "location") is not None) for name in chosen}


def text(shape: Any, rng: random.Random, *, wire: bool) -> str:
    if shape.metadata.get("enum"):
        return rng.choice(shape.metadata["enum"])
    if shape.name in _FITTING:
        return _FITTING[shape.name]
    low, high = shape.metadata.get("min", 1), shape.metadata.get("max", 40)
    pattern = shape.metadata.get("pattern", "")
    if "\\p{" in pattern:
        return rng.choice(("Ümläut key", "a:b/c", "日本語")).ljust(low, "x")
    if match := re.fullmatch(r"\^?(\[.*\])[+*]\$?", pattern):
        one = re.compile(match[1], re.ASCII)
        alphabet = [chr(code) for code in range(0x20, 0xFF) if one.fullmatch(chr(code))]
        return "".join(rng.choices(alphabet, k=rng.randint(max(low, 1), min(high, max(low, 40)))))
    if pattern == "[0-9]{12}":
        return "123456789012"
    chosen = rng.choice(_SAFE if wire else _TEXTS)
    return chosen.ljust(low, "x")[: max(high, low)]


def params_for(service: str, operation: str, seed: int, fill: float) -> dict[str, Any]:
    rng = random.Random(f"{service}.{operation}.{seed}")
    shape = operation_model(service, operation).input_shape
    params = structure(shape, rng, fill=fill, top=True) if shape is not None else {}
    if service == "s3":
        if "RequestRoute" in params:
            params["RequestRoute"] = "a-route"
        if "Bucket" in params:
            params["Bucket"] = "a-bucket"
        if "Key" in params and trait(members(shape)["Key"], "location") == "uri":
            params["Key"] = rng.choice(_KEYS)
    return params


def output_for(service: str, operation: str, seed: int, fill: float) -> dict[str, Any]:
    rng = random.Random(f"{service}.{operation}.out.{seed}")
    shape = operation_model(service, operation).output_shape
    return structure(shape, rng, fill=fill, top=True) if shape is not None else {}


def written(service: str, operation: str, params: dict[str, Any]) -> Request:
    """The request that botocore's own serializer writes."""
    protocol = str(service_model(service).metadata["protocol"])
    serialized = create_serializer(protocol, include_validation=False).serialize_to_request(
        params, operation_model(service, operation)
    )
    path, _, query = serialized["url_path"].partition("?")
    words = serialized["query_string"]
    pairs = [f"{quote(str(name), safe='-._~')}={quote(str(value), safe='-._~')}" for name, value in (words or {}).items()]
    headers = {name.lower(): str(value) for name, value in serialized["headers"].items()}
    headers["host"] = "localhost:9000"
    body = serialized["body"]
    if isinstance(body, dict):
        body = "&".join(f"{quote(str(name), safe='-._~')}={quote(str(value), safe='-._~')}" for name, value in body.items())
    raw = body.encode() if isinstance(body, str) else body
    return Request(serialized["method"], unquote(path), "&".join([word for word in (query, *pairs) if word]), headers, raw)
