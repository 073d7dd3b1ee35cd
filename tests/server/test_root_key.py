"""The forms of the root key: each opens the data it was made with, fits its setting alone, and is changed without touching data."""

from __future__ import annotations

import asyncio
import os
import pty
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from strongroom.config import Config, ConfigError, load, parse_key_form, parse_secret_place
from strongroom.seal import passphrase as sealed_bytes
from strongroom.server import first_start
from strongroom.startup import StartError, folder, sealing
from strongroom.startup import passphrase as passphrases
from strongroom.startup.examination import examine
from strongroom.startup.sealing import MAGIC, change_sealing, ensure_root_key, open_root_key
from tests.seal import slow_passphrase
from tests.server.process import COMMAND, ROOT, Serving, run
from tests.server.test_serving import client, until

PHRASE = "correct horse battery staple"
pytestmark = pytest.mark.timeout(120)


@pytest.fixture(autouse=True)
def _quick(monkeypatch):
    """Less work for those that seal in this process; commands do all of it."""
    real = sealed_bytes.seal
    quick = sealed_bytes.Work(14)

    def seal(magic, words, plain, work=quick, random=os.urandom):
        return real(magic, words, plain, work, random)

    monkeypatch.setattr(sealed_bytes, "seal", seal)


@pytest.fixture
def words(tmp_path):
    return secret_file(tmp_path / "words", PHRASE + "\n")


def secret_file(path, text):
    path.touch(mode=0o600)
    path.write_text(text)
    return path


def descriptor(text):
    reader, writer = os.pipe()
    os.write(writer, text.encode())
    os.close(writer)
    return reader


def begin(config):
    """As a first start does; the root key."""
    form = parse_key_form(config.root_key)
    folder.prepare(config.data_dir, key_elsewhere=not form.in_folder)
    root_key = ensure_root_key(config)
    asyncio.run(first_start(config, root_key))
    return root_key


def opens(data, form):
    return open_root_key(Config(data_dir=data, root_key=form))


# ----------------------------------------------------------------------------------------------------------- the setting


@pytest.mark.parametrize(
    "text",
    [
        "file",
        "passphrase:prompt",
        "passphrase:file:/run/words",
        "passphrase:fd:3",
        "passphrase:env:WORDS",
        "passphrase:credential:words",
        "credential:root-key",
        "fd:3",
    ],
)
def test_forms(text):
    config = load({}, {"STRONGROOM_ROOT_KEY": text}).config
    assert config.root_key == text
    assert parse_key_form(text).in_folder == text.startswith(("file", "passphrase"))


@pytest.mark.parametrize(
    "text",
    [
        "plain",
        "file:",
        "file:/x",
        "passphrase",
        "passphrase:",
        "passphrase:secret words",
        "passphrase:prompt:",
        "passphrase:file:",
        "passphrase:env:STRONGROOM_WORDS",
        "passphrase:env:A=B",
        "passphrase:fd:-1",
        "credential:",
        "credential:..",
        "credential:a/b",
        "fd:x",
        "env:KEY",
    ],
)
def test_what_is_no_form(text):
    with pytest.raises(ConfigError, match="--root-key must"):
        load({"root_key": text}, {})


# ------------------------------------------------------------------------------------------------------------- passphrases


def test_places_of_a_passphrase(tmp_path, words, monkeypatch):
    monkeypatch.setenv("WORDS", PHRASE)
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    number = descriptor(PHRASE + "\r\n")
    for place in (f"file:{words}", f"fd:{number}", "env:WORDS", "credential:words"):
        assert passphrases.passphrase(parse_secret_place(place)) == PHRASE.encode()
    assert "WORDS" not in os.environ
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(number)


def test_only_one_line_break_is_not_part_of_it(tmp_path):
    place = parse_secret_place(f"file:{secret_file(tmp_path / 'two', PHRASE + chr(10) * 2)}")
    assert passphrases.passphrase(place) == PHRASE.encode() + b"\n"


@pytest.mark.parametrize(
    ("place", "text"),
    [
        ("file:{tmp}/none", r"none: No such file or directory"),
        ("file:{tmp}/empty", r"the passphrase from file:.*empty is empty"),
        ("file:{tmp}/open", r"open may be used by others than its owner \(mode 0644\)"),
        ("file:{tmp}/long", r"is longer than 1024 bytes"),
        ("fd:999", r"fd:999: Bad file descriptor"),
        ("env:NOBODY_SET_THIS", r"the environment has no variable NOBODY_SET_THIS"),
        ("credential:none", r"there is no credential none: systemd set no CREDENTIALS_DIRECTORY"),
    ],
)
def test_places_that_give_none(tmp_path, place, text):
    secret_file(tmp_path / "empty", "\n")
    secret_file(tmp_path / "open", PHRASE).chmod(0o644)
    secret_file(tmp_path / "long", "x" * 1025)
    with pytest.raises(StartError, match=text):
        passphrases.passphrase(parse_secret_place(place.format(tmp=tmp_path)))


def test_a_new_one_is_not_short(tmp_path):
    place = parse_secret_place(f"file:{secret_file(tmp_path / 'short', 'ü' * 11)}")
    assert passphrases.passphrase(place)  # an old one may be
    with pytest.raises(StartError, match="is too short: it must have 12 characters or more"):
        passphrases.passphrase(place, new=True)


# ------------------------------------------------------------------------------------------------------------- first start


def test_a_sealed_folder_from_the_first_start(data, words, mode):
    config = Config(data_dir=data, root_key=f"passphrase:file:{words}")
    root_key = begin(config)
    path = data / "root.key"
    assert mode(path) == 0o600
    assert slow_passphrase.unseal(b"SRRK", PHRASE.encode(), path.read_bytes()) == root_key
    for each in data.rglob("*"):
        if each.is_file():
            assert root_key not in each.read_bytes()
            assert root_key.hex().encode() not in each.read_bytes()
    assert open_root_key(config) == root_key == begin(config)


@pytest.mark.parametrize("kind", ["credential", "fd"])
def test_a_key_that_is_never_in_the_folder(data, tmp_path, monkeypatch, kind):
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    secret_file(tmp_path / "rk", "ab" * 32 + "\n")

    def config():
        return Config(data_dir=data, root_key="credential:rk" if kind == "credential" else f"fd:{descriptor('ab' * 32)}")

    assert begin(config()) == bytes.fromhex("ab" * 32)
    assert not (data / "root.key").exists()
    assert begin(config()) == bytes.fromhex("ab" * 32)
    secret_file(tmp_path / "other", "cd" * 32)
    with pytest.raises(StartError, match="not the key this data was made under"):
        begin(Config(data_dir=data, root_key="credential:other"))
    secret_file(tmp_path / "short", "cd" * 31)
    with pytest.raises(StartError, match="credential:short is not a root key"):
        begin(Config(data_dir=data, root_key="credential:short"))


def test_a_strange_folder_is_left_alone_also_with_the_key_elsewhere(data):
    data.mkdir()
    (data / "thesis.tex").touch()
    with pytest.raises(StartError, match="is not empty and is no data folder"):
        folder.prepare(data, key_elsewhere=True)


def test_a_first_start_that_cannot_seal_leaves_no_key(data, tmp_path):
    short = secret_file(tmp_path / "short", "short")
    config = Config(data_dir=data, root_key=f"passphrase:file:{short}")
    with pytest.raises(StartError, match="too short"):
        begin(config)
    assert not list(data.glob("root.key*"))


# --------------------------------------------------------------------------------------------------- a form that does not fit


def test_a_plain_file_is_not_taken_where_a_sealed_one_is_expected(data, words):
    begin(Config(data_dir=data))
    with pytest.raises(StartError, match="is not sealed, but root_key says so"):
        opens(data, f"passphrase:file:{words}")


def test_a_sealed_file_is_not_taken_where_a_plain_one_is_expected(data, words):
    begin(Config(data_dir=data, root_key=f"passphrase:file:{words}"))
    with pytest.raises(StartError, match="is sealed with a passphrase: say where it comes from"):
        opens(data, "file")


@pytest.mark.parametrize(
    ("harm", "text"),
    [
        (lambda data: data[:-1] + bytes([data[-1] ^ 1]), "the passphrase is wrong, or the file was changed"),
        (lambda data: data[:4] + b"\2" + data[5:], "cannot be read by this version: format version 2"),
        (lambda data: data[:6] + b"\x1f" + data[7:], "cannot be read by this version: parameters out of bounds"),
        (lambda data: data[:-3], "is damaged: cut short"),
        (lambda _: sealed_bytes.seal(MAGIC, PHRASE.encode(), b"no root key"), "holds no root key"),
        (lambda _: b"nothing of ours", "is not a root key"),
    ],
)
def test_a_sealed_file_that_was_changed(data, words, harm, text):
    form = f"passphrase:file:{words}"
    begin(Config(data_dir=data, root_key=form))
    path = data / "root.key"
    path.write_bytes(harm(path.read_bytes()))
    with pytest.raises(StartError, match=text):
        opens(data, form)


def test_a_wrong_passphrase(data, words, tmp_path):
    begin(Config(data_dir=data, root_key=f"passphrase:file:{words}"))
    wrong = secret_file(tmp_path / "wrong", "another passphrase")
    with pytest.raises(StartError, match="the passphrase is wrong, or the file was changed") as caught:
        opens(data, f"passphrase:file:{wrong}")
    assert "another" not in str(caught.value)


def test_a_sealed_file_is_for_its_owner_alone_too(data, words):
    begin(Config(data_dir=data, root_key=f"passphrase:file:{words}"))
    (data / "root.key").chmod(0o640)
    with pytest.raises(StartError, match="mode 0640"):
        opens(data, f"passphrase:file:{words}")


# ------------------------------------------------------------------------------------------------------- changing the form


def test_there_and_back_the_key_stays(data, words, tmp_path, monkeypatch):
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    config = Config(data_dir=data)
    root_key = begin(config)
    secret_file(tmp_path / "rk", root_key.hex())
    others = {path: path.read_bytes() for path in data.rglob("*") if path.is_file() and path.name != "root.key"}
    for form in (f"passphrase:file:{words}", "credential:rk", f"passphrase:file:{words}", "file", "credential:rk", "file"):
        change_sealing(config, form, root_key)
        assert opens(data, form) == root_key
        assert (data / "root.key").exists() == parse_key_form(form).in_folder
    assert {path: path.read_bytes() for path in others} == others
    assert not (data / "root.key.new").exists()


def test_another_key_elsewhere_removes_nothing(data, tmp_path, monkeypatch):
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    config = Config(data_dir=data)
    root_key = begin(config)
    secret_file(tmp_path / "rk", "cd" * 32)
    with pytest.raises(StartError, match="credential:rk gives another root key than the one of this data"):
        change_sealing(config, "credential:rk", root_key)
    assert opens(data, "file") == root_key


def test_what_does_not_read_back_replaces_nothing(data, words, monkeypatch):
    config = Config(data_dir=data)
    root_key = begin(config)
    before = (data / "root.key").read_bytes()
    real = Path.read_bytes
    monkeypatch.setattr(Path, "read_bytes", lambda path: real(path)[:-1] + b"\0" if path.suffix == ".new" else real(path))
    with pytest.raises(StartError, match="does not open"):
        change_sealing(config, f"passphrase:file:{words}", root_key)
    monkeypatch.undo()
    assert (data / "root.key").read_bytes() == before
    assert not (data / "root.key.new").exists()


@pytest.mark.parametrize("at", ["fsync", "replace"])
def test_a_crash_leaves_the_old_form_or_the_new_one(data, words, monkeypatch, at):
    config = Config(data_dir=data)
    root_key = begin(config)

    def crash(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(os if at == "fsync" else Path, at, crash)
        with pytest.raises(KeyboardInterrupt):
            change_sealing(config, f"passphrase:file:{words}", root_key)
    assert opens(data, "file") == root_key
    change_sealing(config, f"passphrase:file:{words}", root_key)
    assert opens(data, f"passphrase:file:{words}") == root_key


def test_a_crash_before_the_file_was_removed_is_told_and_mended(data, tmp_path, monkeypatch):
    """The settings name the credential already, and the plain file is still there."""
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    root_key = begin(Config(data_dir=data))
    secret_file(tmp_path / "rk", root_key.hex())
    config = Config(data_dir=data, root_key="credential:rk")
    found = {each.what: each for each in examine(config)}
    assert (found["root key form"].state, found["root key"].state) == ("bad", "good")
    assert sealing.left_in_folder(config) == data / "root.key"
    change_sealing(config, "credential:rk", open_root_key(config))
    found = {each.what: each for each in examine(config)}
    assert (found["root key form"].state, found["root key"].state) == ("good", "good")


# ------------------------------------------------------------------------------------------------------------- by command


def test_a_server_under_a_passphrase(data, words, tmp_path):
    """The workers have the root key from their parent alone: the passphrase file is gone when one has to be started again."""
    form = f"passphrase:file:{words}"
    with Serving(data, "--workers", "2", "--root-key", form, environ=ROOT) as serving:
        assert not any("PLAIN FILE" in line for line in serving.printed)
        s3 = client("s3", serving.url)
        s3.create_bucket(Bucket="sealed")
        s3.put_object(Bucket="sealed", Key="k", Body=b"for your eyes only")
        words.unlink()
        root_key = slow_passphrase.unseal(b"SRRK", PHRASE.encode(), (data / "root.key").read_bytes())
        for process in (serving.process.pid, *serving.workers()):
            for place in ("environ", "cmdline"):
                shown = Path(f"/proc/{process}/{place}").read_bytes()
                assert root_key not in shown
                assert root_key.hex().encode() not in shown
                assert PHRASE.encode() not in shown
        before = serving.workers()
        os.kill(before[0], signal.SIGKILL)
        until(lambda: len(serving.workers()) == 2 and before[0] not in serving.workers(), 40)
        assert client("s3", serving.url).get_object(Bucket="sealed", Key="k")["Body"].read() == b"for your eyes only"
        assert serving.stop() == 0
    done = run("serve", data, "--listen", "127.0.0.1:0", "--root-key", "file")
    assert done.returncode == 1
    assert "is sealed with a passphrase" in done.stderr
    assert done.stderr.count("\n") == 1


def test_the_first_start_says_it_loudly(shared):
    assert any(line.startswith("THE ROOT KEY IS A PLAIN FILE") for line in shared.printed)


def test_a_variable_is_not_handed_on(data):
    environ = {**ROOT, "WORDS": PHRASE, "STRONGROOM_ROOT_KEY": "passphrase:env:WORDS"}
    with Serving(data, environ=environ) as serving:
        for worker in serving.workers():
            assert PHRASE.encode() not in Path(f"/proc/{worker}/environ").read_bytes()
        assert serving.stop() == 0


def test_seal_root_by_command(data, words, tmp_path):
    root_key = begin(Config(data_dir=data))
    done = run("keys", "seal-root", "--to", f"passphrase:file:{words}", "--data", data)
    assert done.returncode == 0, done.stderr
    assert "sealed with the passphrase" in done.stdout
    assert f'root_key = "passphrase:file:{words}"' in done.stderr
    assert opens(data, f"passphrase:file:{words}") == root_key
    key = secret_file(tmp_path / "key", root_key.hex())
    with key.open("rb") as given:
        words_ = [*COMMAND, "keys", "seal-root", "--root-key", f"passphrase:file:{words}", "--to", f"fd:{given.fileno()}"]
        done = subprocess.run(
            [*words_, "--data", str(data)], pass_fds=[given.fileno()], capture_output=True, text=True, timeout=40, check=False
        )
    assert done.returncode == 0, done.stderr
    assert not (data / "root.key").exists()


@pytest.mark.parametrize(
    ("given", "status", "text"),
    [
        (["--to", "somewhere"], 2, "--to must be file, passphrase:…, credential:NAME or fd:N"),
        (["--to", "credential:none"], 1, "there is no credential none"),
        (["--to", "passphrase:prompt"], 1, "there is no terminal to ask for the passphrase of the root key on"),
        (["--to", "file", "--root-key", "passphrase:env:NONE"], 1, "is not sealed, but root_key says so"),
    ],
)
def test_what_cannot_be_done_is_one_line(data, given, status, text):
    begin(Config(data_dir=data))
    before = (data / "root.key").read_bytes()
    done = subprocess.run(
        [*COMMAND, "keys", "seal-root", *given, "--data", str(data)],
        capture_output=True,
        text=True,
        timeout=40,
        check=False,
        start_new_session=True,
    )
    assert (done.returncode, done.stdout) == (status, "")
    assert text in done.stderr
    assert done.stderr.count("\n") == 1
    assert (data / "root.key").read_bytes() == before


def test_a_root_key_of_other_data_is_not_sealed(data, words):
    begin(Config(data_dir=data))
    (data / "root.key").write_text("00" * 32)
    done = run("keys", "seal-root", "--to", f"passphrase:file:{words}", "--data", data)
    assert done.returncode == 1
    assert "not the key this data was made under" in done.stderr
    assert (data / "root.key").read_text() == "00" * 32


def test_at_a_prompt(data):
    root_key = begin(Config(data_dir=data))
    ours, theirs = pty.openpty()
    command = [*COMMAND, "keys", "seal-root", "--to", "passphrase:prompt", "--data", str(data)]
    script = f"import os,fcntl,termios;os.setsid();fcntl.ioctl(0,termios.TIOCSCTTY,0);os.execv({command[0]!r},{command!r})"
    process = subprocess.Popen([sys.executable, "-c", script], stdin=theirs, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    os.close(theirs)
    seen = b""
    for asked in (b"New passphrase of the root key: ", b"Once more: "):
        while asked not in seen:
            seen += os.read(ours, 1000)
        os.write(ours, PHRASE.encode() + b"\n")
    out, err = process.communicate(timeout=60)
    os.close(ours)
    assert process.returncode == 0, err
    assert b"sealed with the passphrase" in out
    assert PHRASE.encode() not in seen
    assert slow_passphrase.unseal(b"SRRK", PHRASE.encode(), (data / "root.key").read_bytes()) == root_key
