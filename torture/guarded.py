"""Two buckets of a writer where something else decides what stays: object lock in one, a lifecycle in the other.

Versions under lock must stay, with their retention, legal hold and tags as they were acknowledged, and cannot be deleted. Objects that a
lifecycle may take are whole or absent. Never starts or ends a server.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from botocore.exceptions import ClientError

from torture.ledger import State, digest

LOCKED: Final = "locked"
EXPIRING: Final = "expiring"
MOST_GUARDED: Final = 8  # versions of one writer
_UNTIL: Final = datetime(2100, 1, 1, tzinfo=UTC)
_SIZES: Final = (0, 100, 4096, 65_481, 200_000)
_LONG_AGO: Final = datetime(2020, 1, 1, tzinfo=UTC)

Where = tuple[str, str]  # key and version id


@dataclass(slots=True)
class Guard:
    """One version, and what its settings may be: several, when a request was cut off."""

    state: State
    retained: bool
    holds: set[str]
    tags: set[str]


@dataclass(slots=True)
class Locked:
    """Versions with governance, legal holds and tags. What is to be seen of each is exact but for requests that were cut off."""

    prefix: str
    kept: dict[Where, Guard] = field(default_factory=dict)
    coming: dict[str, set[State]] = field(default_factory=dict)
    going: set[Where] = field(default_factory=set)
    faults: list[str] = field(default_factory=list)
    held: dict[Where, State] = field(default_factory=dict)  # when it was marked; and what may have become of that since
    left: set[Where] = field(default_factory=set)
    came: set[State] = field(default_factory=set)

    def act(self, s3: Any, chance: random.Random) -> None:
        if len(self.kept) >= MOST_GUARDED:
            self._delete(s3, chance, bypass=True)
        elif not self.kept or chance.random() < 0.4:
            self._put(s3, chance)
        else:
            chance.choice((self._hold, self._tag, self._tag, self._delete))(s3, chance)

    def _put(self, s3: Any, chance: random.Random) -> None:
        key, body = f"{self.prefix}{chance.randrange(3)}", chance.randbytes(chance.choice(_SIZES))
        retained = chance.random() < 0.5
        lock = {"ObjectLockMode": "GOVERNANCE", "ObjectLockRetainUntilDate": _UNTIL} if retained else {}
        self.coming[key] = {digest(body)}
        self.came.add(digest(body))
        answer = s3.put_object(Bucket=LOCKED, Key=key, Body=body, Tagging="a=0", **lock)
        del self.coming[key]
        self.kept[key, answer["VersionId"]] = Guard(digest(body), retained, {"OFF"}, {"0"})

    def _hold(self, s3: Any, chance: random.Random) -> None:
        where = self._any(chance)
        wanted = chance.choice(("ON", "OFF"))
        self.kept[where].holds.add(wanted)
        s3.put_object_legal_hold(Bucket=LOCKED, **_named(where), LegalHold={"Status": wanted})
        self.kept[where].holds = {wanted}

    def _tag(self, s3: Any, chance: random.Random) -> None:
        where, wanted = self._any(chance), str(chance.randrange(1000))
        self.kept[where].tags.add(wanted)
        s3.put_object_tagging(Bucket=LOCKED, **_named(where), Tagging={"TagSet": [{"Key": "a", "Value": wanted}]})
        self.kept[where].tags = {wanted}

    def _delete(self, s3: Any, chance: random.Random, *, bypass: bool = False) -> None:
        """What is protected is refused, and is then no more gone than before."""
        where = self._any(chance)
        guard = self.kept[where]
        protected = guard.holds == {"ON"} or (guard.retained and not bypass)
        if guard.holds == {"OFF", "ON"}:  # which one is not known: it is said once more
            return
        if not protected:
            self.going.add(where)
            self.left.add(where)
        try:
            s3.delete_object(Bucket=LOCKED, **_named(where), BypassGovernanceRetention=bypass)
        except ClientError as error:
            if not protected or error.response["Error"]["Code"] != "AccessDenied":
                raise
            if guard.holds == {"ON"} and bypass:  # or the writer had no room for more for ever
                guard.holds.add("OFF")
                s3.put_object_legal_hold(Bucket=LOCKED, **_named(where), LegalHold={"Status": "OFF"})
                guard.holds = {"OFF"}
            return
        if protected:
            self.faults.append(f"version {where} was deleted under its lock")
        self.going.discard(where)
        del self.kept[where]

    def _any(self, chance: random.Random) -> Where:
        return chance.choice(sorted(self.kept))

    def check(self, s3: Any, found: dict[Where, State]) -> Iterator[str]:
        """``found``: all versions that are there."""
        yield from self.faults
        self.faults.clear()
        for where, guard in list(self.kept.items()):
            if where not in found:
                if where not in self.going:
                    yield f"locked version {where} is lost"
                del self.kept[where]
                continue
            if found[where] != guard.state:
                yield f"locked version {where} is {found[where]}, and was acknowledged as {guard.state}"
            yield from self._settings(s3, where, guard)
        for where in sorted(found.keys() - self.kept.keys()):
            if found[where] not in self.coming.get(where[0], ()):
                yield f"locked version {where} is {found[where]}, which nobody wrote"
            else:
                retained = "ObjectLockMode" in s3.head_object(Bucket=LOCKED, **_named(where))
                self.kept[where] = Guard(found[where], retained, {"OFF"}, {"0"})
        self.coming, self.going = {}, set()

    def _settings(self, s3: Any, where: Where, guard: Guard) -> Iterator[str]:
        seen = s3.head_object(Bucket=LOCKED, **_named(where))
        if ("ObjectLockMode" in seen) != guard.retained or seen.get("ObjectLockRetainUntilDate", _UNTIL) != _UNTIL:
            yield f"locked version {where} has lost its retention, or has one that nobody gave it"
        hold = seen.get("ObjectLockLegalHoldStatus", "OFF")
        (tag,) = s3.get_object_tagging(Bucket=LOCKED, **_named(where))["TagSet"]
        for what, one, allowed in (("hold", hold, guard.holds), ("tag", tag["Value"], guard.tags)):
            if one not in allowed:
                yield f"locked version {where} has the {what} {one}, and may only have {sorted(allowed)}"
        guard.holds, guard.tags = {hold}, {tag["Value"]}

    def mark(self) -> None:
        """A backup is about to begin."""
        self.held = {where: guard.state for where, guard in self.kept.items()}
        self.left, self.came = set(), set()

    def restored(self, found: dict[Where, State]) -> Iterator[str]:
        """What is wrong with the versions that came back from a backup begun after ``mark``."""
        for where, state in self.held.items():
            if found.get(where, "gone") != state and not (where in self.left and where not in found):
                yield f"restored: locked version {where} is {found.get(where, 'gone')}, and was {state}"
        for where in sorted(found.keys() - self.held.keys()):
            if found[where] not in self.came:
                yield f"restored: locked version {where} is {found[where]}, which nobody wrote"


@dataclass(slots=True)
class Expiring:
    """Objects and uploads that the server's lifecycle, or the operator's, may take at any moment."""

    prefix: str
    states: dict[str, set[State]] = field(default_factory=dict)
    since: dict[str, set[State]] = field(default_factory=dict)

    def act(self, s3: Any, chance: random.Random) -> None:
        key, body = f"{self.prefix}{chance.randrange(20)}", chance.randbytes(chance.choice(_SIZES))
        for states in (self.states, self.since):
            states.setdefault(key, {None}).add(digest(body))
        if chance.random() < 0.8:
            s3.put_object(Bucket=EXPIRING, Key=key, Body=body)
        else:
            where = {"Bucket": EXPIRING, "Key": key}
            where["UploadId"] = s3.create_multipart_upload(**where)["UploadId"]
            part = {"PartNumber": 1, "ETag": s3.upload_part(**where, PartNumber=1, Body=body)["ETag"]}
            if chance.random() < 0.5:
                return  # it is for the lifecycle to abort
            s3.complete_multipart_upload(**where, MultipartUpload={"Parts": [part]})
        self.states[key] = {None, digest(body)}

    def check(self, key: str, found: State) -> str | None:
        allowed = self.states.get(key, {None})
        self.states[key] = {None, found}
        return None if found in allowed else f"{EXPIRING}/{key} is {found}, and may only be {sorted(map(str, allowed))}"

    def mark(self) -> None:
        self.since = {key: set(states) for key, states in self.states.items()}

    def restored(self, key: str, found: State) -> str | None:
        allowed = self.since.get(key, set()) | {None}
        return None if found in allowed else f"restored: {EXPIRING}/{key} is {found}, and may only be {sorted(map(str, allowed))}"


def rules(number: int) -> dict[str, Any]:
    """A lifecycle by which everything is due at once. With another name each time, since a server goes by the same rules once a day."""
    whole = {"Prefix": ""}
    return {
        "Rules": [
            {"ID": f"all {number}", "Status": "Enabled", "Filter": whole, "Expiration": {"Date": _LONG_AGO}},
            {"ID": "uploads", "Status": "Enabled", "Filter": whole, "AbortIncompleteMultipartUpload": {"DaysAfterInitiation": 1}},
        ]
    }


def later() -> str:
    """A day by which unfinished uploads are due too, for the operator's tool."""
    return f"{datetime.now(UTC) + timedelta(days=3):%Y-%m-%d}"


def _named(where: Where) -> dict[str, str]:
    return {"Key": where[0], "VersionId": where[1]}
