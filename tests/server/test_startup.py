from __future__ import annotations

import asyncio
import os
import subprocess
import sys

import pytest

from strongroom.config import Config
from strongroom.iam.identities import Identities
from strongroom.server import first_start, free_address
from strongroom.startup import StartError, first_account, folder, self_test
from strongroom.startup.root_key import KIND, SCOPE, Subkeys, check_root_key, ensure_root_key_check
from strongroom.startup.sealing import ensure_root_key, open_root_key
from strongroom.store.sqlite import SqliteCatalog


def begin(data, **settings):
    folder.prepare(data)
    config = Config(data_dir=data, **settings)
    return asyncio.run(first_start(config, ensure_root_key(config)))


async def accounts(data):
    catalog = SqliteCatalog.open(data)
    try:
        return await Identities(catalog, Subkeys.of(open_root_key(Config(data_dir=data))).iam).accounts()
    finally:
        await catalog.close()


# ------------------------------------------------------------------------------------------------------------- the folder


def test_the_folder_is_for_its_owner_alone(data, mode):
    data.mkdir(mode=0o755)
    data.chmod(0o755)
    folder.prepare(data)
    assert mode(data) == 0o700


def test_a_first_start_makes_everything_and_the_second_nothing(data, mode):
    made = begin(data)
    files = {path.name: path.read_bytes() for path in data.iterdir() if path.name in {"root.key", "root-credentials"}}
    assert set(files) == {"root.key", "root-credentials"}
    assert {mode(path) for path in data.iterdir() if path.is_file()} == {0o600}
    assert made.secret_access_key.encode() in files["root-credentials"]
    assert made.secret_access_key not in repr(made)
    assert begin(data) is None
    assert {name: (data / name).read_bytes() for name in files} == files


def test_a_strange_folder_is_left_alone(data, mode):
    data.mkdir(mode=0o755)
    data.chmod(0o755)
    (data / "thesis.tex").touch()
    with pytest.raises(StartError, match="is not empty and is no data folder"):
        folder.prepare(data)
    assert mode(data) == 0o755
    assert [path.name for path in data.iterdir()] == ["thesis.tex"]


def test_a_new_disk_may_hold_lost_and_found(data):
    (data / "lost+found").mkdir(parents=True)
    assert begin(data) is not None


def test_a_file_is_no_folder(data):
    data.touch()
    with pytest.raises(StartError, match="is not a folder"):
        folder.prepare(data)


# ----------------------------------------------------------------------------------------------------------- the root key


def test_a_lost_root_key_is_never_replaced(data):
    begin(data)
    (data / "root.key").unlink()
    for attempt in (folder.prepare, lambda path: ensure_root_key(Config(data_dir=path))):
        with pytest.raises(StartError, match=r"root\.key is missing"):
            attempt(data)
    assert not (data / "root.key").exists()


@pytest.mark.parametrize("left", ["blobs", "root-credentials", "catalog.sqlite"])
def test_any_data_forbids_a_new_root_key(data, left):
    begin(data)
    for path in data.iterdir():
        if path.is_file() and path.name != left:
            path.unlink()
    if left == "blobs":
        (data / "blobs").mkdir()
    with pytest.raises(StartError, match=r"root\.key is missing"):
        folder.prepare(data)


def test_another_root_key_is_refused(data):
    begin(data)
    (data / "root.key").write_text("00" * 32)
    with pytest.raises(StartError, match=r"root\.key is not the key this data was made under") as caught:
        begin(data)
    assert "00" * 4 not in str(caught.value)


@pytest.mark.parametrize("text", [b"", b"00" * 31, b"00" * 33, b"AB" * 32, b"zz" * 32, bytes(32), b"00" * 32 + b"\n\n"])
def test_what_is_no_root_key(data, text):
    begin(data)
    (data / "root.key").write_bytes(text)
    with pytest.raises(StartError, match="is not a root key"):
        open_root_key(Config(data_dir=data))


@pytest.mark.parametrize("bad", [0o640, 0o604, 0o620])
def test_a_root_key_that_others_may_use_is_refused(data, bad):
    begin(data)
    (data / "root.key").chmod(bad)
    with pytest.raises(StartError, match=f"mode 0{bad:o}"):
        open_root_key(Config(data_dir=data))


def test_an_unfinished_root_key_is_forgotten(data):
    data.mkdir()
    (data / "root.key.new").write_text("00")
    begin(data)
    assert not (data / "root.key.new").exists()
    assert len(open_root_key(Config(data_dir=data))) == 32


async def test_a_catalog_with_data_but_without_a_check_is_refused(data):
    key = bytes(32)
    catalog = SqliteCatalog.open(data)
    try:
        with pytest.raises(StartError, match="nothing to check the root key by"):
            await check_root_key(catalog, key)
        await catalog.write(lambda transaction: transaction.set_document("account/1", "account", {}))
        with pytest.raises(StartError, match="it is damaged"):
            await ensure_root_key_check(catalog, key)
        assert await catalog.document(SCOPE, KIND) is None
    finally:
        await catalog.close()


@pytest.mark.parametrize(
    "damaged", [{}, {"format": 2, "sealed": ""}, {"format": 1, "sealed": ""}, {"format": 1, "sealed": 7}, []]
)
async def test_a_damaged_check_is_refused(data, damaged):
    catalog = SqliteCatalog.open(data)
    try:
        await ensure_root_key_check(catalog, bytes(32))
        await check_root_key(catalog, bytes(32))
        await catalog.write(lambda transaction: transaction.set_document(SCOPE, KIND, damaged))
        with pytest.raises(StartError):
            await ensure_root_key_check(catalog, bytes(32))
    finally:
        await catalog.close()


# --------------------------------------------------------------------------------------------------------------- the lock


def test_one_server_at_a_time(data):
    folder.prepare(data)
    assert not folder.server_is_running(data)
    with folder.locked(data):
        assert folder.server_is_running(data)
        with pytest.raises(StartError, match=rf"another server \(process {os.getpid()}\) is running on"), folder.locked(data):
            pass
    assert not folder.server_is_running(data)
    with folder.locked(data):
        pass


# ------------------------------------------------------------------------------------------------------ the first account


def test_the_environment_chooses_the_first_account(data):
    chosen = {"root_access_key_id": "AKIAROOTROOTROOTROOT", "root_secret_access_key": "x'y$z" * 8, "account_id": "111122223333"}
    made = begin(data, **chosen)
    assert (made.access_key_id, made.secret_access_key, made.account_id) == tuple(chosen.values())
    assert first_account._read(data / "root-credentials") == {
        "AWS_ACCESS_KEY_ID": chosen["root_access_key_id"],
        "AWS_SECRET_ACCESS_KEY": chosen["root_secret_access_key"],
        "AWS_ACCOUNT_ID": chosen["account_id"],
    }
    assert begin(data, root_access_key_id="AKIAOTHEROTHEROTHERO", root_secret_access_key="y" * 40) is None
    assert [each.account_id for each in asyncio.run(accounts(data))] == ["111122223333"]


def test_values_no_account_may_have_leave_nothing(data):
    with pytest.raises(StartError, match="the first account"):
        begin(data, root_access_key_id="no good", root_secret_access_key="y" * 40)
    assert not (data / "root-credentials").exists()
    assert asyncio.run(accounts(data)) == []
    assert begin(data) is not None


def test_a_crash_before_the_account_was_made_loses_no_credentials(data, monkeypatch):
    async def crash(*_, **__):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(first_account, "ensure_root", crash)
        with pytest.raises(KeyboardInterrupt):
            begin(data)
    written = (data / "root-credentials").read_bytes()
    made = begin(data)
    assert (data / "root-credentials").read_bytes() == written
    assert made.secret_access_key.encode() in written


# ---------------------------------------------------------------------------------------------------------- the self-test


def test_every_known_answer_is_right():
    assert [outcome.name for outcome in self_test.outcomes() if not outcome.passed] == []
    self_test.require()


@pytest.mark.parametrize("name", list(self_test.CHECKS))
@pytest.mark.parametrize("broken", [lambda: False, lambda: 1 / 0], ids=["wrong", "raises"])
def test_one_wrong_answer_stops_the_start(monkeypatch, name, broken):
    monkeypatch.setitem(self_test.CHECKS, name, broken)
    with pytest.raises(StartError, match=f"self-test failed: {name}:"):
        self_test.require()


def test_a_stream_cipher_that_forgets_to_check_is_found(monkeypatch):
    monkeypatch.setattr(self_test, "open_whole", lambda *_: self_test._PLAIN)
    with pytest.raises(StartError, match="payload stream"):
        self_test.require()


# ------------------------------------------------------------------------------------------------------------ the address


def test_a_port_is_chosen():
    host, port = free_address("localhost", 0)
    assert host == "127.0.0.1"
    assert port


def test_a_host_that_is_not_here():
    with pytest.raises(StartError, match=r"cannot listen on http://192\.0\.2\.1:9000"):
        free_address("192.0.2.1", 9000)


# -------------------------------------------------------------------------------------------------------- what a start costs


@pytest.mark.parametrize(
    ("process", "imported", "left_out"),
    [
        (
            "parent",
            "strongroom.__main__, strongroom.cli.main, strongroom.server",
            "botocore strongroom.house strongroom.s3.writing",
        ),
        ("worker", "strongroom.__main__, strongroom.server, strongroom.worker", "strongroom.cli.main typer"),
    ],
)
def test_no_process_of_a_server_imports_what_it_can_do_without(process, imported, left_out):
    """Imports are nearly all of a start: these would be a third of it or more. Statements come compiled."""
    program = f"import sys, {imported}; print(*sys.modules)"
    found = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=50).stdout.split()
    assert "strongroom.server" in found, process
    assert not {"sqlalchemy", "rich", *left_out.split()} & set(found), process
