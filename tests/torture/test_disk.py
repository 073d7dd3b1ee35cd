"""The disk that loses what was not synced: what it must keep, and what it may not."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from torture.disk import Disk
from torture.trace import Event, events

ROOT = "/data"


def happened(*steps: tuple[str, ...]) -> list[Event]:
    """One call a second, each taking half of it; the folder itself comes first."""
    made = [Event(0.0, 0.5, "mkdir", ROOT)]
    for second, (kind, name, *more) in enumerate(steps, 1):
        path = f"{ROOT}/{name}" if name else ROOT
        given = more[0] if more else b""
        other, data = (f"{ROOT}/{given}", b"") if isinstance(given, str) else ("", given)
        made.append(Event(second, second + 0.5, kind, path, other, more[1] if len(more) > 1 else 0, data))
    return made


def left(tmp_path: Path, steps: list[Event], moment: float, kept: float, seed: int = 0) -> dict[str, bytes]:
    image = tmp_path / f"image-{len(list(tmp_path.iterdir()))}"
    Disk(Path(ROOT), steps).image(moment, image, random.Random(seed), kept)
    return {str(path.relative_to(image)): path.read_bytes() for path in image.rglob("*") if path.is_file()}


SYNCED = happened(("create", "f"), ("append", "f", b"one"), ("sync", "f"), ("sync", ""))


def test_what_was_synced_is_there(tmp_path):
    assert left(tmp_path, SYNCED, 9, kept=0) == {"f": b"one"}


def test_not_before_the_sync_has_ended(tmp_path):
    assert left(tmp_path, SYNCED, 4.2, kept=0) == {}


def test_a_name_is_its_folders_and_a_content_its_files(tmp_path):
    only_the_name = happened(("create", "f"), ("append", "f", b"one"), ("sync", ""))
    assert left(tmp_path, only_the_name, 9, kept=0) == {"f": b""}
    only_the_content = happened(("create", "f"), ("append", "f", b"one"), ("sync", "f"))
    assert left(tmp_path, only_the_content, 9, kept=0) == {}


def test_all_of_it_may_be_there(tmp_path):
    assert left(tmp_path, happened(("create", "f"), ("append", "f", b"one"), ("append", "f", b"two")), 9, kept=1) == {
        "f": b"onetwo"
    }


def test_a_write_that_ended_after_the_sync_began_is_not_certain(tmp_path):
    late = [*SYNCED, Event(5.0, 6.5, "append", f"{ROOT}/f", data=b"two"), Event(6.0, 7.0, "sync", f"{ROOT}/f")]
    assert left(tmp_path, late, 9, kept=0) == {"f": b"one"}


def test_a_rename_without_its_sync_may_not_have_happened(tmp_path):
    renamed = [*SYNCED, Event(5.0, 5.5, "rename", f"{ROOT}/f", f"{ROOT}/g")]
    assert left(tmp_path, renamed, 9, kept=0) == {"f": b"one"}


def test_after_its_sync_it_has(tmp_path):
    renamed = [*SYNCED, Event(5.0, 5.5, "rename", f"{ROOT}/f", f"{ROOT}/g"), Event(6.0, 6.5, "sync", ROOT)]
    assert left(tmp_path, renamed, 9, kept=0) == {"g": b"one"}


def test_what_was_appended_is_lost_from_some_point_on(tmp_path):
    steps = [*SYNCED, *(Event(5 + n / 10, 5.05 + n / 10, "append", f"{ROOT}/f", data=bytes([n])) for n in range(20))]
    whole = b"one" + bytes(range(20))
    for seed in range(20):
        assert whole.startswith(left(tmp_path, steps, 9, kept=0.8, seed=seed)["f"])


def test_writes_in_place_are_torn_at_sectors(tmp_path):
    base = happened(("create", "f"), ("write", "f", bytes(2048)), ("sync", "f"), ("sync", ""))
    steps = [*base, Event(5.0, 5.5, "write", f"{ROOT}/f", data=b"\1" * 2048)]
    seen = set()
    for seed in range(40):
        content = left(tmp_path, steps, 9, kept=0.5, seed=seed)["f"]
        sectors = [content[start : start + 512] for start in range(0, 2048, 512)]
        assert all(sector in (bytes(512), b"\1" * 512) for sector in sectors)
        seen.add(content)
    assert len(seen) > 5


def test_a_trace_is_read(tmp_path):
    def hexed(text: str) -> str:
        return "".join(f"\\x{byte:02x}" for byte in text.encode())

    here = str(tmp_path / "data")
    (tmp_path / "trace.1").write_text(
        f'10.000001 openat(AT_FDCWD<{hexed("/")}>, "{hexed(here + "/f")}", O_WRONLY|O_CREAT|O_CLOEXEC, 0600) = 7<{hexed(here + "/f")}> <0.000100>\n'
        f'10.000201 pwrite64(7<{hexed(here + "/f")}>, "{hexed("abc")}", 3, 512) = 3 <0.000100>\n'
        f'10.000301 write(8<{hexed("/elsewhere")}>, "{hexed("abc")}", 3) = 3 <0.000100>\n',
        "ascii",
    )
    (tmp_path / "trace.2").write_text(
        f"10.000401 fdatasync(7<{hexed(here + '/f')}>) = 0 <0.001000>\n+++ exited with 0 +++\n", "ascii"
    )
    found = events(tmp_path / "trace", Path(here))
    assert [(event.kind, event.path) for event in found] == [
        ("create", f"{here}/f"),
        ("write", f"{here}/f"),
        ("sync", f"{here}/f"),
    ]
    assert (found[1].offset, found[1].data) == (512, b"abc")
    assert found[2].ended == pytest.approx(10.001401)
