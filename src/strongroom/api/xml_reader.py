"""Reading an XML document strictly into the member names of a shape. Never knows HTTP or what the members mean.

A document must be what the model says: known elements only, each at most once unless it is a list, required members
present, enumerations kept. Doctypes, entities and processing instructions are refused before they mean anything, and the
depth is bounded. Elements may be in any order, with S3's namespace or none. Everything else raises ApiError MalformedXML.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import cache
from typing import TYPE_CHECKING, Any, Final, NoReturn, cast
from xml.parsers import expat

from strongroom.api.errors import ApiError
from strongroom.api.model import constraint, members, required, trait
from strongroom.api.own_texts import ASKED_BY_THE_RUN, BAD_VALUES, OTHER_ELEMENTS, Refusal
from strongroom.api.scalars import parse_boolean, parse_integer, parse_timestamp

if TYPE_CHECKING:
    from botocore.model import ListShape, Shape

NAMESPACES: Final = frozenset(
    {
        "http://s3.amazonaws.com/doc/2006-03-01/",
        "http://doc.s3.amazonaws.com/2006-03-01",
        "http://doc.s3.amazonaws.com/2006-03-01/",
        "http://awss3control.amazonaws.com/doc/2018-08-20/",
    }
)
_XSI: Final = "http://www.w3.org/2001/XMLSchema-instance"
_DEPTH: Final = 24
_CHUNK: Final = 65_536


@dataclass(slots=True)
class Node:
    """How one element is read. ``read`` is None for a structure or a wrapped list, else it turns text into the value."""

    read: Callable[[str], Any] | None = None
    #: element -> member, node, is it an item of a flattened list
    children: dict[str, tuple[str, Node, bool]] = field(default_factory=dict[str, "tuple[str, Node, bool]"])
    attributes: dict[str, str] = field(default_factory=dict[str, str])  # "namespace name" -> member
    required: tuple[str, ...] = ()
    wraps: bool = False  # a wrapped list: its only child is the item
    others: Mapping[str, Refusal] = field(default_factory=dict[str, Refusal])  # what is said of elements that are no children


def read_xml(body: bytes, root: str, node: Node) -> Any:
    """The value of a document whose root element must be ``root``. Raises ApiError MalformedXML."""
    if body.startswith((b"\xff\xfe", b"\xfe\xff")):
        _refuse()  # expat would follow the mark into UTF-16
    reader = _Reader(root, node)
    for start in range(0, len(body), _CHUNK):
        reader.feed(body[start : start + _CHUNK])
    return reader.close()


@cache
def node_for(shape: Shape) -> Node:
    """The reading plan of a shape (compiled once)."""
    kind = str(shape.type_name)
    if kind == "structure":
        return _structure(shape)
    if kind == "list":
        item = cast("ListShape", shape).member
        return Node(children={str(trait(item, "name") or "member"): ("", node_for(item), True)}, wraps=True)
    return Node(read=_scalar(shape))


def _structure(shape: Shape) -> Node:
    name = str(shape.name)
    needed = tuple(
        member
        for member in required(shape)
        if (name, member) not in ASKED_BY_THE_RUN and not trait(members(shape)[member], "location")
    )
    node = Node(required=needed, others=OTHER_ELEMENTS.get(name, {}))
    for member, inner in members(shape).items():
        if trait(inner, "location"):
            continue
        wire = str(trait(inner, "name") or member)
        if trait(inner, "xmlAttribute"):
            node.attributes[f"{_XSI} {wire.partition(':')[2]}"] = member
        elif inner.type_name == "list" and trait(inner, "flattened"):
            item = cast("ListShape", inner).member
            node.children[str(trait(item, "name") or wire)] = (member, node_for(item), True)
        elif (name, member) in BAD_VALUES:
            node.children[wire] = (member, Node(read=_or_else(_scalar(inner), *BAD_VALUES[name, member])), False)
        else:
            node.children[wire] = (member, node_for(inner), False)
    return node


def _or_else(read: Callable[[str], Any], code: str, message: str) -> Callable[[str], Any]:
    def reading(text: str) -> Any:
        try:
            return read(text)
        except ValueError as error:
            raise ApiError(code, message) from error

    return reading


def _scalar(shape: Shape) -> Callable[[str], Any]:
    kind = str(shape.type_name)
    if kind in ("integer", "long"):
        return lambda text: parse_integer(text.strip())
    if kind == "boolean":
        return lambda text: parse_boolean(text.strip())
    if kind == "timestamp":
        return _timestamp
    values = constraint(shape, "enum")
    return _enumeration(frozenset(values)) if values else str


def _timestamp(text: str) -> datetime:
    return parse_timestamp(text)


def _enumeration(values: frozenset[str]) -> Callable[[str], str]:
    def read(text: str) -> str:
        if text not in values:
            raise ValueError("not one of the values")
        return text

    return read


def _refuse(*_: object) -> NoReturn:
    raise ApiError("MalformedXML")


@dataclass(slots=True)
class _Frame:
    node: Node
    value: Any  # dict of a structure, list of a wrapped list, None of a scalar
    member: str  # where it goes in the frame above
    flattened: bool
    text: list[str] = field(default_factory=list[str])


class _Reader:
    def __init__(self, root: str, node: Node) -> None:
        self._root = (root, node)
        self._frames: list[_Frame] = []
        self._done: list[Any] = []
        parser = expat.ParserCreate("utf-8", " ")  # the encoding overrules the declaration: UTF-8 or nothing
        parser.buffer_text = True
        parser.StartElementHandler = self._start
        parser.EndElementHandler = self._end
        parser.CharacterDataHandler = self._text
        parser.StartDoctypeDeclHandler = _refuse
        parser.EntityDeclHandler = _refuse
        parser.ExternalEntityRefHandler = _refuse
        parser.ProcessingInstructionHandler = _refuse
        parser.SetParamEntityParsing(expat.XML_PARAM_ENTITY_PARSING_NEVER)
        self._parser = parser

    def feed(self, data: bytes) -> None:
        try:
            self._parser.Parse(data, False)
        except expat.ExpatError as error:
            raise ApiError("MalformedXML") from error

    def close(self) -> Any:
        try:
            self._parser.Parse(b"", True)
        except expat.ExpatError as error:
            raise ApiError("MalformedXML") from error
        return self._done[0]

    def _start(self, tag: str, attributes: dict[str, str]) -> None:
        namespace, _, name = tag.rpartition(" ")
        if (namespace and namespace not in NAMESPACES) or len(self._frames) >= _DEPTH:
            _refuse()
        if self._frames:
            above = self._frames[-1]
            child = above.node.children.get(name)
            if child is None and above.node.others:
                raise ApiError(*above.node.others.get(name, above.node.others[""]))
            if child is None or above.node.read is not None:
                _refuse()
            member, node, flattened = child
            if not flattened and member in above.value:
                _refuse()
        else:
            root, node = self._root
            member, flattened = "", False
            if name != root:
                _refuse()
        value: Any = None if node.read is not None else [] if node.wraps else {}
        self._frames.append(_Frame(node, value, member, flattened))
        self._attributes(node, value, attributes)

    def _attributes(self, node: Node, value: Any, attributes: dict[str, str]) -> None:
        for name, given in attributes.items():
            member = node.attributes.get(name)
            if member is not None:
                value[member] = given
            elif " " not in name:  # attributes of other namespaces (xsi:schemaLocation) say nothing to us
                _refuse()

    def _text(self, text: str) -> None:
        frame = self._frames[-1]
        if frame.node.read is not None:
            frame.text.append(text)
        elif text.strip(" \t\r\n"):
            _refuse()

    def _end(self, _: str) -> None:
        frame = self._frames.pop()
        value = frame.value
        if frame.node.read is not None:
            try:
                value = frame.node.read("".join(frame.text))
            except ValueError:
                _refuse()
        elif any(member not in value for member in frame.node.required):
            _refuse()
        if not self._frames:
            self._done.append(value)
            return
        above = self._frames[-1]
        if above.node.wraps:
            above.value.append(value)
        elif frame.flattened:
            above.value.setdefault(frame.member, []).append(value)
        else:
            above.value[frame.member] = value
