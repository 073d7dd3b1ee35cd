"""Writing the members of a shape as XML. Never knows HTTP, roots of documents or what the members mean.

A member that is None or absent is left out; an empty string is an empty element. A member that the shape does not have is
a mistake of ours and raises LookupError.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Callable, Mapping
from functools import cache
from typing import TYPE_CHECKING, Any, cast

from strongroom.api.model import members, trait
from strongroom.api.scalars import http_date, iso_millis, iso_seconds, truth, xml_text

if TYPE_CHECKING:
    from botocore.model import ListShape, MapShape, Shape

#: Appends the text of one value to the parts of a document.
Write = Callable[[list[str], Any], None]


@cache
def element_writer(shape: Shape, name: str, *, seconds: bool = False) -> Write:
    """Writes a value as one element (or, for a flattened list, one element per item). ``seconds``: timestamps without millis."""
    kind = str(shape.type_name)
    if kind == "structure":
        return _structure(shape, name, seconds=seconds)
    if kind == "list":
        return _list(shape, name, seconds=seconds)
    if kind == "map":
        return _map(shape, name, seconds=seconds)
    return _scalar(shape, name, seconds=seconds)


@cache
def content_writer(shape: Shape, *, seconds: bool = False) -> Write:
    """Writes the members of a structure that belong into the body, without an element around them."""
    writers: dict[str, Write] = {}
    for member, inner in members(shape).items():
        if trait(inner, "xmlAttribute") or trait(inner, "location"):
            continue
        writers[member] = element_writer(inner, str(trait(inner, "name") or member), seconds=seconds)
    known = frozenset(members(shape))

    def write(parts: list[str], value: Mapping[str, Any]) -> None:
        for member, writer in writers.items():
            inner = value.get(member)
            if inner is not None:
                writer(parts, inner)
        if not known.issuperset(value):
            raise LookupError(f"{shape.name} has no {sorted(set(value) - known)}")

    return write


def _structure(shape: Shape, name: str, *, seconds: bool) -> Write:
    content = content_writer(shape, seconds=seconds)
    namespace: dict[str, str] = trait(shape, "xmlNamespace") or {}
    opening = f'<{name} xmlns:{namespace["prefix"]}="{namespace["uri"]}"' if "prefix" in namespace else f"<{name}"
    attributes = [(member, str(trait(inner, "name"))) for member, inner in members(shape).items() if trait(inner, "xmlAttribute")]

    def write(parts: list[str], value: Mapping[str, Any]) -> None:
        parts.append(opening)
        for member, wire in attributes:
            if value.get(member) is not None:
                parts.append(f' {wire}="{xml_text(value[member])}"')
        parts.append(">")
        content(parts, value)
        parts.append(f"</{name}>")

    return write


def _list(shape: Shape, name: str, *, seconds: bool) -> Write:
    item = cast("ListShape", shape).member
    if trait(shape, "flattened"):
        one = element_writer(item, str(trait(item, "name") or name), seconds=seconds)

        def write_flat(parts: list[str], value: list[Any]) -> None:
            for inner in value:
                one(parts, inner)

        return write_flat
    one = element_writer(item, str(trait(item, "name") or "member"), seconds=seconds)

    def write(parts: list[str], value: list[Any]) -> None:
        parts.append(f"<{name}>")
        for inner in value:
            one(parts, inner)
        parts.append(f"</{name}>")

    return write


def _map(shape: Shape, name: str, *, seconds: bool) -> Write:
    pair = cast("MapShape", shape)
    key = element_writer(pair.key, str(trait(pair.key, "name") or "key"), seconds=seconds)
    item = element_writer(pair.value, str(trait(pair.value, "name") or "value"), seconds=seconds)

    def write(parts: list[str], value: Mapping[str, Any]) -> None:
        parts.append(f"<{name}>")
        for word, inner in value.items():
            parts.append("<entry>")
            key(parts, word)
            item(parts, inner)
            parts.append("</entry>")
        parts.append(f"</{name}>")

    return write


def _scalar(shape: Shape, name: str, *, seconds: bool) -> Write:
    opening, closing, text = f"<{name}>", f"</{name}>", _text(shape, seconds=seconds)

    def write(parts: list[str], value: Any) -> None:
        parts.append(opening)
        parts.append(text(value))
        parts.append(closing)

    return write


def _text(shape: Shape, *, seconds: bool) -> Callable[[Any], str]:
    kind = str(shape.type_name)
    if kind == "boolean":
        return truth
    if kind in ("integer", "long"):
        return lambda value: str(int(value))
    if kind == "timestamp":
        return http_date if trait(shape, "timestampFormat") == "rfc822" else iso_seconds if seconds else iso_millis
    if kind == "blob":
        return lambda value: b64encode(value).decode()
    return xml_text
