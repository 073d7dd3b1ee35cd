"""The key-use record on the disk: written without waiting, and every way of tampering with it is found."""

from __future__ import annotations

import errno
import hashlib
import hmac
import json
import os
import time
from itertools import count

import pytest

from strongroom.kms import key_use_files, key_use_lines
from strongroom.kms.key_use import Alike, KeyUse
from strongroom.kms.key_use_anchors import keep_head, kept_heads
from strongroom.kms.key_use_audit import Audit
from strongroom.kms.key_use_chain import Chain, ChainError, Head
from strongroom.kms.key_use_files import KeyUseRecord
from strongroom.kms.key_use_trail import event
from strongroom.kms.records import moment
from strongroom.store.reserve import USES

KEY = bytes(range(32))
NOW = 1_770_000_000_123
ARN = "arn:aws:kms:eu-central-1:111122223333:key/0d990263-018e-4e65-a703-eff731de951e"


def use(number=0, **changed):
    made = KeyUse(
        at_ms=NOW + number,
        operation="Decrypt",
        cause="bucket-key",
        kms_called=False,
        key_arn=ARN,
        principal="arn:aws:iam::111122223333:root",
        account_id="111122223333",
        user_id="111122223333",
        access_key_id="AKIA",
        resource=f"arn:aws:s3:::bucket/{number}",
        version="v",
        context={"aws:s3:arn": "arn:aws:s3:::bucket"},
        code="",
        reason="",
        request_id=f"{number}",
        source_ip="127.0.0.1",
    )
    return made._replace(**changed)


def alike(operation="Decrypt", **changed):
    """What uses that differ by their number alone have in common."""
    whole = use(**changed)
    who = whole.principal, whole.account_id, whole.user_id, whole.access_key_id
    return Alike(operation, whole.cause, whole.kms_called, whole.key_arn, *who, whole.context)


def serve(record, common, number=0, **changed):
    whole = use(number, **changed)
    return record.served(common, moment(whole.at_ms), whole.resource, whole.version, whole.request_id, whole.source_ip)


@pytest.fixture
def record_of(tmp_path):
    """Makes records (as so many workers) on one folder; their chain ids ascend."""
    clock = count(NOW)
    made = []

    def make(**settings):
        record = KeyUseRecord(tmp_path, KEY, lambda: next(clock), **settings)
        made.append(record)
        return record

    yield make
    for record in made:
        if record._thread.is_alive():
            record.close()


def audit(folder, known=None):
    return Audit(folder, KEY, known or {}).verify()


def found(folder, known=None):
    return "\n".join(audit(folder, known).faults)


def files(folder, suffix=".jsonl"):
    return sorted((folder / "key-use").glob(f"*{suffix}"))


def until(true):
    deadline = time.monotonic() + 10
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.005)


# -------------------------------------------------------------------------------------------------------------- writing


def test_every_use_is_on_the_disk_when_the_record_is_closed(tmp_path, record_of):
    record = record_of(flush_seconds=60)
    for number in range(3):
        record.used(use(number))
    record.used(use(3, code="AccessDenied", reason="no", resource="", version="", context={}))
    record.close()
    (path,) = files(tmp_path)
    first, *lines, end = [json.loads(line) for line in path.read_bytes().splitlines()]
    assert (first["kind"], first["format"], first["chain"], first["file"], first["heads"]) == ("file", 3, record.chain_id, 1, {})
    assert (end["kind"], [line["n"] for line in (first, *lines, end)]) == ("end", [1, 2, 3, 4, 5, 6])
    hashes = [line.pop("hash") for line in lines]
    assert lines[1] == {
        "n": 3,
        "kind": "use",
        "time": "2026-02-02T02:40:00.124Z",
        "operation": "Decrypt",
        "cause": "bucket-key",
        "kms": False,
        "key": ARN,
        "principal": "arn:aws:iam::111122223333:root",
        "account": "111122223333",
        "user_id": "111122223333",
        "access_key_id": "AKIA",
        "source_ip": "127.0.0.1",
        "request_id": "1",
        "outcome": "Success",
        "resource": "arn:aws:s3:::bucket/1",
        "version": "v",
        "context": {"aws:s3:arn": "arn:aws:s3:::bucket"},
    }
    assert (lines[3]["outcome"], lines[3]["reason"]) == ("AccessDenied", "no")
    assert not {"resource", "version", "context"} & lines[3].keys()
    assert len(set(hashes)) == 4
    report = audit(tmp_path)
    assert (report.faults, report.notices, report.uses, report.lines, report.chains) == ([], [], 4, 6, 1)
    assert {path.stat().st_mode & 0o777 for path in (tmp_path / "key-use").iterdir()} == {0o600}
    assert (tmp_path / "key-use").stat().st_mode & 0o777 == 0o700


def test_the_chain_as_the_document_says_it(tmp_path, record_of):
    """Written from docs/spec/key-use.md alone."""
    record = record_of()
    for number in range(3):
        record.used(use(number))
    record.close()

    def derive(label):
        info = b"".join(len(text).to_bytes(4, "big") + text for text in (label, record.chain_id.encode()))
        prk = hmac.digest(bytes(32), KEY, "sha256")
        return hmac.digest(prk, info + b"\x01", "sha256")

    previous = bytes(32)
    (path,) = files(tmp_path)
    for line in path.read_bytes().splitlines():
        body, tail = line[:-75], line[-75:]
        previous = hmac.new(derive(b"strongroom/key-use/line"), previous + body, hashlib.sha256).digest()
        assert tail == b',"hash":"' + previous.hex().encode() + b'"}'
    (head,) = files(tmp_path, ".head")
    body, _, mac = head.read_bytes().partition(b',"mac":"')
    assert mac == hmac.new(derive(b"strongroom/key-use/head"), body, hashlib.sha256).hexdigest().encode() + b'"}\n'
    assert json.loads(body + b"}") == {"chain": record.chain_id, "count": 5, "hash": previous.hex()}


def test_it_is_written_by_itself_and_at_once_when_much_waits(tmp_path, record_of, monkeypatch):
    record = record_of(flush_seconds=0.02)
    record.used(use())
    until(lambda: audit(tmp_path).uses == 1)
    report = audit(tmp_path)
    assert report.faults == []
    assert report.notices == [f"chain {record.chain_id} has no end: its server is running, or stopped without warning"]
    monkeypatch.setattr(key_use_files, "_HURRY", 3)
    hurried = record_of(flush_seconds=60)
    for number in range(3):
        hurried.used(use(number))
    until(lambda: audit(tmp_path).uses == 4)
    for number in range(3):
        assert serve(hurried, alike(), number)
    until(lambda: audit(tmp_path).uses == 7)


def test_files_are_changed_by_size_and_by_age_and_the_chain_goes_on(tmp_path, record_of):
    record = record_of(file_bytes=1000, flush_seconds=60)
    for number in range(4):
        record.used(use(number))
        record._flush()
    record.close()
    assert [path.name for path in files(tmp_path)] == [f"{record.chain_id}-{number:06d}.jsonl" for number in (1, 2, 3)]
    aged = record_of(file_seconds=0.002, flush_seconds=60)
    for number in range(3):
        aged.used(use(number))
        aged._flush()
    aged.close()
    assert len(files(tmp_path)) > 5
    report = audit(tmp_path)
    assert (report.faults, report.uses, report.chains) == ([], 7, 2)


def test_uses_that_have_much_in_common_share_a_line_and_are_read_as_if_they_did_not(tmp_path, record_of, monkeypatch):
    """Over the end of a second, and also when what they share has been forgotten."""
    monkeypatch.setattr(key_use_lines, "_REMEMBERED", 1)
    monkeypatch.setattr(key_use_files, "_TOGETHER", 5)
    strange = 'arn:aws:s3:::bucket/"\\\n\u00e9'
    told, shared = record_of(flush_seconds=60), record_of(flush_seconds=60)
    reading, making = alike(), alike("GenerateDataKey")
    for number in (0, 1, 2, 3, 875, 876, 877, 878, 5000, 5001):
        made = use(number, operation="GenerateDataKey", version="", resource=strange)
        for one in (use(number), made):
            told.used(one)
        assert serve(shared, reading, number)
        assert serve(shared, making, number, version="", resource=strange)
        if number == 2:
            told.used(use(2, code="AccessDenied", operation="Encrypt"))
            shared.used(use(2, code="AccessDenied", operation="Encrypt"))
    for record in (told, shared):
        record.close()
    assert reading.use(moment(NOW), "arn:aws:s3:::bucket/0", "v", "0", "127.0.0.1") == use()
    of_told, of_shared = (
        [line for line in Audit(tmp_path, KEY, {}).lines() if line.chain_id == record.chain_id] for record in (told, shared)
    )

    def content(lines):
        told = [{name: value for name, value in line.entry.items() if name not in {"n", "hash"}} for line in lines]
        return sorted(told, key=lambda entry: (entry["time"], entry["operation"]))

    assert content(of_shared) == content(of_told)
    assert [line.time for line in of_shared] == sorted(line.time for line in of_shared)
    assert len({event(line)["eventID"] for line in [*of_told, *of_shared]}) == 42
    assert [event(line)["requestID"] for line in of_shared[:3]] == ["0", "0", "1"]
    lines = [json.loads(line) for line in files(tmp_path)[1].read_bytes().splitlines()][1:-1]
    assert [(line["kind"], line["operation"], len(line.get("uses", ()))) for line in lines[:3]] == [
        ("uses", "Decrypt", 3),
        ("uses", "GenerateDataKey", 2),
        ("uses", "GenerateDataKey", 2),
    ]
    assert len(lines) == 10
    report = audit(tmp_path)
    assert (report.faults, report.uses, report.lines) == ([], 42, 21 + 10 + 4)


def first_line(folder):
    """That of the first uses, without its hash, and what any line of ``alike`` uses says; written from docs/spec/key-use.md alone."""
    line = json.loads(files(folder)[0].read_bytes().splitlines()[1])
    del line["hash"]
    return line, {
        "n": 2,
        "kind": "uses",
        "operation": "Decrypt",
        "key": ARN,
        "principal": "arn:aws:iam::111122223333:root",
        "account": "111122223333",
        "user_id": "111122223333",
        "access_key_id": "AKIA",
        "outcome": "Success",
    }


def test_a_line_of_many_uses_as_the_document_says_it(tmp_path, record_of):
    record = record_of(flush_seconds=60)
    common = alike()
    for number in range(3):
        assert serve(record, common, number, version="" if number == 1 else "v")
    record.close()
    line, common = first_line(tmp_path)
    assert line == {
        **common,
        "cause": "bucket-key",
        "kms": False,
        "context": {"aws:s3:arn": "arn:aws:s3:::bucket"},
        "uses": [
            [f"2026-02-02T02:40:00.{123 + number}Z", f"arn:aws:s3:::bucket/{number}", version, f"{number}", "127.0.0.1"]
            for number, version in enumerate(("v", "", "v"))
        ],
    }


def test_uses_whose_context_is_their_resource_share_a_line_too(tmp_path, record_of):
    """Each is told with the context that it had."""
    record = record_of(flush_seconds=60)
    called = {"cause": "s3", "kms_called": True}
    reading, making = (alike(name, **called, context="aws:s3:arn") for name in ("Decrypt", "GenerateDataKey"))
    for number in range(2):
        assert serve(record, reading, number)
    assert serve(record, making, 2, version="")
    assert (record.calls, record.hits) == ({("Decrypt", "s3"): 2, ("GenerateDataKey", "s3"): 1}, {})
    record.close()
    whole = use(**called, context={"aws:s3:arn": "arn:aws:s3:::bucket/0"})
    assert reading.use(moment(NOW), whole.resource, "v", "0", "127.0.0.1") == whole
    line, common = first_line(tmp_path)
    assert line == {
        **common,
        "cause": "s3",
        "kms": True,
        "context_by": "aws:s3:arn",
        "uses": [
            [f"2026-02-02T02:40:00.{123 + number}Z", f"arn:aws:s3:::bucket/{number}", "v", f"{number}", "127.0.0.1"]
            for number in range(2)
        ],
    }
    other = json.loads(files(tmp_path)[0].read_bytes().splitlines()[2])
    assert (other["operation"], len(other["uses"])) == ("GenerateDataKey", 1)
    told = list(Audit(tmp_path, KEY, {}).lines())
    assert [one.entry["context"] for one in told] == [{"aws:s3:arn": f"arn:aws:s3:::bucket/{number}"} for number in range(3)]
    assert not any("context_by" in one.entry for one in told)
    assert event(told[1])["requestParameters"] == {"keyId": ARN, "encryptionContext": {"aws:s3:arn": "arn:aws:s3:::bucket/1"}}


def test_a_file_of_a_later_format_is_not_taken_for_one_of_ours(tmp_path, record_of, monkeypatch):
    with monkeypatch.context() as patched:
        patched.setattr(key_use_files, "FORMAT", 4)
        record = record_of(flush_seconds=60)
        record.used(use())
        record.close()
    assert found(tmp_path) == f"{record.chain_id}-000001.jsonl has format 4: a later Strongroom wrote it"


def test_nothing_is_taken_in_once_it_is_closed(tmp_path, record_of):
    record = record_of()
    assert not record.full("Decrypt")
    record.close()
    assert record.full("Decrypt")
    assert not serve(record, alike())
    assert (record.calls, record.hits) == ({}, {})


def test_a_use_that_cannot_be_taken_in_is_not_told(tmp_path, record_of, monkeypatch):
    monkeypatch.setattr(key_use_files, "MOST_WAITING", 3)
    record = record_of(flush_seconds=60)
    reading, making = alike(), alike("GenerateDataKey")
    assert [serve(record, reading, number) for number in range(5)] == [True, True, True, False, False]
    assert record.waiting == 3
    record._flush()
    assert serve(record, making)

    class Given:
        given = USES

    record._reserve = Given()
    assert not serve(record, making)  # the disk is full: what reads goes on
    assert serve(record, reading)
    record._failing = True
    assert not serve(record, reading)
    record._reserve = key_use_files.Reserve()
    record._failing = False
    record.close()
    assert audit(tmp_path).uses == 5


def test_text_that_is_no_unicode_does_not_stop_it(tmp_path, record_of):
    record = record_of()
    record.used(use(context={"\ud800": "\udfff"}, reason="\ud800"))
    assert serve(record, alike(), 1, resource="\ud800")
    record.close()
    line, served = Audit(tmp_path, KEY, {}).lines()
    assert line.entry["context"] == {"\\ud800": "\\udfff"}
    assert served.entry["resource"] == "\\ud800"


def test_a_full_disk_stops_the_use_of_keys_until_it_is_over_and_loses_nothing(tmp_path, record_of, monkeypatch):
    record = record_of(flush_seconds=0.01)
    write = os.write
    record.used(use(0))
    until(lambda: audit(tmp_path).uses == 1)

    def half(descriptor, data):
        if len(data) < 200:
            raise OSError(errno.ENOSPC, "no space")
        return write(descriptor, data[: len(data) // 2])

    with monkeypatch.context() as patched:
        patched.setattr(key_use_files.os, "write", half)
        record.used(use(1))
        until(lambda: record.full("Encrypt"))
        record.used(use(2))
        time.sleep(0.05)
        assert record.full("Encrypt")
    until(lambda: not record.full("Encrypt"))
    until(lambda: audit(tmp_path).uses == 3)
    record.close()
    report = audit(tmp_path)
    assert (report.faults, report.notices, report.uses) == ([], [], 3)


def test_what_the_system_takes_in_pieces_is_written_whole(tmp_path, record_of, monkeypatch):
    """Heads, too: one that is cut would look like a forged one."""
    write = os.write
    monkeypatch.setattr(key_use_files.os, "write", lambda descriptor, data: write(descriptor, data[:50]))
    record = record_of(flush_seconds=60)
    record.used(use())
    record.close()
    report = audit(tmp_path)
    assert (report.faults, report.notices, report.uses) == ([], [], 1)


def test_what_waits_is_bounded(record_of, monkeypatch):
    monkeypatch.setattr(key_use_files, "MOST_WAITING", 5)
    record = record_of(flush_seconds=60)
    for number in range(5):
        assert not record.full("Encrypt")
        record.used(use(number))
    assert record.full("Encrypt")
    record._flush()
    assert not record.full("Encrypt")


# ------------------------------------------------------------------------------------------------------------ tampering


@pytest.fixture
def two(tmp_path, record_of):
    """A chain of two files, and one that began after it and goes on; closed both. The folder and the paths of the first."""
    first = record_of(file_bytes=1500, flush_seconds=60)
    for number in range(6):
        first.used(use(number))
        if number % 3 == 2:
            first._flush()
    first.close()
    second = record_of(flush_seconds=60)
    second.used(use(9))
    second.close()
    assert audit(tmp_path).faults == []
    return tmp_path, [path for path in files(tmp_path) if path.name.startswith(first.chain_id)]


def rewrite(path, change):
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(change(lines)))


EDITS = {
    "edited": lambda lines: [*lines[:2], lines[2].replace(b"Decrypt", b"Encrypt"), *lines[3:]],
    "hash edited": lambda lines: [*lines[:2], lines[2].replace(b'"hash":"', b'"hash":"0')[:-4] + b'"}\n', *lines[3:]],
    "removed": lambda lines: [*lines[:2], *lines[3:]],
    "reordered": lambda lines: [lines[0], lines[2], lines[1], *lines[3:]],
    "repeated": lambda lines: [*lines[:2], lines[1], *lines[2:]],
    "put in": lambda lines: [*lines[:2], b'{"n":3,"kind":"use","hash":"' + b"0" * 64 + b'"}\n', *lines[2:]],
    "not a line": lambda lines: [*lines[:2], b"\n", *lines[2:]],
    "first removed": lambda lines: lines[1:],
    "last removed": lambda lines: lines[:-1],
    "all removed": lambda _: [],
    "cut within a line": lambda lines: [*lines[:-1], lines[-1][:-5]],
    "without its last newline": lambda lines: [*lines[:-1], lines[-1][:-1]],
}


@pytest.mark.parametrize("which", [0, 1])
@pytest.mark.parametrize("edit", EDITS)
def test_a_changed_file(two, edit, which):
    folder, paths = two
    rewrite(paths[which], EDITS[edit])
    assert found(folder)


@pytest.mark.parametrize("which", [0, 1])
def test_a_file_that_is_gone_or_another_ones(two, which):
    folder, paths = two
    kept = paths[which].read_bytes()
    paths[which].unlink()
    assert "is missing" in found(folder)
    paths[which].write_bytes(paths[1 - which].read_bytes())
    assert "is not what was written here" in found(folder)
    paths[which].write_bytes(kept)
    assert found(folder) == ""
    (folder / "key-use" / "other.jsonl").write_bytes(b"")
    assert found(folder) == "other.jsonl: is no file of the record"


def test_a_whole_chain_that_is_gone_is_told_of_by_the_chain_after_it(two):
    folder, paths = two
    chain_id = paths[0].name[:20]
    for path in (*paths, folder / "key-use" / f"{chain_id}.head"):
        path.unlink()
    later = files(folder)[0].name
    assert found(folder) == f"chain {chain_id} is missing, of which {later} tells"


async def test_the_last_chain_that_is_gone_is_told_of_by_the_catalog(two, catalog):
    folder, _ = two
    path = files(folder)[-1]
    chain_id = path.name[:20]
    head = folder / "key-use" / f"{chain_id}.head"
    await keep_head(catalog, chain_id, head.read_bytes())
    known = await kept_heads(catalog)
    assert found(folder, known) == ""
    kept = path.read_bytes()
    path.unlink()
    head.unlink()
    assert found(folder, known) == f"chain {chain_id} is missing, of which the catalog's head of {chain_id} tells"
    path.write_bytes(kept)
    assert found(folder, known) == f"{chain_id}.head is missing"


def test_a_tail_that_is_gone_with_an_older_head_put_back(tmp_path, record_of):
    """The chain that began later had seen the newer head."""
    record = record_of(flush_seconds=60)
    record.used(use())
    record._flush()
    (path,), (head,) = files(tmp_path), files(tmp_path, ".head")
    old = path.read_bytes(), head.read_bytes()
    record.used(use(1))
    record._flush()
    later = record_of(flush_seconds=60)
    later.close()
    path.write_bytes(old[0])
    head.write_bytes(old[1])
    assert "has 2 lines, but" in found(tmp_path)
    record._stopping = True
    record._wake.set()


@pytest.mark.parametrize(
    "change",
    [
        lambda _: b"",
        lambda old: old[:-1],
        lambda old: old.replace(b'"count":', b'"count":1'),
        lambda old: old.replace(b"mac", b"mab"),
    ],
)
def test_a_changed_head(two, change):
    folder, _ = two
    head = files(folder, ".head")[0]
    head.write_bytes(change(head.read_bytes()))
    assert found(folder) == f"{head.name}: was not written by this server for this chain"
    head.unlink()
    assert found(folder) == f"{head.name} is missing"


def test_the_head_of_another_chain(two):
    folder, _ = two
    one, other = files(folder, ".head")
    one.write_bytes(other.read_bytes())
    assert "was not written by this server for this chain" in found(folder)


def test_whoever_has_no_root_key_cannot_make_a_chain(two):
    folder, paths = two
    forged = Chain.begin(bytes(32), paths[0].name[:20])
    paths[0].write_bytes(b"".join(forged.seal({"kind": "use", "time": "t"}) for _ in range(4)))
    assert f"{paths[0].name}, line 1: is not what was written here" in found(folder)
    assert Audit(folder, bytes(32), {}).verify().faults


def test_a_line_has_its_place():
    writing, reading = (Chain.begin(KEY, "0" * 20) for _ in range(2))
    lines = [writing.seal({"kind": "use", "i": number})[:-1] for number in range(3)]
    for wrong in (lines[1], b"", lines[0][:-1], lines[0] + b" ", lines[0].upper()):
        with pytest.raises(ChainError):
            reading.follow(wrong)
    assert [reading.follow(line)["i"] for line in lines] == [0, 1, 2]
    with pytest.raises(ChainError):
        Chain.begin(KEY, "1" * 20).follow(lines[0])
    sealed = Head("0" * 20, 3, writing.head.hex()).seal(KEY)
    assert Head.open(KEY, "0" * 20, sealed).count == 3
    with pytest.raises(ChainError):
        Head.open(KEY, "1" * 20, sealed)
    assert KEY.hex() not in repr(writing)


# -------------------------------------------------------------------------------------------------------------- crashes


def test_what_a_crash_leaves_is_no_fault(tmp_path, record_of):
    record = record_of(flush_seconds=60)
    record.used(use())
    record._flush()
    (path,), (head,) = files(tmp_path), files(tmp_path, ".head")
    older = head.read_bytes()
    record.used(use(1))
    record._flush()
    head.write_bytes(older)  # the lines had reached the disk, the head had not
    with path.open("ab") as file:
        file.write(b'{"n":4,"kind":"us')
    report = audit(tmp_path)
    assert (report.faults, report.uses) == ([], 2)
    assert report.notices[0] == f"{path.name}: the last line is unfinished"
    (tmp_path / "key-use" / f"{record.chain_id}.new").write_bytes(b"")
    assert found(tmp_path) == ""


def test_lines_of_several_workers_come_in_the_order_of_time(tmp_path, record_of):
    records = [record_of(flush_seconds=60) for _ in range(3)]
    for number in range(30):
        records[number % 3].used(use(number))
    for record in records:
        record.close()
    assert [line.entry["request_id"] for line in Audit(tmp_path, KEY, {}).lines()] == [f"{number}" for number in range(30)]


def test_a_folder_without_a_record(tmp_path):
    report = Audit(tmp_path, KEY, {}).verify()
    assert (report.faults, report.chains) == ([], 0)
