"""restic: init, backup, check of every byte, restore, forget and prune; what comes back is what went in."""

from __future__ import annotations

import json

import pytest

from tests.clients.setups import run_shell
from tests_clients.house import Program


@pytest.fixture
def restic(find, server, versioned, files, environ, tmp_path):
    path = find("restic", "apt-get install restic")
    (tmp_path / "restic-password").write_text("open sesame\n")
    return Program(path, run_shell("restic", server, environ, versioned.name))


def test_backup_check_restore(restic, versioned, files, tmp_path):
    """The first backup is the page's; the bucket keeps versions."""
    here = tmp_path / "files"
    assert all(key.startswith("laptop/") for key in versioned.listed())
    versioned.assert_sealed()
    (here / "many" / "new").write_bytes(b"of the second day")
    (here / "one.txt").unlink()
    restic("backup", here)
    first, second = json.loads(restic("snapshots", "--json"))
    restic("check", "--read-data")
    expected = {first["id"]: files, second["id"]: {**files, "many/new": b"of the second day"}}
    del expected[second["id"]]["one.txt"]
    for number, (snapshot, wanted) in enumerate(expected.items()):
        target = tmp_path / f"restored{number}"
        restic("restore", snapshot, "--target", target)
        root = target / here.relative_to("/")
        assert {path.relative_to(root).as_posix(): path.read_bytes() for path in root.rglob("*") if path.is_file()} == wanted
    restic("forget", "--keep-last", "1", "--prune")
    restic("check", "--read-data")
    (left,) = json.loads(restic("snapshots", "--json"))
    assert left["id"] == second["id"]
    assert restic("list", "locks") == ""
