"""A second judge, slow and literal: it reads raw documents at each question and follows the written rules one by one.

Shares nothing with ``strongroom.policy``: not its parsing, its matching, nor its order of looking. What differs between the two is
an error in one of them.
"""

from __future__ import annotations

import base64
import datetime as dt
import ipaddress
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Any

NEVER_LOCKED_OUT = ["s3:GetBucketPolicy", "s3:PutBucketPolicy", "s3:DeleteBucketPolicy"]


@dataclass
class Caller:
    account: str = ""
    arn: str = ""
    role_arn: str = ""
    anonymous: bool = False
    identity: list[dict[str, Any]] = field(default_factory=list)
    boundary: dict[str, Any] | None = None
    session: list[dict[str, Any]] | None = None
    canonical: str = ""

    @property
    def root(self) -> bool:
        return self.arn == f"arn:aws:iam::{self.account}:root"


@dataclass
class Resource:
    owner: str
    arn: str
    policies: list[dict[str, Any]] = field(default_factory=list)
    required: bool = False  # KMS keys, roles
    restricted: bool = False
    grants: list[dict[str, Any]] = field(default_factory=list)
    acl: list[tuple[str, str]] | None = None  # grantee ("all", "authenticated", "logs" or a canonical id), permission
    bucket_owner: str = ""  # where it is another


@dataclass
class Request:
    action: str
    values: dict[str, Any] = field(default_factory=dict)  # lower-case key → text or list of texts
    context: dict[str, str] = field(default_factory=dict)


def as_list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


# ---------------------------------------------------------------------------------------------------------------- matching


def wild(pattern: tuple[Any, ...], text: str) -> bool:
    """Elements: one character each, or ("any",), or ("one",)."""

    @cache
    def rest(p: int, t: int) -> bool:
        if p == len(pattern):
            return t == len(text)
        if pattern[p] == ("any",):
            return rest(p + 1, t) or (t < len(text) and rest(p, t + 1))
        return t < len(text) and (pattern[p] == ("one",) or pattern[p] == text[t]) and rest(p + 1, t + 1)

    return rest(0, 0)


class Unresolved(Exception):
    pass


def elements(text: str, version: str, request: Request | None, *, wildcards: bool = True) -> tuple[Any, ...]:
    """Characters and wildcards of a text, its variables replaced. Raises Unresolved."""
    out: list[Any] = []
    at = 0
    while at < len(text):
        end = text.find("}", at)
        if version == "2012-10-17" and text.startswith("${", at) and end > at + 2 and request is not None:
            out.extend(variable(text[at + 2 : end], request))
            at = end + 1
            continue
        if wildcards and text[at] in "*?":
            out.append(("any",) if text[at] == "*" else ("one",))
        else:
            out.append(text[at])
        at += 1
    return tuple(out)


def variable(inside: str, request: Request) -> str:
    if inside in {"*", "?", "$"}:
        return inside
    name, comma, default = inside.partition(",")
    value = request.values.get(name.strip().lower())
    if isinstance(value, str):
        return value
    if value is None and comma:
        return default.strip().removeprefix("'").removesuffix("'")
    raise Unresolved


def matches(pattern: str, text: str, version: str, request: Request) -> bool:
    try:
        return wild(elements(pattern, version, request), text)
    except Unresolved:
        return False


# -------------------------------------------------------------------------------------------------------------- conditions


def number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def moment(text: str) -> float | None:
    if number(text) is not None and len(text) != 4:
        return number(text)
    for form in ("%Y-%m-%dT%H:%M:%SZ", "%Y-%m-%d", "%Y-%m", "%Y"):
        try:
            return dt.datetime.strptime(text, form).replace(tzinfo=dt.UTC).timestamp()
        except ValueError:
            continue
    return None


def ordered(name: str, one: float | None, other: float | None) -> bool:
    if one is None or other is None:
        return False
    return {
        "Equals": one == other,
        "LessThan": one < other,
        "LessThanEquals": one <= other,
        "GreaterThan": one > other,
        "GreaterThanEquals": one >= other,
    }[name]


def exact(operand: str, version: str, request: Request) -> str | None:
    try:
        return "".join(elements(operand, version, request, wildcards=False))
    except Unresolved:
        return None


def arn_matches(operand: str, value: str, version: str, request: Request) -> bool:
    try:
        whole = elements(operand, version, request)
    except Unresolved:
        return False
    if whole == (("any",),):
        return len(value.split(":")) >= 6
    parts: list[list[Any]] = [[]]
    for element in whole:
        if element == ":" and len(parts) < 6:
            parts.append([])
        else:
            parts[-1].append(element)
    texts = value.split(":", 5)
    return len(parts) == len(texts) == 6 and all(wild(tuple(part), text) for part, text in zip(parts, texts, strict=True))


def positive(operator: str, operand: Any, value: str, version: str, request: Request) -> bool:
    """One operand against one value, for the operator without its negation."""
    operand = str(operand).lower() if isinstance(operand, bool) else str(operand)
    if operator == "StringEquals":
        return exact(operand, version, request) == value
    if operator == "StringEqualsIgnoreCase":
        found = exact(operand, version, request)
        return found is not None and found.lower() == value.lower()
    if operator == "StringLike":
        return matches(operand, value, version, request)
    if operator == "ArnEquals":
        return arn_matches(operand, value, version, request)
    if operator == "Bool":
        return operand.lower() == value.lower() and value.lower() in {"true", "false"}
    if operator == "BinaryEquals":
        try:
            return base64.b64decode(operand) == base64.b64decode(value, validate=True)
        except ValueError:  # what is not base64 is no bytes
            return False
    if operator == "IpAddress":
        try:
            return ipaddress.ip_address(value) in ipaddress.ip_network(operand, strict=False)
        except ValueError:
            return False
    if operator.startswith("Numeric"):
        return ordered(operator.removeprefix("Numeric"), number(value), number(operand))
    assert operator.startswith("Date")
    return ordered(operator.removeprefix("Date"), moment(value), moment(operand))


NEGATED = {
    "StringNotEquals": "StringEquals",
    "StringNotEqualsIgnoreCase": "StringEqualsIgnoreCase",
    "StringNotLike": "StringLike",
    "ArnNotEquals": "ArnEquals",
    "ArnNotLike": "ArnEquals",
    "NotIpAddress": "IpAddress",
    "NumericNotEquals": "NumericEquals",
    "DateNotEquals": "DateEquals",
}


def one_condition(written: str, key: str, operands: list[Any], version: str, request: Request) -> bool:
    value = request.values.get(key.lower())
    if written == "Null":
        wanted = [str(operand).lower() for operand in operands]
        return ("true" if value is None else "false") in wanted
    every, some = written.startswith("ForAllValues:"), written.startswith("ForAnyValue:")
    name = written.partition(":")[2] or written
    if value is None and name.endswith("IfExists") and not some:
        return True
    name = name.removesuffix("IfExists")
    negated = name in NEGATED
    name = "ArnEquals" if name == "ArnLike" else NEGATED.get(name, name)
    if value is None:
        return every or (negated and not some)

    def holds(one: str) -> bool:
        hit = any(positive(name, operand, one, version, request) for operand in operands)
        return not hit if negated else hit

    if every:
        return all(holds(one) for one in as_list(value))
    if some:
        return any(holds(one) for one in as_list(value))
    return all(holds(one) for one in as_list(value)) if negated else any(holds(one) for one in as_list(value))


def conditions_hold(statement: dict[str, Any], version: str, request: Request) -> bool:
    return all(
        one_condition(operator, key, as_list(operands), version, request)
        for operator, keys in statement.get("Condition", {}).items()
        for key, operands in keys.items()
    )


# -------------------------------------------------------------------------------------------------------------- statements


def action_matches(statement: dict[str, Any], action: str) -> bool:
    if "NotAction" in statement:
        return not any(wild(elements(one.lower(), "", None), action.lower()) for one in as_list(statement["NotAction"]))
    return any(wild(elements(one.lower(), "", None), action.lower()) for one in as_list(statement.get("Action", [])))


def resource_matches(statement: dict[str, Any], resource: str, version: str, request: Request) -> bool:
    if "NotResource" not in statement:
        return any(matches(one, resource, version, request) for one in as_list(statement.get("Resource", [])))
    unresolved = False
    for one in as_list(statement["NotResource"]):
        try:
            if wild(elements(one, version, request), resource):
                return False
        except Unresolved:
            unresolved = True
    return not (unresolved and statement["Effect"] == "Allow")


def listed(principal: Any) -> list[str]:
    return ["*"] if principal == "*" else as_list(principal.get("AWS", []))


def is_account(one: str, account: str) -> bool:
    return one in {account, f"arn:aws:iam::{account}:root"} and account != ""


def forms(statement: dict[str, Any], caller: Caller) -> set[str]:
    """Which forms of a Principal or NotPrincipal element name the caller: everyone, self, role, account."""
    if "NotPrincipal" in statement:
        names = listed(statement["NotPrincipal"])
        account = any(is_account(one, caller.account) for one in names)
        itself = caller.root or caller.arn in names or (caller.role_arn != "" and caller.role_arn in names)
        if "*" in names or (account and itself and not caller.anonymous):
            return set()
        return {"everyone"}
    found = set()
    for one in listed(statement["Principal"]):
        if one == "*":
            found.add("everyone")
        elif caller.anonymous:
            continue
        elif is_account(one, caller.account):
            found.add("account")
        elif one == caller.arn:
            found.add("self")
        elif one == caller.role_arn:
            found.add("role")
    return found


def narrowed_by_arn(statement: dict[str, Any]) -> bool:
    for operator, keys in statement.get("Condition", {}).items():
        bare = operator.partition(":")[2] or operator
        if bare in NEGATED or bare == "Null" or bare.endswith("IfExists"):
            continue
        if any(key.lower() == "aws:principalarn" for key in keys):
            return True
    return False


def statements(document: dict[str, Any], effect: str, resource: Resource, request: Request) -> list[dict[str, Any]]:
    """The statements of a document with that effect that speak of the action, the resource and the request."""
    version = document.get("Version", "2008-10-17")
    return [
        one
        for one in as_list(document["Statement"])
        if one["Effect"] == effect
        and action_matches(one, request.action)
        and resource_matches(one, resource.arn, version, request)
        and conditions_hold(one, version, request)
    ]


def statements_of(resource: Resource, document: dict[str, Any], effect: str, request: Request) -> list[dict[str, Any]]:
    """As ``statements``, of the resource's own policy. That of a key never sees the key's aliases."""
    if resource.required:
        values = {key: value for key, value in request.values.items() if key != "kms:resourcealiases"}
        request = replace(request, values=values)
    return statements(document, effect, resource, request)


# ---------------------------------------------------------------------------------------------------------------- deciding


def denied(caller: Caller, resource: Resource, request: Request) -> str:
    """Which sort of policy denies, "" for none."""
    spared = caller.root and caller.account == resource.owner and request.action in NEVER_LOCKED_OUT
    for document in resource.policies:
        if any(forms(one, caller) for one in statements_of(resource, document, "Deny", request)) and not spared:
            return "DENIED_BY_RESOURCE"
    if resource.restricted and (caller.anonymous or caller.account != (resource.bucket_owner or resource.owner)):
        return "RESTRICTED"
    if caller.anonymous:
        return ""
    if any(statements(document, "Deny", resource, request) for document in caller.identity):
        return "DENIED_BY_IDENTITY"
    if caller.boundary is not None and statements(caller.boundary, "Deny", resource, request):
        return "DENIED_BY_BOUNDARY"
    if any(statements(document, "Deny", resource, request) for document in caller.session or []):
        return "DENIED_BY_SESSION"
    return ""


def granted(grant: dict[str, Any], caller: Caller, request: Request) -> set[str]:
    name = request.action.removeprefix("kms:")
    if caller.anonymous or name == request.action or name not in grant["operations"]:
        return set()
    if name not in {"DescribeKey", "RetireGrant"}:
        if "equals" in grant and grant["equals"] != request.context:
            return set()
        if any(request.context.get(key) != value for key, value in grant.get("subset", {}).items()):
            return set()
    return forms({"Principal": {"AWS": grant["grantee"]}}, caller)


ON_BUCKETS = {
    "s3:ListBucket": "READ",
    "s3:PutObject": "WRITE",
    "s3:GetBucketAcl": "READ_ACP",
    "s3:PutBucketAcl": "WRITE_ACP",
}
ON_OBJECTS = {
    "s3:GetObject": "READ",
    "s3:GetObjectAcl": "READ_ACP",
    "s3:PutObjectAcl": "WRITE_ACP",
}


def opened(caller: Caller, resource: Resource, request: Request) -> bool:
    """Whether a list names the caller for the action. A list with an object's ARN is an object's."""
    wanted = (ON_OBJECTS if "/" in resource.arn else ON_BUCKETS).get(request.action)
    for grantee, permission in resource.acl or []:
        named = grantee == "all" or (not caller.anonymous and grantee in {"authenticated", caller.canonical})
        if wanted is not None and named and permission in {wanted, "FULL_CONTROL"}:
            return True
    return False


def slow_decide(caller: Caller, resource: Resource, request: Request) -> tuple[bool, str]:
    """Whether it is allowed, and why: a name of Reason."""
    reason = denied(caller, resource, request)
    if reason:
        return False, reason
    strength: set[str] = set()
    for document in resource.policies:
        for one in statements_of(resource, document, "Allow", request):
            names = forms(one, caller)
            if "everyone" in names and narrowed_by_arn(one):
                names = names | {"self"}
            strength |= names
    by_grant: set[str] = set()
    for grant in resource.grants:
        by_grant |= granted(grant, caller, request)
    by_list = opened(caller, resource, request)
    either = strength | by_grant | ({"account"} if by_list else set())

    if caller.anonymous:
        if "everyone" in strength:
            return True, "RESOURCE_POLICY"
        return (True, "ACL") if by_list else (False, "ANONYMOUS")
    own_side = caller.root or any(statements(document, "Allow", resource, request) for document in caller.identity)
    limit = ""
    if caller.session is not None and not any(statements(document, "Allow", resource, request) for document in caller.session):
        limit = "NO_SESSION_POLICY"
    if caller.boundary is not None and not statements(caller.boundary, "Allow", resource, request):
        limit = "NO_BOUNDARY"

    if caller.account != resource.owner:
        if not either:
            return False, "OTHER_ACCOUNT"
        if not own_side:
            return False, "NO_IDENTITY_POLICY"
        return (False, limit) if limit else (True, "BOTH_ACCOUNTS")
    if "self" in either:
        return True, "RESOURCE_POLICY" if "self" in strength else "GRANT"
    if resource.required and not either:
        return False, "NO_RESOURCE_POLICY"
    if either & {"everyone", "role"} and not caller.root:
        if limit:
            return False, limit
        return True, "RESOURCE_POLICY" if strength & {"everyone", "role"} else "GRANT"
    if not own_side:
        return False, "NO_IDENTITY_POLICY"
    if limit:
        return False, limit
    if caller.root:
        return True, "RESOURCE_POLICY" if resource.required else "ROOT_OF_OWNER"
    return True, "IDENTITY_POLICY"
