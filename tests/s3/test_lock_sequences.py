"""No sequence of operations, by callers who may do everything but bypass governance, loses a version that object lock protects.

What is promised is written down beside, from what was answered and the user guide alone, and then held against what is there.
"""

from __future__ import annotations

import asyncio
import tempfile
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from strongroom.api.errors import ApiError
from strongroom.s3.rewrapping import Order, Rewrapping
from tests.s3.vault import Vault, opened

MODES = ("GOVERNANCE", "COMPLIANCE")
KEYS = ("a", "b")
MD5 = {"content-md5": "x"}
DAY = timedelta(days=1)


@dataclass
class Promise:
    object_key: str
    version_id: str
    data: bytes
    mode: str = ""
    until: datetime | None = None
    hold: bool = False

    def holds(self, now: datetime) -> bool:
        return self.hold or (self.until is not None and now < self.until)


class Play:
    def __init__(self, vault: Vault) -> None:
        self.vault = vault
        self.promises: list[Promise] = []
        self.default: tuple[str, int] | None = None
        self.protected = 0  # versions that were found to be there when somebody had wanted them gone
        vault.denied = {("s3:BypassGovernanceRetention", f"arn:aws:s3:::bucket/{key}") for key in KEYS}

    async def ask(self, name: str, **given: object) -> dict | None:
        try:
            return await self.vault.run(name, Bucket="bucket", headers=MD5, **given)
        except ApiError as error:
            assert error.status < 500, error  # noqa: PT017 - what is refused is part of the play
            return None

    def at(self, which: int) -> Promise | None:
        return self.promises[which % len(self.promises)] if self.promises else None

    async def put(self, key: str, lock: tuple[str, int] | None, hold: bool | None, copy: int | None) -> None:
        lock_given = (
            {} if lock is None else {"ObjectLockMode": lock[0], "ObjectLockRetainUntilDate": self.vault.now + lock[1] * DAY}
        )
        if hold is not None:
            lock_given["ObjectLockLegalHoldStatus"] = "ON" if hold else "OFF"
        source = None if copy is None else self.at(copy)
        data = source.data if source else f"version {len(self.promises)}".encode()
        if source is None:
            answer = await self.ask("PutObject", Key=key, data=data, **lock_given)
        else:
            copy_source = f"bucket/{source.object_key}?versionId={source.version_id}"
            answer = await self.ask("CopyObject", Key=key, CopySource=copy_source, **lock_given)
        if answer is None:
            assert source is not None
            return
        mode, days = lock or self.default or ("", 0)
        until = self.vault.now + days * DAY if mode else None
        self.promises.append(Promise(key, answer["VersionId"], data, mode, until, hold is True))

    async def remove(self, which: int, many: bool, bypass: bool) -> None:
        wanted = self.promises if many else [self.promises[which % len(self.promises)]] if self.promises else []
        more = {"BypassGovernanceRetention": True} if bypass else {}
        if many and wanted:
            objects = [{"Key": one.object_key, "VersionId": one.version_id} for one in wanted]
            await self.ask("DeleteObjects", Delete={"Objects": objects}, **more)
        elif wanted:
            await self.ask("DeleteObject", Key=wanted[0].object_key, VersionId=wanted[0].version_id, **more)
        await self.settle(wanted)

    async def settle(self, wanted: list[Promise]) -> None:
        for one in list(wanted):
            if one.holds(self.vault.now):
                self.protected += 1
            elif await self.ask("HeadObject", Key=one.object_key, VersionId=one.version_id) is None:
                self.promises.remove(one)

    async def retain(self, which: int, mode: str, days: int, bypass: bool) -> None:
        one = self.at(which)
        if one is None:
            return
        until = self.vault.now + days * DAY if mode else None
        retention = {"Mode": mode, "RetainUntilDate": until} if mode else {}
        more = {"BypassGovernanceRetention": True} if bypass else {}
        answer = await self.ask("PutObjectRetention", Key=one.object_key, VersionId=one.version_id, Retention=retention, **more)
        if answer is None:
            return
        if one.until is not None and self.vault.now < one.until:
            assert mode == one.mode, "a retention was changed in kind"
            assert until is not None
            assert until >= one.until, "a retention was shortened"
        one.mode, one.until = mode, until

    async def hold(self, which: int, on: bool) -> None:
        one = self.at(which)
        given = {"LegalHold": {"Status": "ON" if on else "OFF"}}
        if (
            one is not None
            and await self.ask("PutObjectLegalHold", Key=one.object_key, VersionId=one.version_id, **given) is not None
        ):
            one.hold = on

    async def change(self, which: int, what: str) -> None:
        one = self.at(which)
        if one is None:
            return
        place = {"Key": one.object_key, "VersionId": one.version_id}
        if what == "tags":
            await self.ask("PutObjectTagging", **place, Tagging={"TagSet": [{"Key": "k", "Value": str(which)}]})
        else:
            await self.ask("UpdateObjectEncryption", **place, ObjectEncryption={"SSEKMS": {"KMSKeyArn": self.arn}})

    async def house(self, what: str) -> None:
        if what == "suspend":
            assert await self.ask("PutBucketVersioning", VersioningConfiguration={"Status": "Suspended"}) is None
        elif what == "delete bucket":
            gone = await self.ask("DeleteBucket") is not None
            assert not gone or not self.promises
            if gone:
                await self.open()
        elif what == "rewrap":
            await Rewrapping(self.vault.rooms, Order(None, None)).run("bucket")
        elif what == "rotate":
            await self.vault.kms("RotateKeyOnDemand", KeyId=self.arn)
        else:
            await self.vault.upkeep.delete_discarded()
            await self.vault.upkeep.sweep()

    async def rule(self, default: tuple[str, int] | None) -> None:
        rule = {} if default is None else {"Rule": {"DefaultRetention": {"Mode": default[0], "Days": default[1]}}}
        assert (
            await self.ask("PutObjectLockConfiguration", ObjectLockConfiguration={"ObjectLockEnabled": "Enabled", **rule})
            is not None
        )
        self.default = default

    async def marker(self, key: str) -> None:
        assert await self.ask("DeleteObject", Key=key) is not None

    async def wait(self, days: int) -> None:
        self.vault.now += days * DAY

    async def open(self) -> None:
        await self.vault.make(ObjectLockEnabledForBucket=True)
        self.default = None

    async def run(self, steps: list[tuple]) -> None:
        await self.open()
        _, self.arn = await self.vault.kms_key()
        for name, *words in steps:
            try:
                await getattr(self, name)(*words)
            except ApiError as error:  # of a key that cannot be rotated again yet
                assert (name, error.status) == ("house", 400)  # noqa: PT017
            await self.check()
        self.vault.denied = set()  # even who may bypass leaves compliance and holds alone
        await self.remove(0, many=True, bypass=True)
        await self.check(bypassed=True)

    async def check(self, *, bypassed: bool = False) -> None:
        for one in self.promises:
            if one.holds(self.vault.now) and not (bypassed and not one.hold and one.mode == "GOVERNANCE"):
                data, _ = await self.vault.get(one.object_key, VersionId=one.version_id)
                assert data == one.data


locks = st.none() | st.tuples(st.sampled_from(MODES), st.integers(1, 9))
number = st.integers(0, 5)
removal = st.tuples(st.just("remove"), number, st.booleans(), st.booleans())
retention = st.tuples(st.just("retain"), number, st.sampled_from(("", *MODES)), st.integers(1, 12), st.booleans())
step = st.one_of(
    removal,
    retention,
    st.tuples(st.just("put"), st.sampled_from(KEYS), locks, st.none() | st.booleans(), st.none() | number),
    removal,
    retention,
    st.tuples(st.just("hold"), number, st.booleans()),
    st.tuples(st.just("change"), number, st.sampled_from(("tags", "encryption"))),
    st.tuples(st.just("house"), st.sampled_from(("suspend", "delete bucket", "rewrap", "rotate", "upkeep"))),
    st.tuples(st.just("rule"), locks),
    st.tuples(st.just("marker"), st.sampled_from(KEYS)),
    st.tuples(st.just("wait"), st.integers(1, 4)),
)


def play(steps: list[tuple]) -> Play:
    async def run() -> Play:
        with tempfile.TemporaryDirectory() as folder:
            async with opened(Path(folder)) as vault:
                game = Play(vault)
                await game.run(steps)
                return game

    return asyncio.run(run())


#: What is there from the start, so that every sequence has something to lose.
LOCKED: list[tuple] = [
    ("put", "a", ("GOVERNANCE", 9), None, None),
    ("put", "b", ("COMPLIANCE", 9), None, None),
    ("put", "a", None, True, None),
]


# Not made smaller when one fails: that would take minutes.
@settings(max_examples=30, deadline=None, phases=[Phase.generate], suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(step, min_size=4, max_size=16))
def test_no_sequence_loses_a_protected_version(steps):
    play(LOCKED + steps)


def test_the_play_can_tell():
    """Some versions are protected from those who want them gone, and go when their time has come."""
    lock = ("COMPLIANCE", 3)
    game = play([("put", "a", lock, None, None), ("remove", 0, False, True), ("wait", 4), ("remove", 0, True, False)])
    assert (game.protected, game.promises) == (1, [])
    game = play(
        [("rule", lock), ("put", "a", None, True, None), ("retain", 0, "GOVERNANCE", 9, True), ("house", "delete bucket")]
    )
    assert (game.protected, game.promises[0].mode) == (1, "COMPLIANCE")
