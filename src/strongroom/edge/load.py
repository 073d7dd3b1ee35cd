"""What a worker has in hand, and how much it takes on: requests, requests of one caller, memory for bodies under way.

Beyond a ceiling a request is refused at once (``Overloaded``), before anything is stored; nobody waits in a line that an attacker could
fill. A caller is who proved to be: an access key, or the address of who signs nothing. Only where a body must be read before its
signature can be checked (KMS, IAM, STS, forms) is the sender counted before, by address, and all such senders together have half
a worker. Plain additions on the worker's one thread. Never knows what a request means.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from ipaddress import AddressValueError, IPv6Address
from typing import TYPE_CHECKING, Final

from strongroom.edge.handing_on import HandedOn, give_up
from strongroom.edge.head import Reply
from strongroom.edge.limits import INLINE_MOST, SEND_HELD, STREAM_HELD
from strongroom.edge.turns import Mover, Turn, Turns

if TYPE_CHECKING:
    from strongroom.api.operation import BodyPart

_ADDRESS: Final = "@"  # no access key begins so
_BURST: Final = 1.0  # seconds' worth of refusals that go out at once
_HELD_BACK_MOST: Final = 5.0  # seconds
_SLOWED_DOWN: Final = (
    4.0  # times that: who asks too much is told more slowly than who asks wrongly, since it will ask again at once
)
_NAMES_MOST: Final = 10_000  # whose refusals are counted; beyond that the count starts anew


class Overloaded(Exception):
    """A ceiling is reached: ``worker``, ``caller``, ``unproven``, ``bodies`` or ``caller-bodies``."""

    def __init__(self, ceiling: str) -> None:
        super().__init__(ceiling)
        self.ceiling = ceiling


@dataclass(frozen=True, slots=True)
class Ceilings:
    """Of one worker."""

    requests: int = 512  # in hand
    caller_requests: int = 128  # of them, one caller's
    body_bytes: int = 512 << 20  # of memory that bodies under way, in either direction, may take; one caller's half of it
    refusals: int = 100  # a second, that one sender is told at once; 0: any number


class _Share(Mover):
    """What one caller has in hand."""

    __slots__ = ("body_bytes", "requests")

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.requests = 0
        self.body_bytes = 0


class Load:
    """One a worker. ``tell`` hears of each refusal by its ceiling's name."""

    __slots__ = ("_ceilings", "_due", "_shares", "body_bytes", "requests", "tell", "turns", "unproven")

    def __init__(self, ceilings: Ceilings) -> None:
        self._ceilings = ceilings
        self._shares: dict[str, _Share] = {}
        self.turns = Turns()
        self._due: dict[str, float] = {}  # by sender: when the last refusal was due, had they come evenly
        self.requests = 0
        self.unproven = 0
        self.body_bytes = 0
        self.tell: Callable[[str], None] = lambda _: None

    @property
    def callers(self) -> int:
        return len(self._shares)

    def enter(self) -> Ticket:
        """Take a request on. Raises Overloaded."""
        if self.requests >= self._ceilings.requests:
            raise self._full("worker")
        self.requests += 1
        return Ticket(self)

    def _full(self, ceiling: str) -> Overloaded:
        self.tell(ceiling)
        return Overloaded(ceiling)

    def held_back(self, ticket: Ticket | None, address: str, now: float, *, overloaded: bool) -> float:
        """How many seconds a refusal is held back, so that who is refused in a flood does not take the worker from the others.

        Of an address, whatever is refused before somebody proved to be a caller; of a caller, only what was too much.
        """
        name = "" if ticket is None else ticket.caller
        rate = self._ceilings.refusals
        if not rate or (name and not overloaded):
            return 0.0
        name = name or _network(address)
        longer = _SLOWED_DOWN if overloaded else 1.0
        step = longer / rate
        due = max(self._due.get(name, 0.0), now - max(_BURST, step)) + step
        if len(self._due) >= _NAMES_MOST:
            self._due.clear()
        self._due[name] = due
        return min(max(0.0, due - now), _HELD_BACK_MOST * longer)

    # The five that follow are a ticket's alone.

    def join(self, name: str, body_bytes: int) -> _Share:
        share = self._shares.get(name)
        if share is None:
            share = self._shares[name] = _Share(name)
        elif share.requests >= self._ceilings.caller_requests:
            raise self._full("caller")
        share.requests += 1
        share.body_bytes += body_bytes
        return share

    def leave(self, name: str, share: _Share, body_bytes: int) -> None:
        share.requests -= 1
        share.body_bytes -= body_bytes
        if not share.requests:
            del self._shares[name]

    def wait_for_proof(self) -> None:
        if self.unproven >= max(1, self._ceilings.requests // 2):
            raise self._full("unproven")
        self.unproven += 1

    def hold(self, share: _Share, count: int) -> None:
        most = self._ceilings.body_bytes
        if self.body_bytes + count > most:
            raise self._full("bodies")
        if share.body_bytes + count > most // 2:
            raise self._full("caller-bodies")
        self.body_bytes += count
        share.body_bytes += count

    def let_go(self, share: _Share, count: int) -> None:
        self.body_bytes -= count
        share.body_bytes -= count


class Ticket:
    """One request in hand, until ``release``. Dropping it releases it too: a request that is cancelled leaves nothing behind."""

    __slots__ = ("_answer_bytes", "_body_bytes", "_is_long", "_load", "_name", "_share", "_unproven")

    def __init__(self, load: Load) -> None:
        self._load: Load | None = load
        self._name = ""
        self._share: _Share | None = None
        self._body_bytes = 0
        self._answer_bytes = 0
        self._unproven = False
        self._is_long = False  # its body, or its answer's

    @property
    def caller(self) -> str:
        """The access key that this request proved to be of, else ""."""
        return "" if self._name.startswith(_ADDRESS) else self._name

    def unproven(self, address: str) -> None:
        """Who it is shows only after the body, which is about to be read. Raises Overloaded."""
        load = self._load
        if load is not None:
            self._join(load, _network(address))
            load.wait_for_proof()
            self._unproven = True

    def proven(self, access_key_id: str, address: str) -> None:
        """It is known whose request this is; "" for nobody's. Raises Overloaded."""
        load = self._load
        if load is None:
            return
        if self._unproven:
            self._unproven = False
            load.unproven -= 1
        self._join(load, access_key_id or _network(address))

    def _join(self, load: Load, name: str) -> None:
        if self._share is None:
            self._share = load.join(name, 0)
        elif name != self._name:
            share = load.join(name, self._body_bytes)
            load.leave(self._name, self._share, self._body_bytes)
            self._share = share
        self._name = name

    def hold(self, length: int | None) -> Turn | None:
        """A body of ``length`` bytes (None: unknown) is about to be read: by which turns, if it is long. Short ones are bounded by
        their number. Raises Overloaded.
        """
        if length is not None and length <= INLINE_MOST:
            return None
        load, share = self._load, self._share
        if load is not None and share is not None and not self._body_bytes:
            count = STREAM_HELD if length is None or length > STREAM_HELD else length
            load.hold(share, count)
            self._body_bytes = count
        return self.turn()

    def turn(self) -> Turn | None:
        """The turns of a long body; None when the request is over."""
        load, share = self._load, self._share
        if load is None or share is None:
            return None
        self._is_long = True
        return Turn(load.turns, share)

    def hold_answer(self, length: int) -> None:
        """``length`` bytes are about to be streamed, until ``release``. Raises Overloaded."""
        load, share = self._load, self._share
        if load is not None and share is not None:
            count = min(length, SEND_HELD)
            self._is_long = True
            load.hold(share, count)
            self._answer_bytes = count

    def let_go(self) -> None:
        """No body is read any more."""
        load, share, count = self._load, self._share, self._body_bytes
        if count and load is not None and share is not None:
            load.let_go(share, count)
            self._body_bytes = 0

    def release(self) -> None:
        load = self._load
        if load is None:
            return
        share = self._share
        if self._is_long:  # all the others hold nothing
            self.let_go()
            if self._answer_bytes and share is not None:
                load.let_go(share, self._answer_bytes)
        elif share is not None:
            share.short += 1
            load.turns.short += 1
        self._load = None
        load.requests -= 1
        if self._unproven:
            load.unproven -= 1
        if share is not None:
            load.leave(self._name, share, 0)

    __del__ = release


async def hold_answer(reply: Reply, ticket: Ticket) -> None:
    """A streamed answer takes memory on its way. Raises Overloaded, and the answer is given up."""
    try:
        ticket.hold_answer(reply.length or 0)
    except Overloaded:
        await give_up(reply.body)
        raise


def until_sent(reply: Reply, ticket: Ticket) -> None:
    """A request is in hand until its answer was sent; one that is sent at once ends here."""
    if isinstance(reply.body, bytes):
        ticket.release()
    else:
        reply.body = _Sending(reply.body, ticket)


class _Sending(HandedOn):
    """A streamed answer, and the ticket of its request. What is to be sent is made ready in turn."""

    __slots__ = ("_turn",)

    def __init__(self, body: AsyncIterator[BodyPart], ticket: Ticket) -> None:
        super().__init__(body, lambda _: ticket.release())
        self._turn = ticket.turn()

    async def _next(self) -> BodyPart:
        turn = self._turn
        if turn is None:
            return await super()._next()
        piece: BodyPart = b""
        try:
            await turn.take()
            piece = await super()._next()
        finally:
            turn.give(len(piece))
        return piece


def _network(address: str) -> str:
    """Whose address it is: one of IPv4, or the 64 bits of IPv6 that a single subscriber is given."""
    if ":" in address:
        try:
            whole = IPv6Address(address)
        except AddressValueError:
            return _ADDRESS + address
        if whole.ipv4_mapped is None:
            return f"{_ADDRESS}{int(whole) >> 64:x}"
        return f"{_ADDRESS}{whole.ipv4_mapped}"
    return _ADDRESS + address
