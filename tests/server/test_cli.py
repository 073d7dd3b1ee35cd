from __future__ import annotations

import json

import pytest

from strongroom import __version__
from tests.server.process import ROOT, run


@pytest.fixture(scope="module")
def stopped(tmp_path_factory):
    """A data folder with an account, on which no server runs."""
    import asyncio
    import os

    from strongroom.config import load
    from strongroom.server import first_start
    from strongroom.startup import folder
    from strongroom.startup.sealing import ensure_root_key

    path = tmp_path_factory.mktemp("stopped") / "data"
    os.umask(0o077)
    folder.prepare(path)
    config = load({"data_dir": path}, ROOT).config
    asyncio.run(first_start(config, ensure_root_key(config)))
    (path / "root-credentials").unlink()
    return path


def refused(done, status):
    """The one line that was printed."""
    assert done.returncode == status
    assert done.stdout == ""
    assert done.stderr.startswith("strongroom: ")
    assert done.stderr.count("\n") == 1
    return done.stderr.removeprefix("strongroom: ").rstrip("\n")


def test_version():
    assert run("version").stdout == run("--version").stdout == f"{__version__}\n"


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (["serv"], "No such command"),
        (["serve", "--worker", "2"], "No such option"),
        (["serve", "--workers", "many"], "--workers"),
        (["serve", "--workers", "0"], "--workers must be a whole number from 1 to 64"),
        (["serve", "--listen", "9000"], "--listen must be HOST:PORT"),
        (["serve", "a", "--data", "b"], "two data folders were given"),
        (["account", "create"], "NAME"),
    ],
)
def test_what_was_asked_wrongly_is_one_line_and_status_2(words, text):
    assert text.lower() in refused(run(*words), 2).lower()


def test_an_unknown_setting_is_one_line_and_status_2():
    assert refused(run("config", environ={"STRONGROOM_PORT": "1"}), 2) == "unknown setting STRONGROOM_PORT in the environment"


def test_config_tells_values_and_sources_without_secrets(tmp_path):
    file = tmp_path / "s.toml"
    file.write_text('log_level = "error"')
    done = run("config", "--config", file, "--json", environ={**ROOT, "STRONGROOM_WORKERS": "3"})
    shown = json.loads(done.stdout)
    assert shown["log_level"] == {"value": "error", "source": str(file)}
    assert shown["workers"] == {"value": "3", "source": "environment"}
    assert shown["listen"] == {"value": "127.0.0.1:9000", "source": "default"}
    assert not any(value in done.stdout for value in ROOT.values())
    table = run("config", environ=ROOT).stdout
    assert not any(value in table for value in ROOT.values())
    assert "loopback" in table


def test_accounts_are_made_and_listed_without_a_server(stopped):
    chosen = {
        "--id": "444455556666",
        "--canonical-id": "ab" * 32,
        "--email": "two@example.com",
        "--access-key-id": "AKIATWOTWOTWOTWOTWOT",
        "--secret-access-key": "s" * 40,
    }
    made = json.loads(run("account", "create", "two", *sum(chosen.items(), ()), "--json", "--data", stopped).stdout)
    assert (made["account_id"], made["canonical_id"], made["email"], made["access_key_id"], made["secret_access_key"]) == tuple(
        chosen.values()
    )
    assert refused(run("account", "create", "two", "--data", stopped), 1) == "another account has that account name already"
    assert "account id" in refused(run("account", "create", "three", "--id", "12", "--data", stopped), 1)
    listed = run("account", "list", environ={"STRONGROOM_DATA_DIR": str(stopped)}).stdout
    assert "444455556666" in listed
    assert "s" * 40 not in listed
    assert {"root", "two"} <= {each["name"] for each in json.loads(run("account", "list", "--json", "--data", stopped).stdout)}


def test_a_secret_may_come_by_standard_input(stopped):
    import subprocess

    from tests.server.process import COMMAND

    words = ["account", "create", "quiet", "--secret-access-key", "-", "--access-key-id", "AKIAQUIETQUIETQUIETQ"]
    done = subprocess.run(
        [*COMMAND, *words, "--json", "--data", str(stopped)],
        input="q" * 40 + "\n",
        capture_output=True,
        text=True,
        timeout=40,
        check=True,
    )
    assert json.loads(done.stdout)["secret_access_key"] == "q" * 40


def test_commands_make_no_folder(tmp_path):
    text = refused(run("account", "list", "--data", tmp_path / "none"), 1)
    assert "holds no data of Strongroom's" in text
    assert list(tmp_path.iterdir()) == []


def states(done):
    return {each["what"]: each["state"] for each in json.loads(done.stdout)}


def test_doctor_finds_nothing_wrong(stopped):
    done = run("doctor", "--json", "--data", stopped)
    assert done.returncode == 0
    found = states(done)
    assert found.pop("root key form") == "notice"  # a plain file
    assert set(found.values()) == {"good"}
    assert {
        "permissions",
        "catalog file",
        "root key",
        "service keys",
        "accounts",
        "free space",
        "reserve",
        "leftovers",
        "server",
    } <= set(found)


def test_doctor_sees_a_running_server_and_what_it_left(shared):
    done = run("doctor", "--data", shared.folder)
    assert done.returncode == 0
    assert "is running" in done.stdout
    assert "still holds the root credentials" in done.stdout


@pytest.mark.parametrize(
    ("harm", "what"),
    [
        (lambda path: (path / "root.key").chmod(0o644), "permissions"),
        (lambda path: (path / "root.key").write_text("00" * 32), "root key"),
        (lambda path: (path / "root.key").unlink(), "data folder"),
        (lambda path: (path / "catalog.sqlite").write_bytes(b"no catalog" * 1000), "catalog file"),
    ],
    ids=["mode", "wrong key", "no key", "no catalog"],
)
def test_doctor_finds_what_is_wrong(stopped, tmp_path, harm, what):
    import shutil

    path = tmp_path / "data"
    shutil.copytree(stopped, path)
    path.chmod(0o700)
    harm(path)
    done = run("doctor", "--json", "--data", path)
    assert done.returncode == 1
    assert states(done)[what] == "bad"


def test_a_server_that_cannot_start_says_why_in_one_line(stopped, tmp_path):
    import shutil

    path = tmp_path / "data"
    shutil.copytree(stopped, path)
    (path / "root.key").write_text("00" * 32)
    assert refused(run("serve", path, "--listen", "127.0.0.1:0"), 1) == (
        "root.key is not the key this data was made under: put the right root.key back"
    )
    (path / "root.key").unlink()
    assert "is missing" in refused(run("serve", path, "--listen", "127.0.0.1:0"), 1)
