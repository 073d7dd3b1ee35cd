"""What a client may put as a bucket's lifecycle, checked rule by rule, and the document that is kept of it. Pure.

The codec has refused what the model's shapes do not allow; here are the rules that the model does not state. Never knows objects or
what is done to them. Sources: the S3 API reference, "Lifecycle configuration elements" and "Transitioning objects" in the user guide.
"""

from __future__ import annotations

import base64
import uuid
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Final

from strongroom.api.errors import ApiError
from strongroom.api.scalars import iso_millis
from strongroom.s3.lifecycle_rules import ALL_128K, VARIES
from strongroom.s3.storage_classes import INFREQUENT, STAYS, WATERFALL, may_move
from strongroom.s3.tag_sets import OBJECT_TAGS, read_tag_set

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import datetime

MOST_RULES: Final = 1000
ID_CHARACTERS: Final = 255
PREFIX_BYTES: Final = 1024
MOST_DAYS: Final = 2**31 - 1
MOST_KEPT: Final = 100  # newer noncurrent versions
LARGEST: Final = 1_099_511_627_776_000  # bytes that a filter may name
LEAST_INFREQUENT: Final = 30  # days
_ACTIONS: Final = (
    "Expiration",
    "Transitions",
    "NoncurrentVersionExpiration",
    "NoncurrentVersionTransitions",
    "AbortIncompleteMultipartUpload",
)
_PREDICATES: Final = ("Prefix", "Tag", "ObjectSizeGreaterThan", "ObjectSizeLessThan", "And")


def read_configuration(configuration: Mapping[str, Any], minimum: str | None, random: Callable[[int], bytes]) -> dict[str, Any]:
    """The document that is kept. ``minimum``: the header about small objects; ``random`` makes ids for rules without one.

    Raises ApiError MalformedXML, InvalidArgument, InvalidRequest, InvalidTag.
    """
    if minimum is not None and minimum not in {ALL_128K, VARIES}:
        raise ApiError("InvalidRequest", f"Invalid TransitionDefaultMinimumObjectSize found: {minimum}")
    rules: list[Mapping[str, Any]] = configuration.get("Rules") or []
    if not 1 <= len(rules) <= MOST_RULES:
        raise ApiError("MalformedXML")
    _check_versions_of_rules(rules)
    kept = [_checked(rule, random) for rule in rules]
    if len({rule["ID"] for rule in kept}) < len(kept):
        raise ApiError("InvalidArgument", "Rule ID must be unique. Found same ID for more than one rule", ArgumentName="ID")
    if rules[0].get("Prefix") is not None:
        _check_overlaps(kept)
    return {"rules": kept, "minimum": minimum or ALL_128K}


def _check_versions_of_rules(rules: list[Mapping[str, Any]]) -> None:
    """A rule has a Filter or, as in the first version of lifecycles, a Prefix; all rules have the same."""
    for rule in rules:
        if (rule.get("Filter") is None) is (rule.get("Prefix") is None):
            raise ApiError("MalformedXML")
    first = rules[0].get("Filter") is not None
    for rule in rules:
        if (rule.get("Filter") is not None) is not first:
            text = (
                "Base level prefix cannot be used in Lifecycle V2, prefixes are only supported in the Filter."
                if first
                else "Filter element can only be used in Lifecycle V2."
            )
            raise ApiError("InvalidRequest", text)


def _check_overlaps(rules: list[dict[str, Any]]) -> None:
    """Rules of the first version must not mean the same object by the same action; with filters that is settled when it is judged."""
    for action in _ACTIONS:
        prefixes = sorted(rule["Prefix"] for rule in rules if rule.get(action))
        for shorter, longer in pairwise(prefixes):
            if longer.startswith(shorter):
                text = f"Found overlapping prefixes '{shorter}' and '{longer}' for same action type '{action.removesuffix('s')}'"
                raise ApiError("InvalidRequest", text)


def _checked(rule: Mapping[str, Any], random: Callable[[int], bytes]) -> dict[str, Any]:
    kept: dict[str, Any] = {"ID": _rule_id(rule.get("ID"), random), "Status": rule["Status"]}
    chosen: dict[str, Any] = {}
    if rule.get("Prefix") is not None:
        kept["Prefix"] = _prefix(rule["Prefix"])
    else:
        kept["Filter"] = chosen = dict(rule["Filter"])
        _check_filter(chosen)
    if all(rule.get(action) in (None, []) for action in _ACTIONS):
        raise ApiError("InvalidRequest", "At least one action needs to be specified in a rule")
    where = f"filter '(prefix={_predicate(chosen, 'Prefix') or ''})'" if "Filter" in kept else f"prefix '{kept['Prefix']}'"
    if rule.get("Expiration") is not None:
        kept["Expiration"] = _expiration(rule["Expiration"], chosen)
    if rule.get("Transitions"):
        kept["Transitions"] = _transitions(rule["Transitions"], "Transition", where)
        _check_expiration_behind(kept, where)
    if rule.get("NoncurrentVersionExpiration") is not None:
        kept["NoncurrentVersionExpiration"] = _past(rule["NoncurrentVersionExpiration"], "NoncurrentVersionExpiration", 1)
    if rule.get("NoncurrentVersionTransitions"):
        kept["NoncurrentVersionTransitions"] = _past_moves(rule["NoncurrentVersionTransitions"], kept, where)
    if "Prefix" in kept and _counts_versions(kept):
        raise ApiError("InvalidRequest", "NewerNoncurrentVersions element can only be used in Lifecycle V2.")
    if rule.get("AbortIncompleteMultipartUpload") is not None:
        kept["AbortIncompleteMultipartUpload"] = _abort(rule["AbortIncompleteMultipartUpload"], chosen)
    return kept


def _rule_id(given: str | None, random: Callable[[int], bytes]) -> str:
    if not given:
        return base64.b64encode(str(uuid.UUID(bytes=random(16), version=4)).encode()).decode()
    if len(given) > ID_CHARACTERS:
        text = f"ID length should not exceed allowed limit of {ID_CHARACTERS}"
        raise ApiError("InvalidArgument", text, ArgumentName="ID", ArgumentValue=given)
    return given


# ---- filters


def _prefix(prefix: str) -> str:
    if len(prefix.encode()) > PREFIX_BYTES:
        raise ApiError("InvalidRequest", f"The maximum size of a prefix is {PREFIX_BYTES}.")
    return prefix


def _predicate(chosen: Mapping[str, Any], name: str) -> Any:
    value = chosen.get(name)
    return value if value is not None or "And" not in chosen else chosen["And"].get(name)


def _tags(chosen: Mapping[str, Any]) -> list[Mapping[str, str]]:
    tag: Mapping[str, str] | None = chosen.get("Tag")
    both: Mapping[str, Any] = chosen.get("And") or {}
    return [tag] if tag is not None else both.get("Tags") or []


def _check_filter(chosen: Mapping[str, Any]) -> None:
    """One predicate, or an And of at least two, or none at all."""
    if len([name for name in _PREDICATES if chosen.get(name) is not None]) > 1:
        raise ApiError("MalformedXML")
    both: Mapping[str, Any] | None = chosen.get("And")
    if both is not None:
        alone = [name for name in ("Prefix", "ObjectSizeGreaterThan", "ObjectSizeLessThan") if both.get(name) is not None]
        if len(alone) + len(both.get("Tags") or []) < 2:
            raise ApiError("MalformedXML")
    _prefix(_predicate(chosen, "Prefix") or "")
    tags = _tags(chosen)
    if len({tag["Key"] for tag in tags}) < len(tags):
        raise ApiError("InvalidRequest", "Duplicate Tag Keys are not allowed.")
    read_tag_set({"TagSet": tags}, OBJECT_TAGS)
    above, below = _predicate(chosen, "ObjectSizeGreaterThan"), _predicate(chosen, "ObjectSizeLessThan")
    for name, value, least in (("ObjectSizeGreaterThan", above, 0), ("ObjectSizeLessThan", below, 1)):
        if value is not None and not least <= value <= LARGEST:
            raise ApiError("InvalidRequest", f"'{name}' should be between {least} and {LARGEST}.")
    if above is not None and below is not None and below <= above:
        raise ApiError("InvalidRequest", "'ObjectSizeLessThan' has to be a value greater than 'ObjectSizeGreaterThan'.")


def _refuse_narrow(action: str, chosen: Mapping[str, Any]) -> None:
    """Some actions are about what has neither tags nor a size."""
    if _tags(chosen):
        raise ApiError("InvalidRequest", f"{action} cannot be specified with Tags.")
    if _predicate(chosen, "ObjectSizeGreaterThan") is not None or _predicate(chosen, "ObjectSizeLessThan") is not None:
        raise ApiError("InvalidRequest", f"{action} cannot be specified with Object Size.")


# ---- actions


def _positive(value: int, name: str, action: str, least: int = 1) -> int:
    if value > MOST_DAYS:
        raise ApiError("MalformedXML")
    if value < least:
        text = f"'{name}' for {action} action must be {'a positive integer' if least else 'nonnegative'}"
        raise ApiError("InvalidArgument", text, ArgumentName=name, ArgumentValue=str(value))
    return value


def _midnight(moment: datetime) -> str:
    if (moment.hour, moment.minute, moment.second, moment.microsecond) != (0, 0, 0, 0):
        raise ApiError("InvalidArgument", "'Date' must be at midnight GMT", ArgumentName="Date", ArgumentValue=iso_millis(moment))
    return iso_millis(moment)


def _one_of(given: Mapping[str, Any], *names: str) -> str:
    """Which of some members is given: exactly one."""
    found = [name for name in names if given.get(name) is not None]
    if len(found) != 1:
        raise ApiError("MalformedXML")
    return found[0]


def _expiration(given: Mapping[str, Any], chosen: Mapping[str, Any]) -> dict[str, Any]:
    name = _one_of(given, "Date", "Days", "ExpiredObjectDeleteMarker")
    if name == "ExpiredObjectDeleteMarker":
        _refuse_narrow(name, chosen)
        return {name: given[name]}
    if name == "Date":
        return {name: _midnight(given[name])}
    return {name: _positive(given[name], name, "Expiration")}


def _abort(given: Mapping[str, Any], chosen: Mapping[str, Any]) -> dict[str, Any]:
    name = _one_of(given, "DaysAfterInitiation")
    _refuse_narrow("AbortIncompleteMultipartUpload", chosen)
    return {name: _positive(given[name], name, "AbortIncompleteMultipartUpload")}


def _transitions(given: list[Mapping[str, Any]], action: str, where: str) -> list[dict[str, Any]]:
    kept: list[dict[str, Any]] = []
    for each in given:
        name = _one_of(each, "Date", "Days")
        if each.get("StorageClass") is None:
            raise ApiError("MalformedXML")
        value = _midnight(each[name]) if name == "Date" else _days_to(each, name, action)
        kept.append({name: value, "StorageClass": each["StorageClass"]})
    if len({"Date" in each for each in kept}) > 1:
        raise ApiError("InvalidRequest", f"Found mixed 'Date' and 'Days' based {action} actions in lifecycle rule for {where}")
    _check_order(kept, "Date" if "Date" in kept[0] else "Days", action, where)
    return kept


def _days_to(each: Mapping[str, Any], name: str, action: str) -> int:
    days = _positive(each[name], name, action, 0)
    if each["StorageClass"] in INFREQUENT and days < LEAST_INFREQUENT:
        text = f"'{name}' in {action} action must be greater than or equal to {LEAST_INFREQUENT} for storageClass '{each['StorageClass']}'"
        raise ApiError("InvalidArgument", text, ArgumentName=name, ArgumentValue=str(days))
    return days


def _check_order(moves: list[dict[str, Any]], name: str, action: str, where: str) -> None:
    """Down the waterfall only, and no class is left before its time."""
    if len({each["StorageClass"] for each in moves}) < len(moves):
        text = f"'StorageClass' must be different for '{action}' actions in same 'Rule' with {where}"
        raise ApiError("InvalidRequest", text)
    for warm, cold in pairwise(sorted(moves, key=lambda each: WATERFALL.index(each["StorageClass"]))):
        before, after = warm["StorageClass"], cold["StorageClass"]
        if not may_move(before, after):
            raise ApiError("InvalidRequest", f"'{action}' from StorageClass '{before}' to '{after}' is not supported for {where}")
        if name == "Date":
            if cold[name] <= warm[name]:
                text = (
                    f"'{name}' in the '{action}' action for StorageClass '{after}' for {where} must be later than '{name}' in the "
                    f"'{action}' action for StorageClass '{before}'"
                )
                raise ApiError("InvalidArgument", text, ArgumentName=name, ArgumentValue=cold[name])
        elif cold[name] < warm[name] + STAYS.get(before, 1):
            text = (
                f"'{name}' in the '{action}' action for StorageClass '{after}' for {where} must be {STAYS.get(before, 1)} days more than "
                f"'{where}' in the '{action}' action for StorageClass '{before}'"
            )
            raise ApiError("InvalidArgument", text, ArgumentName=name, ArgumentValue=str(cold[name]))


def _check_expiration_behind(kept: Mapping[str, Any], where: str) -> None:
    """What is moved must live on where it was moved to."""
    expiration: Mapping[str, Any] = kept.get("Expiration") or {}
    for name, other in (("Days", "Date"), ("Date", "Days")):
        if expiration.get(name) is None:
            continue
        if other in kept["Transitions"][0]:
            text = f"Found mixed 'Date' and 'Days' based Expiration and Transition actions in lifecycle rule for {where}"
            raise ApiError("InvalidRequest", text)
        if any(expiration[name] <= each[name] for each in kept["Transitions"]):
            how = "greater" if name == "Days" else "later"
            text = f"'{name}' in the Expiration action for {where} must be {how} than '{name}' in the Transition action"
            raise ApiError("InvalidArgument", text, ArgumentName=name, ArgumentValue=str(expiration[name]))


def _past(given: Mapping[str, Any], action: str, least: int) -> dict[str, Any]:
    """The members that are about noncurrent versions, of an expiration or a transition."""
    if given.get("NoncurrentDays") is None:
        raise ApiError("MalformedXML")
    kept = {"NoncurrentDays": _positive(given["NoncurrentDays"], "NoncurrentDays", action, least)}
    newer = given.get("NewerNoncurrentVersions")
    if newer is not None:
        _positive(newer, "NewerNoncurrentVersions", action)
        if newer > MOST_KEPT:
            text = f"'NewerNoncurrentVersions' for {action} action must be less than or equal to {MOST_KEPT}"
            raise ApiError("InvalidArgument", text, ArgumentName="NewerNoncurrentVersions", ArgumentValue=str(newer))
        kept["NewerNoncurrentVersions"] = newer
    return kept


def _past_moves(given: list[Mapping[str, Any]], rule: Mapping[str, Any], where: str) -> list[dict[str, Any]]:
    action, name = "NoncurrentVersionTransition", "NoncurrentDays"
    kept: list[dict[str, Any]] = []
    for each in given:
        if each.get("StorageClass") is None:
            raise ApiError("MalformedXML")
        kept.append(_past(each, action, 0) | {"StorageClass": each["StorageClass"]})
        _days_to(kept[-1], name, action)
    _check_order(kept, name, action, where)
    expiration = rule.get("NoncurrentVersionExpiration")
    if expiration is not None and any(expiration[name] <= each[name] for each in kept):
        text = (
            f"'{name}' in the NoncurrentVersionExpiration action for {where} must be greater than '{name}' in the {action} action"
        )
        raise ApiError("InvalidArgument", text, ArgumentName=name, ArgumentValue=str(expiration[name]))
    return kept


def _counts_versions(kept: Mapping[str, Any]) -> bool:
    expiration: Mapping[str, Any] = kept.get("NoncurrentVersionExpiration") or {}
    moves: list[Mapping[str, Any]] = kept.get("NoncurrentVersionTransitions") or []
    return any("NewerNoncurrentVersions" in each for each in (expiration, *moves))
