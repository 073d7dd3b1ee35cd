"""What the torture remembers of locked versions, of objects that a lifecycle may take, and of backups finds what is wrong."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from torture.guarded import Expiring, Guard, Locked
from torture.ledger import Current, Versions

WHERE = ("k", "v1")
UNTIL = datetime(2100, 1, 1, tzinfo=UTC)


class S3:
    """What is to be seen of the one version."""

    def __init__(self, *, retained=True, hold="OFF", tag="0"):
        self.seen = {"ObjectLockMode": "GOVERNANCE", "ObjectLockRetainUntilDate": UNTIL} if retained else {}
        self.seen["ObjectLockLegalHoldStatus"], self.tag = hold, tag

    def head_object(self, **_):
        return self.seen

    def get_object_tagging(self, **_):
        return {"TagSet": [{"Key": "a", "Value": self.tag}]}


def locked(**more):
    return Locked("", {WHERE: Guard("one", retained=True, holds={"OFF"}, tags={"0"})}, **more)


@pytest.mark.parametrize(
    ("s3", "found", "faults"),
    [
        (S3(), {WHERE: "one"}, 0),
        (S3(), {}, 1),
        (S3(), {WHERE: "two"}, 1),
        (S3(), {WHERE: "one", ("k", "v2"): "two"}, 1),
        (S3(retained=False), {WHERE: "one"}, 1),
        (S3(hold="ON"), {WHERE: "one"}, 1),
        (S3(tag="7"), {WHERE: "one"}, 1),
    ],
)
def test_locked_versions_stay_as_they_were_acknowledged(s3, found, faults):
    assert len(list(locked().check(s3, found))) == faults


def test_of_what_was_cut_off_either_may_hold_and_then_is_certain():
    made = locked(going={WHERE}, coming={"j": {"two"}})
    made.kept[WHERE].tags.add("7")
    assert list(made.check(S3(tag="7"), {WHERE: "one", ("j", "v2"): "two"})) == []
    assert made.kept[WHERE].tags == {"7"}
    assert len(list(made.check(S3(tag="0"), {WHERE: "one"}))) == 2  # the tag, and the version that was there
    assert list(locked(going={WHERE}).check(S3(), {})) == []


def test_what_a_lifecycle_may_take_is_whole_or_absent():
    for found, wrong in (("one", False), (None, False), ("half", True)):
        made = Expiring("", {"k": {None, "one"}})
        assert (made.check("k", found) is not None) == wrong
    made = Expiring("", {"k": {None, "one"}})
    assert made.check("k", None) is None
    assert made.check("k", "one") is not None, "what is gone does not come back"


def test_a_backup_has_what_was_acknowledged_before_it_and_may_have_what_came_since():
    current = Current()
    current.done("b", "k", "one")
    current.mark()
    assert current.possible("b", "k") == {"one"}
    current.under_way("b", "k", "two")
    current.done("b", "k", "two")
    current.under_way("b", "j", "three")
    assert current.possible("b", "k") == {"one", "two"}
    assert current.possible("b", "j") == {None, "three"}
    assert current.possible("b", "i") == {None}


def test_versions_of_a_backup():
    made = Versions({WHERE: "one", ("k", "v2"): None})
    made.mark()
    assert made.restored({WHERE: "one", ("k", "v2"): None}) == []
    assert len(made.restored({WHERE: "one"})) == 1
    assert len(made.restored({WHERE: "two", ("k", "v2"): None})) == 1
    made.leaving(*WHERE)
    made.removed(*WHERE)
    made.sent("k", "three")
    made.added("k", "v3", "three")
    for found in ({("k", "v2"): None}, {WHERE: "one", ("k", "v2"): None, ("k", "v3"): "three"}):
        assert made.restored(found) == []
    assert len(made.restored({("k", "v2"): None, ("k", "v4"): "four"})) == 1


def test_locked_versions_and_expiring_objects_of_a_backup():
    made = locked()
    made.mark()
    assert list(made.restored({WHERE: "one"})) == []
    assert len(list(made.restored({}))) == 1
    assert len(list(made.restored({WHERE: "one", ("k", "v2"): "two"}))) == 1
    made.left.add(WHERE)
    assert list(made.restored({})) == []
    expiring = Expiring("", {"k": {None, "one"}})
    expiring.mark()
    assert [expiring.restored("k", found) is None for found in ("one", None, "two")] == [True, True, False]
