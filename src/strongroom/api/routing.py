"""Which operation a request asks for: S3 and S3 Control by method, address and query words, KMS by target, IAM and STS by form action.

The tables are compiled from the models' http traits at start. Never knows which operations are built, who is calling, or
what a body says beyond the form field ``Action``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple
from urllib.parse import unquote_plus

from strongroom.api.errors import ApiError
from strongroom.api.form import read_form
from strongroom.api.model import SUCCESSORS, is_operation, members, operation_model, operation_names, required, trait
from strongroom.api.operation import Service

FORM: Final = "application/x-www-form-urlencoded"
_TARGET: Final = "TrentService."
CONTROL_HEADER: Final = "x-amz-account-id"  # without which no operation of S3 Control is asked, and which none of S3 has
_CONTROL: Final = "/v20180820/"
_VERSIONS: Final[dict[str, Service]] = {"2011-06-15": "sts", "2010-05-08": "iam"}
_SCOPES: Final[dict[str, Service]] = {"kms": "kms", "iam": "iam", "sts": "sts"}
_HOSTS_KEPT: Final = 4096
#: What S3 calls a subresource in ``ResourceType``; the others are their query word in upper case.
_RESOURCE_TYPES: Final = {
    "delete": "MULTI_OBJECT_DELETE",
    "policy": "BUCKETPOLICY",
    "logging": "LOGGING_STATUS",
    "uploadId": "UPLOAD",
}


class Route(NamedTuple):
    """What a request asks for. ``operation`` is "" when only the form in the body can tell: see ``Router.action``.

    ``PostObject`` (browser form upload) and ``Preflight`` (CORS OPTIONS) are names that the model does not have.
    """

    service: Service
    operation: str
    bucket: str  # "" when the address names none
    key: str  # "" when the address names none
    virtual_host: bool  # the bucket came from the Host header


@dataclass(slots=True)
class _Candidate:
    operation: str
    queries: frozenset[str]  # query names it cannot do without
    headers: frozenset[str]  # header names it cannot do without


@dataclass(slots=True)
class _Level:
    """The operations of one method on one kind of resource (service, bucket or object)."""

    plain: str = ""  # the operation without any subresource word
    groups: dict[str, list[_Candidate]] = field(
        default_factory=dict[str, list[_Candidate]]
    )  # subresource word ("" for none) -> most demanding first
    claimed: frozenset[str] = frozenset()  # query names that only demanding candidates of the plain group have


class Router:
    """Built once; ``route`` is called for every request."""

    def __init__(self, domains: Sequence[str] = ()) -> None:
        """``domains``: host names (without port) under which ``bucket.<domain>`` addresses a bucket."""
        self._domains = tuple(sorted({domain.strip(".").lower() for domain in domains if domain}, key=len, reverse=True))
        self._levels, self._words, self._valued = _compile()
        self._plain = {where: level.plain for where, level in self._levels.items() if level.plain}
        self._hosts: dict[str, str] = {}
        self._control = _compile_control()

    def route(self, method: str, path: str, query: str, headers: Mapping[str, str], scope: str = "") -> Route:
        """Which operation a request asks for.

        ``method`` in upper case; ``path`` percent-decoded, from "/"; ``query`` raw; ``headers`` by lower-case names;
        ``scope``: the service of the signature's credential scope, "" when there is none.
        Raises ApiError MethodNotAllowed, InvalidArgument (conflicting subresources).
        """
        if CONTROL_HEADER in headers and path.startswith(_CONTROL):
            return self._control_route(method, path)
        host = headers.get("host", "")
        bucket = self._hosts.get(host)
        if bucket is None:
            bucket = self._bucket_of(host)
        if path == "/" and method != "PUT":
            other = self._other_service(method, query, headers, scope)
            if other is not None:
                return other
        if bucket:
            virtual_host, key = True, path[1:]
        else:
            virtual_host = False
            bucket, _, key = path[1:].partition("/")
        where = (method, "object" if key else "bucket" if bucket else "service")
        if not query and "x-amz-copy-source" not in headers:
            operation = self._plain.get(where)
            if operation is not None:
                return Route("s3", operation, bucket, key, virtual_host)
        return Route("s3", self._operation(where, path, query, headers), bucket, key, virtual_host)

    def _control_route(self, method: str, path: str) -> Route:
        operation = self._control.get((method, path))
        if operation is not None:
            return Route("s3control", operation, "", "", virtual_host=False)
        start = path.find("/", len(_CONTROL)) + 1
        return Route("s3control", self._control.get((method, path[:start]), ""), "", path[start:], virtual_host=False)

    def bucket(self, path: str, host: str) -> str:
        """The bucket that an address names, whatever is asked of it; "" for none."""
        return self._bucket_of(host) or path[1:].partition("/")[0]

    def action(self, route: Route, body: bytes) -> Route:
        """The route of an IAM or STS call whose ``operation`` was "": named by the form in ``body``.

        ``operation`` stays "" when the form names none. Raises ApiError MalformedQueryString.
        """
        try:
            form = read_form(body.decode())
        except UnicodeDecodeError as error:
            raise ApiError("MalformedQueryString") from error
        service = route.service if route.service == "iam" else _VERSIONS.get(form.get("Version", ""), route.service)
        return route._replace(service=service, operation=form.get("Action", ""))

    def _bucket_of(self, host: str) -> str:
        """The bucket that a Host header names, "" for path addressing. Kept, in a bounded cache: hosts come from clients."""
        name = (host if host.startswith("[") else host.partition(":")[0]).lower().rstrip(".")
        bucket = ""
        if name not in self._domains:
            bucket = next((name[: -len(domain) - 1] for domain in self._domains if name.endswith("." + domain)), "")
        if len(self._hosts) >= _HOSTS_KEPT:
            self._hosts.clear()
        self._hosts[host] = bucket
        return bucket

    def _other_service(self, method: str, query: str, headers: Mapping[str, str], scope: str) -> Route | None:
        target = headers.get("x-amz-target", "")
        if scope == "kms" or (target.startswith(_TARGET) and scope not in ("s3", "iam", "sts")):
            return Route("kms", target.removeprefix(_TARGET) if target.startswith(_TARGET) else "", "", "", virtual_host=False)
        service = _SCOPES.get(scope)
        words = read_form(query, code="InvalidURI") if query and (service or not scope) else {}
        if service is None and not scope:
            service = _VERSIONS.get(words.get("Version", "")) if "Action" in words else None
            if service is None and method == "POST" and headers.get("content-type", "").startswith(FORM):
                service = "sts"  # an unsigned form: the version in the body tells
        if service is None:
            return None
        return Route(service, words.get("Action", ""), "", "", virtual_host=False)

    def _operation(self, where: tuple[str, str], path: str, query: str, headers: Mapping[str, str]) -> str:
        method, kind = where
        if method == "OPTIONS":
            return "Preflight"
        if method == "POST" and path == "/WriteGetObjectResponse" and "x-amz-request-route" in headers:
            return "WriteGetObjectResponse"
        names, words = self._read(query)
        if len(words) > 1:
            message = f"Conflicting query string parameters: {', '.join(sorted(words))}"
            raise ApiError("InvalidArgument", message, ArgumentName="ResourceType", ArgumentValue=min(words))
        word = words[0] if words else ""
        level = self._levels.get(where)
        group = level.groups.get(word) if level is not None else None
        stray_upload = (
            "uploadId" in names and method in ("PUT", "DELETE") and kind != "object"
        )  # a lost key must not hit the bucket
        if level is not None and group is not None and not stray_upload:
            operation = _choose(group, names, headers, None if word else level.claimed)
            if operation:
                return operation
        if where == ("POST", "bucket") and not word:
            return "PostObject"
        resource = word or ("uploadId" if "uploadId" in names else kind)
        raise ApiError("MethodNotAllowed", Method=method, ResourceType=_RESOURCE_TYPES.get(resource, resource.upper()))

    def _read(self, query: str) -> tuple[set[str], list[str]]:
        """The names in a query string, and those (each once) that are subresource words."""
        names: set[str] = set()
        words: list[str] = []
        for pair in query.split("&"):
            name, _, value = pair.partition("=")
            if "%" in name or "+" in name:
                name = unquote_plus(name)
            if not name or name in names:
                continue
            names.add(name)
            if name in self._words:
                words.append(name)
            elif name in self._valued and f"{name}={value}" in self._words:
                words.append(f"{name}={value}")
        return names, words


def _choose(group: list[_Candidate], names: set[str], headers: Mapping[str, str], claimed: frozenset[str] | None) -> str:
    """The operation of a group that a request means; "" for none. ``claimed`` is None in a group that has a subresource word.

    A request that carries a query name only demanding candidates have (``uploadId`` on PUT) is never given to the plain
    operation: it goes to the one that misses least, whose decoder then says what is missing.
    """
    demanding = claimed is not None and not claimed.isdisjoint(names)
    for candidate in group:
        if claimed is not None and demanding != bool(candidate.queries):
            continue
        if candidate.queries <= names and all(name in headers for name in candidate.headers):
            return candidate.operation
    if demanding:
        return [candidate for candidate in group if candidate.queries & names][-1].operation
    return group[-1].operation if claimed is None else ""


def _compile() -> tuple[dict[tuple[str, str], _Level], frozenset[str], frozenset[str]]:
    """The levels by (method, kind of resource), the subresource words of all of them, and the names of words that have a value."""
    levels: dict[tuple[str, str], _Level] = {}
    words: set[str] = set()
    for name in operation_names("s3"):
        if name in SUCCESSORS or name == "WriteGetObjectResponse":
            continue
        http = operation_model("s3", name).http
        path, _, template = str(http["requestUri"]).partition("?")
        word = _word(template)
        words.update({word} - {""})
        level = levels.setdefault(
            (str(http["method"]), "object" if "{Key" in path else "bucket" if "{Bucket" in path else "service"), _Level()
        )
        level.groups.setdefault(word, []).append(_candidate(name))
    for level in levels.values():
        for group in level.groups.values():
            group.sort(key=lambda candidate: (-len(candidate.queries) - len(candidate.headers), candidate.operation))
        _find_plain(level)
    return levels, frozenset(words), frozenset(word.partition("=")[0] for word in words if "=" in word)


def _compile_control() -> dict[tuple[str, str], str]:
    """The operations of S3 Control by method and path: whole where it has no variable part, and up to its slash where all that follows is
    one. None of the others is built.
    """
    found: dict[tuple[str, str], str] = {}
    for name in operation_names("s3control"):
        http = operation_model("s3control", name).http
        path, brace, label = str(http["requestUri"]).partition("{")
        if "?" not in path and (not brace or label.endswith("+}")):
            found[str(http["method"]), path] = name
    return found


def _word(template: str) -> str:
    """The subresource word of a uri template's query: a bare word, or ``name=value`` if there is none. ``x-id`` says nothing."""
    given = [word for word in template.split("&") if word and not word.startswith("x-id=")]
    return next((word for word in given if "=" not in word), given[0] if given else "")


def _candidate(name: str) -> _Candidate:
    shape = operation_model("s3", name).input_shape
    shapes = members(shape)
    places = [(str(trait(shapes[member], "location")), str(trait(shapes[member], "name"))) for member in required(shape)]
    queries = frozenset(wire for location, wire in places if location == "querystring")
    # of the required headers only this one tells operations apart; the decoder asks for the others
    return _Candidate(
        name, queries, frozenset(wire for location, wire in places if location == "header" and wire == "x-amz-copy-source")
    )


def _find_plain(level: _Level) -> None:
    group = level.groups.get("", [])
    plain = [candidate for candidate in group if not candidate.queries and not candidate.headers]
    if plain:
        level.plain = plain[0].operation
    own = frozenset[str]().union(*(_query_names(candidate.operation) for candidate in plain))
    level.claimed = frozenset[str]().union(*(candidate.queries for candidate in group)) - own


def _query_names(operation: str) -> frozenset[str]:
    shapes = members(operation_model("s3", operation).input_shape).values()
    return frozenset(str(trait(shape, "name")) for shape in shapes if trait(shape, "location") == "querystring")


def is_modelled(route: Route) -> bool:
    """Whether AWS's model has the operation (PostObject and Preflight are S3's, but not in the model)."""
    return is_operation(route.service, route.operation)
