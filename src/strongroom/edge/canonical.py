"""The canonical forms of AWS Signature Version 4: path, query, headers. Pure. Never knows keys, times or who is calling.

Source: "Create a signed AWS API request" in the IAM user guide. S3 encodes a path once and keeps dot segments and empty
segments; every other service normalises the path and encodes what was sent once more.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Final
from urllib.parse import quote, unquote_to_bytes

_SAFE_PATH: Final = re.compile(r"[A-Za-z0-9/_.~-]*")
_SAFE_QUERY: Final = re.compile(r"(?:[A-Za-z0-9_.~%-]+=[A-Za-z0-9_.~%-]*(?:&(?!$)|$))*")
_ESCAPES: Final = re.compile(r"%.{0,2}", re.DOTALL)
_UNRESERVED: Final = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.~")
_CANONICAL_ESCAPES: Final = frozenset(f"%{code:02X}" for code in range(256) if chr(code) not in _UNRESERVED)
_BAD_ESCAPE: Final = re.compile(r"%(?![0-9A-Fa-f]{2})")

Pairs = list[tuple[str, str]]


def s3_path(path: str) -> str:
    """The canonical URI for S3: every character but the unreserved ones and the slash encoded, once; nothing normalised."""
    return path if _SAFE_PATH.fullmatch(path) else quote(path, safe="/")


def other_path(path: str) -> str:
    """The canonical URI for the other services, of a decoded path: dot segments resolved, runs of slashes made one, encoded twice."""
    if path == "/":
        return path
    kept: list[str] = []
    for segment in path.split("/"):
        if segment == "..":
            if kept:
                kept.pop()
        elif segment not in {"", "."}:
            kept.append(segment)
    normal = "/" + "/".join(kept)
    if kept and path.endswith("/"):
        normal += "/"
    return quote(quote(normal, safe="/"), safe="/")


def is_canonical_query(query: str) -> bool:
    """Whether each pair is ``name=value`` in canonical encoding, so that only their order may have to change."""
    return _SAFE_QUERY.fullmatch(query) is not None and _CANONICAL_ESCAPES.issuperset(_ESCAPES.findall(query))


def pairs_of(query: str) -> Pairs:
    """Names and values of a query in canonical encoding, in the order sent; ``+`` is a space."""
    if is_canonical_query(query):
        return [(name, value) for name, _, value in (part.partition("=") for part in query.split("&"))] if query else []
    pairs: Pairs = []
    for part in query.split("&"):
        if part:
            name, _, value = part.partition("=")
            pairs.append((_recoded(name), _recoded(value)))
    return pairs


def _recoded(text: str) -> str:
    return quote(unquote_to_bytes(text.replace("+", " ")), safe="")


def canonical_query(pairs: Iterable[tuple[str, str]]) -> str:
    """Sorted by name, then by value."""
    return "&".join([f"{name}={value}" for name, value in sorted(pairs)])


def canonical_headers(names: Iterable[str], headers: Mapping[str, str]) -> str:
    """One line a signed header; an absent one counts as empty; inner runs of blanks become one."""
    lines: list[str] = []
    for name in names:
        value = headers.get(name, "")
        if "  " in value or "\t" in value or (value and (value[0] == " " or value[-1] == " ")):
            value = " ".join(value.split())
        lines.append(f"{name}:{value}\n")
    return "".join(lines)


def has_bad_escape(text: str) -> bool:
    """Whether a percent sign is not followed by two hexadecimal digits."""
    return _BAD_ESCAPE.search(text) is not None
