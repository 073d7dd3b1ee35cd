"""The torture's memory finds what is lost, changed or invented; else a hundred rounds would show nothing."""

from __future__ import annotations

from torture.ledger import Current, Versions


def test_an_acknowledged_object_must_be_found():
    current = Current()
    current.under_way("b", "k", "one")
    current.done("b", "k", "one")
    assert current.fault("b", "k", "one") is None
    assert current.fault("b", "k", None) is not None


def test_a_request_that_was_cut_off_may_have_happened_or_not():
    for found, wrong in (("one", False), ("two", False), (None, True), ("three", True)):
        current = Current()
        current.done("b", "k", "one")
        current.under_way("b", "k", "two")
        assert (current.fault("b", "k", found) is not None) == wrong


def test_what_was_looked_at_once_is_certain():
    current = Current()
    current.under_way("b", "k", "one")
    assert current.fault("b", "k", None) is None
    assert current.fault("b", "k", "one") is not None


def test_an_object_that_nobody_wrote_is_found_out():
    assert Current().fault("b", "k", "one") is not None


def versions():
    made = Versions()
    made.coming["k"] = {"one"}
    made.added("k", "v1", "one")
    made.coming["k"] = {None}
    return made


KEPT = {("k", "v1"): "one"}


def test_versions_as_acknowledged_and_one_that_was_cut_off():
    assert versions().faults(KEPT) == []
    assert versions().faults(KEPT | {("k", "v2"): None}) == []


def test_lost_changed_and_invented_versions_are_found_out():
    assert len(versions().faults({})) == 1
    assert len(versions().faults({("k", "v1"): "other"})) == 1
    assert len(versions().faults(KEPT | {("k", "v2"): "two"})) == 1
    assert len(versions().faults(KEPT | {("k", "v2"): None, ("k", "v3"): None})) == 1


def test_a_deletion_that_was_cut_off_may_have_happened_or_not():
    for found in (KEPT, {}):
        made = versions()
        made.going.add(("k", "v1"))
        assert made.faults(found) == []


def test_a_version_that_was_deleted_must_not_come_back():
    made = versions()
    made.removed("k", "v1")
    assert len(made.faults(KEPT)) == 1
