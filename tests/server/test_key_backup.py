"""Key backups by command: what is lost comes back, what is there stays, and the drill tells a backup that opens everything."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from strongroom.config import Config
from strongroom.seal import passphrase as sealed_bytes
from strongroom.startup import StartError, key_backup
from strongroom.startup.key_backup import MAGIC, Backup, Document
from strongroom.startup.sealing import open_root_key
from strongroom.store.sqlite import SqliteCatalog
from tests.seal import slow_passphrase
from tests.server.process import COMMAND, ROOT, Serving, run
from tests.server.test_root_key import secret_file
from tests.server.test_serving import client

PHRASE = "correct horse battery staple"
pytestmark = pytest.mark.timeout(180)


@pytest.fixture(scope="module")
def house(tmp_path_factory):
    """A data folder with objects of each kind, a rotated key and an alias, its backup, and what to ask of it."""
    place = tmp_path_factory.mktemp("backed")
    data, file, words = place / "data", place / "keys.backup", secret_file(place / "words", PHRASE + "\n")
    with Serving(data, environ=ROOT) as serving:
        kms, s3 = client("kms", serving.url), client("s3", serving.url)
        key = kms.create_key()["KeyMetadata"]["Arn"]
        kms.create_alias(AliasName="alias/gone", TargetKeyId=key)
        sealed = kms.encrypt(KeyId=key, Plaintext=b"a secret")["CiphertextBlob"]
        kms.rotate_key_on_demand(KeyId=key)
        s3.create_bucket(Bucket="house")
        s3.put_object(Bucket="house", Key="plain", Body=b"one")
        s3.put_object(Bucket="house", Key="kms", Body=b"two", ServerSideEncryption="aws:kms", SSEKMSKeyId=key)
        s3.put_object(Bucket="house", Key="dsse", Body=b"three", ServerSideEncryption="aws:kms:dsse", SSEKMSKeyId=key)
        s3.put_object(
            Bucket="house", Key="bucket-key", Body=b"four", ServerSideEncryption="aws:kms", SSEKMSKeyId=key, BucketKeyEnabled=True
        )
        s3.create_multipart_upload(Bucket="house", Key="unfinished", ServerSideEncryption="aws:kms", SSEKMSKeyId=key)
        done = run("keys", "backup", file, "--passphrase", f"file:{words}", "--data", data)
        assert done.returncode == 0, done.stderr
        assert "It was opened again and is complete." in done.stdout
        assert serving.stop() == 0
    return House(data, file, words, key, sealed)


class House:
    def __init__(self, data, file, words, key, sealed):
        self.data, self.file, self.words, self.key, self.sealed = data, file, words, key, sealed

    def copy(self, tmp_path):
        path = tmp_path / "data"
        shutil.copytree(self.data, path)
        path.chmod(0o700)
        return path

    def command(self, name, *more, data, file=None):
        words = ("--passphrase", f"file:{self.words}")
        return run("keys", name, file or self.file, *words, "--data", data, *more)


def documents(data, kind):
    async def read():
        catalog = SqliteCatalog.open(data)
        try:
            return dict(await catalog.documents(kind, limit=100))
        finally:
            await catalog.close()

    return asyncio.run(read())


def change(data, *changes):
    """Each: scope, kind, value."""

    async def write():
        catalog = SqliteCatalog.open(data)
        try:
            await catalog.write(lambda transaction: [transaction.set_document(*each) for each in changes])
        finally:
            await catalog.close()

    asyncio.run(write())


def serves_everything(house, data):
    with Serving(data, environ=ROOT) as serving:
        s3, kms = client("s3", serving.url), client("kms", serving.url)
        for name, body in (("plain", b"one"), ("kms", b"two"), ("dsse", b"three"), ("bucket-key", b"four")):
            assert s3.get_object(Bucket="house", Key=name)["Body"].read() == body
        assert kms.decrypt(CiphertextBlob=house.sealed)["Plaintext"] == b"a secret"
        assert serving.stop() == 0


# ---------------------------------------------------------------------------------------------------------------- the file


def test_what_is_in_the_file(house, mode):
    """Read by the page's reader and json alone."""
    assert mode(house.file) == 0o600
    found = json.loads(slow_passphrase.unseal(b"SRBK", PHRASE.encode(), house.file.read_bytes()))
    assert found["format"] == 1
    assert bytes.fromhex(found["root_key"]) == open_root_key(Config(data_dir=house.data))
    held = {(each["kind"], each["scope"]): each["value"] for each in found["documents"]}
    for kind in ("root-key-check", "service-key", "kms-key", "account", "account-name", "canonical-id", "access-key"):
        for scope, value in documents(house.data, kind).items():
            assert held[kind, scope] == value
    assert len({kind for kind, _ in held}) >= 8
    assert found["root_key"].encode() not in house.file.read_bytes()


def test_a_file_is_not_replaced_by_mistake(house, tmp_path):
    file = tmp_path / "there"
    file.write_text("precious")
    done = house.command("backup", data=house.data, file=file)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == f"strongroom: {file} exists already: name another file, or replace it with --force\n"
    assert file.read_text() == "precious"
    assert house.command("backup", "--force", data=house.data, file=file).returncode == 0
    assert file.read_bytes().startswith(MAGIC)
    assert [path.name for path in tmp_path.iterdir()] == ["there"]


def test_a_short_passphrase_is_refused(house, tmp_path):
    short = secret_file(tmp_path / "short", "short")
    done = run("keys", "backup", tmp_path / "b", "--passphrase", f"file:{short}", "--data", house.data)
    assert done.returncode == 1
    assert "is too short" in done.stderr
    assert not (tmp_path / "b").exists()


HARM = {
    "truncated": (lambda data: data[:-10], "is damaged: cut short, or longer than it says"),
    "cut in the header": (lambda data: data[:30], "is damaged: cut short"),
    "longer": (lambda data: data + b"\0", "is damaged: cut short, or longer than it says"),
    "changed": (
        lambda data: data[:-1] + bytes([data[-1] ^ 1]),
        "does not open: the passphrase is wrong, or the file was changed",
    ),
    "foreign": (lambda _: b"PK\3\4" + bytes(100), "is not a key backup of Strongroom's: another kind of file"),
    "empty": (lambda _: b"", "is not a key backup of Strongroom's: another kind of file"),
    "a root key": (lambda data: b"SRRK" + data[4:], "is not a key backup of Strongroom's: another kind of file"),
    "newer": (lambda data: data[:4] + b"\2" + data[5:], "cannot be read by this version of Strongroom: format version 2"),
    "too much work": (
        lambda data: data[:6] + b"\x1f" + data[7:],
        "cannot be read by this version of Strongroom: parameters out of bounds",
    ),
    "newer inside": (
        lambda _: sealed_bytes.seal(MAGIC, PHRASE.encode(), b'{"format":2}', sealed_bytes.Work(14)),
        "cannot be read by this version of Strongroom: format 2",
    ),
    "nonsense inside": (
        lambda _: sealed_bytes.seal(MAGIC, PHRASE.encode(), b"hello", sealed_bytes.Work(14)),
        "is not a key backup of Strongroom's: its contents are not those of a key backup",
    ),
}


@pytest.mark.parametrize("name", HARM)
def test_a_file_that_is_no_good(house, tmp_path, name):
    harm, text = HARM[name]
    file = tmp_path / "file"
    file.write_bytes(harm(house.file.read_bytes()))
    with pytest.raises(StartError) as caught:
        key_backup.read(file, PHRASE.encode)
    assert str(caught.value) == f"{file} {text}"


@pytest.mark.parametrize("name", ["restore", "drill"])
def test_and_by_command_it_is_one_line_and_exit_code_1(house, tmp_path, name):
    file = tmp_path / "file"
    file.write_bytes(b"foreign")
    done = house.command(name, data=tmp_path / "none", file=file)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == f"strongroom: {file} is not a key backup of Strongroom's: another kind of file\n"
    wrong = secret_file(tmp_path / "wrong", "the wrong passphrase")
    done = run("keys", name, house.file, "--passphrase", f"file:{wrong}", "--data", tmp_path / "none")
    assert (done.returncode, done.stdout) == (1, "")
    assert "does not open: the passphrase is wrong, or the file was changed" in done.stderr
    assert done.stderr.count("\n") == 1
    assert not (tmp_path / "none").exists()
    assert run("keys", name, tmp_path / "no", "--passphrase", f"file:{wrong}").returncode == 1
    assert run("keys", name, house.file, "--passphrase", "words").returncode == 2


def test_no_secret_shows_in_a_backup_as_a_value():
    backup = Backup(1, b"\7" * 32, (Document("kms-key", "kms/x", {"secret": "value"}),))
    assert "secret" not in repr(backup)
    assert repr(b"\7") not in repr(backup)


# ---------------------------------------------------------------------------------------------------------------- restoring


def test_a_lost_root_key_comes_back(house, tmp_path, mode):
    data = house.copy(tmp_path)
    (data / "root.key").unlink()
    done = house.command("restore", data=data)
    assert done.returncode == 0, done.stderr
    assert "root key: restored" in done.stdout
    assert mode(data / "root.key") == 0o600
    assert (data / "root.key").read_bytes() == (house.data / "root.key").read_bytes()
    serves_everything(house, data)


def test_in_the_form_that_is_wanted(house, tmp_path):
    data = house.copy(tmp_path)
    (data / "root.key").unlink()
    form = f"passphrase:file:{house.words}"
    assert house.command("restore", "--root-key", form, data=data).returncode == 0
    assert open_root_key(Config(data_dir=data, root_key=form)) == open_root_key(Config(data_dir=house.data))


def test_lost_key_documents_come_back(house, tmp_path):
    data = house.copy(tmp_path)
    lost = {kind: documents(data, kind) for kind in ("service-key", "kms-key", "root-key-check")}
    change(data, *[(scope, kind, None) for kind, found in lost.items() for scope in found])
    account = next(iter(documents(data, "account")))
    change(data, ("kms/x", "kms-alias-unrelated", {"stays": 1}))
    assert house.command("restore", data=data).returncode == 0
    for kind, found in lost.items():
        assert documents(data, kind) == found
    assert account in documents(data, "account")
    serves_everything(house, data)


def test_one_lost_key_comes_back_and_what_was_removed_does_not(house, tmp_path):
    """As an alias and an access key that were deleted after the backup."""
    data = house.copy(tmp_path)
    scope = next(scope for scope in documents(data, "kms-key") if house.key.rpartition("/")[2] in scope)
    access_key = next(iter(documents(data, "access-key")))
    alias = next(scope for scope in documents(data, "kms-alias") if scope.endswith("alias/gone"))
    change(data, (scope, "kms-key", None), (access_key, "access-key", None), (alias, "kms-alias", None))
    done = house.command("restore", data=data)
    assert done.returncode == 0
    assert "kms-key: 1 restored" in done.stdout
    assert "kms-alias: 1 were removed since, and stay so" in done.stdout
    assert "access-key: 1 were removed since, and stay so" in done.stdout
    assert scope in documents(data, "kms-key")
    assert access_key not in documents(data, "access-key")
    assert house.command("restore", "--force", data=data).returncode == 0
    assert access_key in documents(data, "access-key")


def test_a_destroyed_key_stays_destroyed(house, tmp_path):
    data = house.copy(tmp_path)
    scope = next(iter(documents(data, "kms-key")))
    change(data, (scope, "kms-key", None), (scope, "kms-tombstone", {"destroyed_ms": 1}))
    assert "kms-key: 1 were destroyed since, and stay so" in house.command("restore", data=data).stdout
    assert scope not in documents(data, "kms-key")
    assert house.command("restore", "--force", data=data).returncode == 0
    assert scope in documents(data, "kms-key")
    assert scope not in documents(data, "kms-tombstone")


def test_what_differs_stays_unless_it_is_forced(house, tmp_path):
    data = house.copy(tmp_path)
    ((scope, value), *_) = documents(data, "kms-key").items()
    changed = {**value, "description": "changed since"}
    change(data, (scope, "kms-key", changed))
    assert "kms-key: 1 differ and were left" in house.command("restore", data=data).stdout
    assert documents(data, "kms-key")[scope] == changed
    assert "kms-key: 1 replaced" in house.command("restore", "--force", data=data).stdout
    assert documents(data, "kms-key")[scope] == value


def test_newer_key_material_is_never_replaced(house, tmp_path):
    data = house.copy(tmp_path)
    ((scope, value), *_) = documents(data, "kms-key").items()
    rotated = {**value, "materials": [*value["materials"], {**value["materials"][0], "id": "ab" * 32}]}
    change(data, (scope, "kms-key", rotated))
    assert "kms-key: 1 hold newer key material and were left" in house.command("restore", "--force", data=data).stdout
    assert documents(data, "kms-key")[scope] == rotated


def test_into_an_empty_folder(house, tmp_path):
    data = tmp_path / "new"
    done = house.command("restore", data=data)
    assert done.returncode == 0, done.stderr
    assert documents(data, "kms-key") == documents(house.data, "kms-key")
    assert documents(data, "kms-alias") == documents(house.data, "kms-alias")
    with Serving(data, environ=ROOT) as serving:
        assert client("kms", serving.url).decrypt(CiphertextBlob=house.sealed)["Plaintext"] == b"a secret"
        assert serving.stop() == 0


def test_a_strange_folder_is_left_alone(house, tmp_path):
    (tmp_path / "thesis.tex").touch()
    done = house.command("restore", data=tmp_path)
    assert done.returncode == 1
    assert "is not empty and is no data folder of Strongroom's" in done.stderr
    assert not (tmp_path / "root.key").exists()


def test_another_root_key_is_not_replaced_unless_forced(house, tmp_path):
    data = house.copy(tmp_path)
    (data / "root.key").write_text("00" * 32)
    done = house.command("restore", data=data)
    assert done.returncode == 1
    assert "holds another root key than the backup: nothing was restored (--force replaces it)" in done.stderr
    assert (data / "root.key").read_text() == "00" * 32
    assert house.command("restore", "--force", data=data).returncode == 0
    assert open_root_key(Config(data_dir=data)) == open_root_key(Config(data_dir=house.data))


@pytest.mark.parametrize("force", [(), ("--force",)])
def test_a_backup_of_other_data_is_refused(house, shared, tmp_path, force):
    """Forced or not: nothing would open any more."""
    data = tmp_path / "data"
    with Serving(data, environ=ROOT) as serving:
        assert serving.stop() == 0
    before = {kind: documents(data, kind) for kind in ("service-key", "access-key", "root-key-check")}
    root_key = (data / "root.key").read_bytes()
    done = house.command("restore", *force, data=data)
    assert done.returncode == 1
    assert f"the backup is not of the data in {data}: nothing was restored" in done.stderr
    assert {kind: documents(data, kind) for kind in before} == before
    assert (data / "root.key").read_bytes() == root_key


def test_not_beside_a_running_server(house, shared):
    done = house.command("restore", data=shared.folder)
    assert done.returncode == 1
    assert f"another server (process {shared.process.pid}) is running on {shared.folder}" in done.stderr


# ---------------------------------------------------------------------------------------------------------------- the drill


def drilled(house, data, *more):
    done = house.command("drill", "--json", *more, data=data)
    return done.returncode, json.loads(done.stdout)


def test_the_drill_needs_nothing_but_the_backup(house, tmp_path):
    data = house.copy(tmp_path)
    (data / "root.key").unlink()
    status, found = drilled(house, data, "--all")
    assert (status, found["passed"], found["faults"]) == (0, True, [])
    assert (found["service_keys"], found["kms_materials"], found["access_keys"]) == (2, 2, 1)
    assert (found["objects"], found["objects_opened"], found["objects_not_tried"]) == (5, 5, 0)
    assert found["newer_than_the_backup"] == 0
    status, found = drilled(house, data, "--sample", "1")
    assert (status, found["objects"], found["objects_opened"]) == (0, 5, 2)  # the upload is not counted when the steps are chosen


def test_keys_that_are_newer_than_the_backup_are_told(house, tmp_path):
    data = house.copy(tmp_path)
    with Serving(data, environ=ROOT) as serving:
        kms = client("kms", serving.url)
        kms.create_key()
        kms.rotate_key_on_demand(KeyId=house.key)
        status, found = drilled(house, data)
        assert (status, found["newer_than_the_backup"]) == (0, 2)
        assert serving.stop() == 0
    assert "2 keys of the data folder are newer than this backup" in house.command("drill", data=data).stderr


@pytest.mark.parametrize("kind", ["service-key", "kms-key", "access-key"])
def test_what_does_not_open_is_named(house, tmp_path, kind):
    data = house.copy(tmp_path)
    ((scope, value), *_) = documents(data, kind).items()
    text = json.dumps(value)
    for name in ("wrapped", "sealed_secret"):
        for wrapped in {found for each in (value, *value.get("materials", ())) if (found := each.get(name))}:
            text = text.replace(wrapped, "A" * (len(wrapped) - 4) + wrapped[-4:])
    assert text != json.dumps(value)
    change(data, (scope, kind, json.loads(text)))
    status, found = drilled(house, data, "--all")
    assert (status, found["passed"]) == (1, False)
    assert found["faults"]


def test_a_backup_of_other_data_opens_nothing(house, shared):
    done = house.command("drill", data=shared.folder)
    assert done.returncode == 1
    assert "not the key this data was made under" in done.stderr


def test_a_backup_of_a_damaged_folder_is_made_and_told(house, tmp_path):
    data = house.copy(tmp_path)
    ((scope, value), *_) = documents(data, "kms-key").items()
    broken = [{**each, "wrapped": "A" * 80} for each in value["materials"]]
    change(data, (scope, "kms-key", {**value, "materials": broken}))
    done = house.command("backup", data=data, file=tmp_path / "b")
    assert done.returncode == 1
    assert "does not open in the data folder: key material" in done.stderr
    assert (tmp_path / "b").exists()


def test_the_passphrase_by_descriptor(house):
    reader, writer = os.pipe()
    os.write(writer, PHRASE.encode())
    os.close(writer)
    words = [*COMMAND, "keys", "drill", str(house.file), "--passphrase", f"fd:{reader}", "--data", str(house.data)]
    done = subprocess.run(words, pass_fds=[reader], capture_output=True, text=True, timeout=60, check=False)
    os.close(reader)
    assert done.returncode == 0, done.stderr


def test_the_vector(tmp_path):
    """The bytes are opened alike by the page's reader and by ours, and ours writes the same."""
    vector = json.loads((Path(__file__).parent.parent / "vectors" / "key_backup.json").read_text())
    sealed, words = bytes.fromhex(vector["sealed"]), vector["passphrase"].encode()
    assert slow_passphrase.unseal(b"SRBK", words, sealed).decode() == vector["plain"]
    file = tmp_path / "file"
    file.write_bytes(sealed)
    found = key_backup.read(file, lambda: words)
    assert found.encode().decode() == vector["plain"]
    assert [each.scope for each in found.documents] == [each["scope"] for each in json.loads(vector["plain"])["documents"]]
    assert sealed_bytes.seal(MAGIC, words, found.encode(), sealed_bytes.Work(14), lambda size: bytes(range(size))) == sealed
