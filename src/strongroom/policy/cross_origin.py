"""Which web pages may see a bucket's answers: the rules of CORS, and the headers by which a browser is told. Pure.

CORS protects from no client but a browser: whether a request may be carried out is decided elsewhere, as if there were no rules
here. Never knows buckets, documents or HTTP beyond the names of its headers. Sources: "Elements of a CORS configuration" in the S3 user guide;
the CORS protocol in the Fetch standard.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

METHODS: Final = ("GET", "PUT", "HEAD", "POST", "DELETE")  # that a rule may name
#: An answer that depends on these must not be given from a cache to a request that differs in them.
VARY: Final = ("vary", "Origin, Access-Control-Request-Headers, Access-Control-Request-Method")


@dataclass(frozen=True, slots=True)
class CorsRule:
    """Origins and headers may have one ``*`` each, which stands for any characters. Header names are in lower case."""

    origins: tuple[str, ...]
    methods: tuple[str, ...]
    headers: tuple[str, ...] = ()  # that a preflight may ask for
    exposed: tuple[str, ...] = ()  # of an answer, that a page may read
    max_age: int | None = None  # seconds that a browser may keep the answer to a preflight


def find_rule(rules: Iterable[CorsRule], origin: str, method: str, requested: Sequence[str] = ()) -> CorsRule | None:
    """The first rule that lets a page of ``origin`` send ``method`` with the header names ``requested``; None when there is none."""
    for rule in rules:
        if (
            method in rule.methods
            and any(_fits(allowed, origin) for allowed in rule.origins)
            and all(any(_fits(allowed, name) for allowed in rule.headers) for name in requested)
        ):
            return rule
    return None


def shown_to(rule: CorsRule, origin: str, requested: Sequence[str] = ()) -> list[tuple[str, str]]:
    """The headers of an answer that the rule lets ``origin`` see. A rule for every origin lets in nobody's credentials."""
    if "*" in rule.origins:
        headers = [("access-control-allow-origin", "*")]
    else:
        headers = [("access-control-allow-origin", origin), ("access-control-allow-credentials", "true")]
    headers.append(("access-control-allow-methods", ", ".join(rule.methods)))
    if requested:
        headers.append(("access-control-allow-headers", ", ".join(requested)))
    if rule.exposed:
        headers.append(("access-control-expose-headers", ", ".join(rule.exposed)))
    if rule.max_age is not None:
        headers.append(("access-control-max-age", str(rule.max_age)))
    return [*headers, VARY]


def _fits(allowed: str, given: str) -> bool:
    before, star, behind = allowed.partition("*")
    if not star:
        return allowed == given
    return len(given) >= len(before) + len(behind) and given.startswith(before) and given.endswith(behind)
