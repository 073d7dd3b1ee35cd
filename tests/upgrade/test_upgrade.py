"""Folders that earlier programs wrote (see ``making``) are read by this one: every answer they gave is given again, and all is clean."""

from __future__ import annotations

import json
import shutil
import sqlite3
import tarfile
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from strongroom.store.texts import FORMAT
from tests.clients.house import Account, Server
from tests.server.process import here, run
from tests.upgrade.making import FOLDERS, OWNER, given, plain

KEPT = sorted(path.name.removesuffix(".tar.xz") for path in FOLDERS.glob("*.tar.xz"))


def unpacked(name: str, folder: Path) -> list[dict[str, Any]]:
    """The data folder in ``folder/data``; what was asked of its program."""
    chosen = {"filter": "data"} if hasattr(tarfile, "data_filter") else {}  # which Debian 12's Python has not
    shutil.unpack_archive(FOLDERS / f"{name}.tar.xz", folder, **chosen)
    return json.loads((folder / "asked.json").read_bytes())


def within(earlier: Any, now: Any) -> bool:
    """Whether an answer says all that it said then; a later program may add members."""
    if isinstance(earlier, dict) and isinstance(now, dict):
        return all(name in now and within(member, now[name]) for name, member in earlier.items())
    if isinstance(earlier, list) and isinstance(now, list):
        return len(earlier) == len(now) and all(map(within, earlier, now))
    return earlier == now


def answered(client: Any, one: dict[str, Any]) -> Any:
    try:
        return plain(getattr(client, one["operation"])(**given(one["given"])))
    except ClientError as error:
        return str(error)


def named_by_policies(server: Server, iam: Any, ciphertexts: list[dict[str, Any]]) -> None:
    """A user whom a key policy, a grant and a trust policy of that time name may still what they allow."""
    made = iam.create_access_key(UserName="someone")["AccessKey"]
    someone = Account(OWNER.account_id, made["AccessKeyId"], made["SecretAccessKey"])
    kms, sts = (server.client(service, someone) for service in ("kms", "sts"))
    assert ciphertexts
    for one in ciphertexts:
        assert kms.decrypt(**given(one))["Plaintext"] in {b"before", b"after"}
    role = f"arn:aws:iam::{OWNER.account_id}:role/duty"
    assert sts.assume_role(RoleArn=role, RoleSessionName="later")["Credentials"]
    kms.close()
    sts.close()


@pytest.mark.parametrize("name", KEPT)
def test_a_folder_of_an_earlier_program_is_read_as_it_was(tmp_path, name):
    asked = unpacked(name, tmp_path)
    server = Server(tmp_path, owner=OWNER)
    server.start()
    try:
        clients = {service: server.client(service) for service in ("s3", "kms", "iam")}
        differing = []
        for one in asked:
            answer = answered(clients[one["service"]], one)
            if not within(one["answer"], answer):
                differing.append((one["operation"], one["given"], one["answer"], answer))
        assert not differing, differing
        for bucket in ("first", "second"):  # and written to as any other
            clients["s3"].put_object(Bucket=bucket, Key="plain", Body=b"later")
            assert clients["s3"].get_object(Bucket=bucket, Key="plain")["Body"].read() == b"later"
        if any(one["operation"] == "get_user" for one in asked):
            named_by_policies(server, clients["iam"], [one["given"] for one in asked if one["operation"] == "decrypt"])
        for client in clients.values():
            client.close()
        server.stop()
        assert "internal error" not in server.log.read_text("utf-8")
    finally:
        server.close()
    checked = here("verify", "--data", tmp_path / "data")
    assert checked.returncode == 0, checked.stdout + checked.stderr
    audited = here("audit", "verify", "--data", tmp_path / "data")
    assert audited.returncode == 0, audited.stdout + audited.stderr


def test_there_are_folders_to_read():
    assert len(KEPT) >= 5


def test_a_folder_of_a_newer_program_is_refused_and_left_as_it_is(tmp_path):
    unpacked(KEPT[0], tmp_path)
    data = tmp_path / "data"
    with closing(sqlite3.connect(data / "catalog.sqlite")) as catalog:
        catalog.execute("UPDATE about SET content = ? WHERE name = 'format'", (str(FORMAT + 1),))
        catalog.commit()
    before = (data / "catalog.sqlite").read_bytes()
    for words in (("serve", data, "--listen", "127.0.0.1:0"), ("verify", "--data", data)):
        refusal = run(*words)
        assert refusal.returncode == 1
        assert f"has format {FORMAT + 1}; this Strongroom reads format {FORMAT}: a newer one is needed" in refusal.stderr
        assert "Traceback" not in refusal.stderr
    assert (data / "catalog.sqlite").read_bytes() == before
