"""What must be found after a crash: every acknowledged state, and those that a request under way may or may not have reached.

Pure. Never knows how a request is made. A state is the SHA-256 of a body in hex, or None where there is no object.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from hashlib import sha256

State = str | None


def digest(body: bytes | None) -> State:
    return None if body is None else sha256(body).hexdigest()


@dataclass(slots=True)
class Current:
    """The objects of buckets without versioning, by (bucket, key). More than one state: a request was cut off, either may hold."""

    states: dict[tuple[str, str], set[State]] = field(default_factory=dict)
    since: dict[tuple[str, str], set[State]] = field(default_factory=dict)  # what each has been since ``mark``

    def mark(self) -> None:
        """A backup is about to begin."""
        self.since = {where: set(states) for where, states in self.states.items()}

    def possible(self, bucket: str, key: str) -> set[State]:
        """What that backup may have of an object: what it was then, or became at any time since."""
        return self.since.get((bucket, key), {None})

    def of(self, bucket: str, key: str) -> set[State]:
        return self.states.get((bucket, key), {None})

    def under_way(self, bucket: str, key: str, state: State) -> None:
        """A request that makes it so has been sent."""
        self.states[bucket, key] = self.of(bucket, key) | {state}
        self.since.setdefault((bucket, key), {None}).add(state)

    def done(self, bucket: str, key: str, state: State) -> None:
        """It was acknowledged, or looked at."""
        self.states[bucket, key] = {state}

    def fault(self, bucket: str, key: str, found: State) -> str | None:
        """What is wrong with the state that was found; it counts as looked at from now on."""
        allowed = self.of(bucket, key)
        self.done(bucket, key, found)
        if found in allowed:
            return None
        return f"{bucket}/{key} is {found}, and may only be {' or '.join(sorted(map(str, allowed)))}"


@dataclass(slots=True)
class Versions:
    """The versions of one versioned bucket, by (key, version id); None is a delete marker."""

    kept: dict[tuple[str, str], State] = field(default_factory=dict)
    coming: dict[str, set[State]] = field(default_factory=dict)  # by key: what was sent and not acknowledged
    going: set[tuple[str, str]] = field(default_factory=set)  # deletions of versions that were sent and not acknowledged
    held: dict[tuple[str, str], State] = field(default_factory=dict)  # at ``mark``; and what was sent since
    left: set[tuple[str, str]] = field(default_factory=set)
    came: set[tuple[str, State]] = field(default_factory=set)  # key and state

    def sent(self, key: str, state: State) -> None:
        """A request that makes such a version of a key is under way."""
        self.coming[key] = {state}
        self.came.add((key, state))

    def leaving(self, key: str, version_id: str) -> None:
        """The deletion of a version is under way."""
        self.going.add((key, version_id))
        self.left.add((key, version_id))

    def mark(self) -> None:
        """A backup is about to begin."""
        self.held, self.left, self.came = dict(self.kept), set(), set()

    def restored(self, found: dict[tuple[str, str], State]) -> list[str]:
        """What is wrong with the versions that came back from that backup."""
        wrong = [
            f"restored: version {where} is {found.get(where, 'gone')}, and was {state}"
            for where, state in self.held.items()
            if (where not in found and where not in self.left) or (where in found and found[where] != state)
        ]
        strange = [where for where in found if where not in self.held and (where[0], found[where]) not in self.came]
        return wrong + [f"restored: version {where} is {found[where]}, which nobody wrote" for where in strange]

    def added(self, key: str, version_id: str, state: State) -> None:
        self.coming.pop(key, None)
        self.kept[key, version_id] = state

    def removed(self, key: str, version_id: str) -> None:
        self.going.discard((key, version_id))
        del self.kept[key, version_id]

    def faults(self, found: dict[tuple[str, str], State]) -> list[str]:
        """What is wrong with the versions that were found; they count as looked at from now on."""
        wrong: list[str] = []
        for where, state in self.kept.items():
            if where not in found:
                if where not in self.going:
                    wrong.append(f"version {where} is lost")
            elif found[where] != state:
                wrong.append(f"version {where} is {found[where]}, and was acknowledged as {state}")
        for where, state in found.items():
            if where in self.kept:
                continue
            key = where[0]
            if state not in self.coming.get(key, ()):
                wrong.append(f"version {where} is {state}, which nobody wrote")
            else:
                self.coming[key].discard(state)  # one request makes one version
        self.kept, self.coming, self.going = dict(found), {}, set()
        return wrong


@dataclass(slots=True)
class Upload:
    """A multipart upload whose parts were begun; ``parts``: number to (ETag, body)."""

    bucket: str
    key: str
    upload_id: str
    parts: dict[int, tuple[str, bytes]] = field(default_factory=dict)
    before: set[State] | None = None  # what its key may have been when its completion was sent
