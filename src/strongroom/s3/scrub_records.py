"""What the catalog keeps of scrubbing: the round under way and how far it is, the last whole round, and what the two found.

Documents, so any process on the data folder may look. Findings are bounded in number. Never knows how anything was found.
"""

from __future__ import annotations

import hashlib
from dataclasses import asdict, dataclass, field, fields, replace
from typing import TYPE_CHECKING, Any, Final

import orjson

from strongroom.s3.findings import Finding, Position, Tally

if TYPE_CHECKING:
    from collections.abc import Sequence

    from strongroom.store.contract import Catalog, Transaction

STATE_KIND: Final = "scrub-state"
FINDING_KIND: Final = "scrub-finding"
KEPT: Final = 1000  # findings of one round; more are counted
_SCOPE: Final = "scrub"
_FINDINGS: Final = "scrub/"  # then the round's id, a slash, and a digest of the finding
_PAGE: Final = 500


@dataclass(frozen=True, slots=True)
class Round:
    """One walk over everything. ``ended_ms`` is None while it is under way."""

    round_id: str  # 16 hex
    began_ms: int
    ended_ms: int | None = None
    tally: Tally = field(default_factory=Tally)
    kept: int = 0  # findings in the catalog
    position: Position = field(default_factory=Position)


@dataclass(frozen=True, slots=True)
class State:
    under_way: Round | None = None
    last: Round | None = None


async def read_state(catalog: Catalog) -> State:
    """What cannot be read counts as never having been: then a round begins anew."""
    return _state(await catalog.document(_SCOPE, STATE_KIND))


def _state(value: Any) -> State:
    try:
        return State(_round(value["under_way"]), _round(value["last"]))
    except (TypeError, KeyError):
        return State()


def _round(value: Any) -> Round | None:
    try:
        at = value["position"]
        position = Position(at["bucket"], _pair(at["upload"]), _pair(at["place"]), at["rows_done"])
        known = {each.name for each in fields(Tally)}
        tally = Tally(**{name: count for name, count in value["tally"].items() if name in known})
        return Round(value["round_id"], value["began_ms"], value["ended_ms"], tally, value["kept"], position)
    except (TypeError, KeyError, ValueError):
        return None


def _pair(value: Any) -> Any:
    return None if value is None else (value[0], value[1])


def _document(state: State) -> dict[str, Any]:
    return {"under_way": state.under_way and asdict(state.under_way), "last": state.last and asdict(state.last)}


async def findings_of(catalog: Catalog, kept: Round) -> list[Finding]:
    """Those that are kept of a round, by bucket and object key."""
    known = {each.name for each in fields(Finding)}
    found: list[Finding] = []
    prefix = after = f"{_FINDINGS}{kept.round_id}/"
    while rows := await catalog.documents(FINDING_KIND, prefix=prefix, after=after, limit=_PAGE):
        found += [Finding(**{name: member for name, member in value.items() if name in known}) for _, value in rows]
        after = rows[-1][0]
    return sorted(found, key=lambda one: (one.bucket, one.object_key, one.version_id, one.part_number or 0, one.kind, one.why))


class Records:
    """Of the one process that scrubs."""

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog

    async def begin(self, began: Round) -> None:
        """A round takes the place of the one under way, if there is one."""

        def work(tx: Transaction) -> None:
            state = _state(tx.document(_SCOPE, STATE_KIND))
            tx.note(_SCOPE, STATE_KIND, _document(replace(state, under_way=began)))

        await self._catalog.write(work)

    async def mark(self, at: Round, found: Sequence[Finding]) -> Round | None:
        """How far the round is, with what was found since; the round as it is kept now. None: another has taken its place."""

        def work(tx: Transaction) -> Round | None:
            state = _state(tx.document(_SCOPE, STATE_KIND))
            if state.under_way is None or state.under_way.round_id != at.round_id:
                return None
            marked = replace(at, kept=state.under_way.kept + _keep(tx, at, state.under_way.kept, found))
            tx.note(_SCOPE, STATE_KIND, _document(replace(state, under_way=marked)))
            return marked

        return await self._catalog.write(work)

    async def end(self, ended: Round) -> None:
        """It is the last whole round from now on; what earlier ones found goes."""

        def work(tx: Transaction) -> None:
            tx.note(_SCOPE, STATE_KIND, _document(State(None, ended)))

        await self._catalog.write(work)
        while await self._catalog.write(lambda tx: _forget_others(tx, ended.round_id)):
            pass


def _keep(tx: Transaction, of: Round, kept: int, found: Sequence[Finding]) -> int:
    """How many were not there. A walk that is taken up again meets some twice."""
    fresh = 0
    for finding in found:
        value = {name: member for name, member in asdict(finding).items() if member not in {"", None}}
        digest = hashlib.sha256(orjson.dumps(value, option=orjson.OPT_SORT_KEYS)).hexdigest()[:32]
        scope = f"{_FINDINGS}{of.round_id}/{digest}"
        if kept + fresh < KEPT and tx.document(scope, FINDING_KIND) is None:
            tx.note(scope, FINDING_KIND, value)
            fresh += 1
    return fresh


def _forget_others(tx: Transaction, round_id: str) -> int:
    before = tx.documents(FINDING_KIND, prefix=_FINDINGS, limit=_PAGE)
    behind = tx.documents(FINDING_KIND, prefix=_FINDINGS, after=f"{_FINDINGS}{round_id}0", limit=_PAGE)
    gone = {scope for scope, _ in (*before, *behind) if not scope.startswith(f"{_FINDINGS}{round_id}/")}
    for scope in gone:
        tx.note(scope, FINDING_KIND, None)
    return len(gone)
