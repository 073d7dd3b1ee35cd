"""CORS on the answers of S3: which of them a browser may show to the page that asked.

Refusals too, whatever step they came from, so that a page can read why. Never knows what was asked, or where rules are kept.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from strongroom.api.errors import ApiError
from strongroom.policy.cross_origin import VARY, find_rule, shown_to
from strongroom.store.contract import StoreError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from strongroom.api.routing import Router
    from strongroom.edge.head import Head
    from strongroom.edge.judge import Place

PREFLIGHT: Final = "OPTIONS"  # nobody signs it; its answer is an operation's own


async def cross_origin_headers(
    head: Head, router: Router, place: Callable[[str], Awaitable[Place | None]]
) -> list[tuple[str, str]]:
    """What is added to the answer of a request that came with an Origin; nothing where the bucket has no CORS."""
    name = router.bucket(head.path, head.headers.get("host", ""))
    try:
        found = await place(name) if name else None
    except (ApiError, StoreError):
        return []  # the answer says the same
    if found is None or not found.cors:
        return []
    origin = head.headers["origin"]
    rule = find_rule(found.cors, origin, head.method)
    return [VARY] if rule is None else shown_to(rule, origin)
