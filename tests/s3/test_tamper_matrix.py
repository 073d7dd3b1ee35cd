"""Each encryption, in each shape that a stored object has, under each attack: an error, and never a wrong byte.

An attack changes the catalog's file and the blobs behind the server's back, and everything that reads is asked. What an attack does is
in ``tamper_matrix.py``, with the errors it must end in; the page ``docs/tamper-matrix.md`` is made from that table.
"""
# ruff: noqa: S608 - column names come from these tests

from __future__ import annotations

import os
from pathlib import Path

import pytest

from strongroom.api.errors import ApiError
from strongroom.s3.metadata import ObjectMeta
from strongroom.seal import SealError
from strongroom.seal.format import decode_manifest
from strongroom.store.contract import Gone
from tests.s3 import tamper_matrix
from tests.s3.tamper_matrix import ATTACKS, BLOB, ENCRYPTIONS, PARTS, ROW
from tests.s3.test_multipart import Upload

COLUMNS = ("version_id", "size", "seal", "meta", "manifest", "body")
SIZES = {ROW: 5_000, BLOB: 250_000, PARTS: 140_000}  # of each part
WHERE = {"old": "k", "new": "k", "other": "other"}


class Stored:
    """Three objects alike: two versions of one key, ``old`` and ``new``, and ``other``, beside them; ``new`` is the victim."""

    def __init__(self, vault, shape, encryption):
        self.vault, self.shape, self.encryption = vault, shape, encryption
        self.bucket = None
        self.data = {}
        self.ids = {}  # of rows in the catalog
        self.versions = {}
        self.good = {}
        self.files = {}

    async def write(self):
        self.bucket = await self.vault.make()
        scope = f"bucket/{self.bucket.bucket_id}"
        await self.vault.catalog.write(lambda tx: tx.set_document(scope, "versioning", {"status": "Enabled"}))
        self.bucket = await self.vault.buckets.find("bucket")
        for who, object_key in WHERE.items():
            self.data[who] = await self._put(object_key)
            ((row_id,),) = self.vault.sql("SELECT max(id) FROM version")
            self.ids[who] = row_id
        self.good = {who: self.columns(who) for who in WHERE}
        self.versions = {who: self.good[who]["version_id"] for who in WHERE}
        self.files = {path: path.read_bytes() for path in self.vault.files}
        self.rows = {who: await self._row(who) for who in WHERE}
        self.head = await self.vault.head("k", **self.encryption.read)

    async def _put(self, object_key):
        size, write = SIZES[self.shape], self.encryption.write
        if self.shape != PARTS:
            data = os.urandom(size)
            await self.vault.put(object_key, data, **write)
            return data
        upload = Upload(self.vault, object_key)
        await upload.create(**write)
        parts = [os.urandom(size), os.urandom(size)]
        for number, part in enumerate(parts, 1):
            await upload.part(number, part, **self.encryption.read)
        await upload.complete()
        return b"".join(parts)

    async def _row(self, who):
        row = await self.vault.catalog.version(self.bucket.bucket_id, WHERE[who], self.versions[who])
        assert row is not None
        return row

    # ---- what attacks use

    def columns(self, who):
        (values,) = self.vault.sql(f"SELECT {', '.join(COLUMNS)} FROM version WHERE id = ?", self.ids[who])
        return dict(zip(COLUMNS, values, strict=True))

    def column(self, who, name):
        return self.columns(who)[name]

    def set_columns(self, who, **columns):
        names = ", ".join(f"{name} = ?" for name in columns)
        self.vault.sql(f"UPDATE version SET {names} WHERE id = ?", *columns.values(), self.ids[who])

    def exchange(self, one, other, columns):
        if "version_id" in columns:
            self.set_columns(other, version_id="in between")  # two rows of a key never have the same
        for who, whose in ((one, other), (other, one)):
            self.set_columns(who, **{name: self.good[whose][name] for name in columns})

    def paths(self, who):
        pieces = decode_manifest(self.good[who]["manifest"])
        return [self.vault.folder / "blobs" / one.blob_id[:2] / one.blob_id[2:4] / one.blob_id for one in pieces]

    def streams(self, who):
        """The sealed bytes of an object as they were written, one for each piece."""
        if self.shape == ROW:
            return [self.good[who]["body"]]
        return [self.files[path] for path in self.paths(who)]

    def set_streams(self, who, streams):
        if self.shape == ROW:
            self.set_columns(who, body=streams[0])
            return
        for path, stream in zip(self.paths(who), streams, strict=True):
            path.unlink(missing_ok=True)
            if stream is not None:
                path.write_bytes(stream)

    def make_record_fit(self, who):
        """As somebody could who has the bucket's metadata key, though no other."""
        meta = ObjectMeta.open(self.bucket, self.rows[who])
        size, seal, manifest = (self.column(who, name) for name in ("size", "seal", "manifest"))
        self.set_columns(
            who, meta=meta.seal(self.bucket, WHERE[who], self.versions[who], size=size, seal=seal, manifest=manifest)
        )

    # ---- what the runner uses

    @property
    def changed(self):
        return {who: self.columns(who) for who in WHERE} != self.good or {
            path: path.read_bytes() for path in self.vault.files
        } != self.files

    def restore(self):
        changed = [who for who in WHERE if self.columns(who) != self.good[who]]
        for who in changed:
            self.set_columns(who, version_id=f"between {who}")
        for who in changed:
            self.set_columns(who, **self.good[who])
        for path, data in self.files.items():
            if not path.exists() or path.read_bytes() != data:
                path.write_bytes(data)

    async def ask(self, operation, **given):
        """What came out, and the error's name or None."""
        data = bytearray()
        try:
            keys = (
                {}
                if operation.startswith("List")
                else self.encryption.source
                if operation == "CopyObject"
                else self.encryption.read
            )
            answer = await self.vault.ask(operation, **{"Bucket": "bucket", "Key": "k"} | keys | given)
            if isinstance(answer.body, bytes | bytearray):
                data += answer.body
            elif answer.body is not None:
                async for piece in answer.body:
                    data += piece
        except ApiError as error:
            return bytes(data), error.code, {}
        except (SealError, Gone) as error:
            return bytes(data), type(error).__name__, {}
        return bytes(data), None, dict(answer.output)

    async def judge(self, label, *, record_fits):
        """The error of reading all of the current version. Everything that reads says an error or the truth."""
        plaintext, version_id = self.data["new"], self.versions["new"]
        data, error, _ = await self.ask("GetObject", VersionId=version_id)
        assert error is not None, label
        assert plaintext.startswith(data), label  # what was sent before it broke off
        data, current, _ = await self.ask("GetObject")
        assert plaintext.startswith(data), label
        assert current is not None, label
        size = len(plaintext)
        for first, last in ((0, 9), (size // 2 - 5, size // 2 + 4), (size - 10, size - 1)):
            data, found, _ = await self.ask("GetObject", VersionId=version_id, Range=f"bytes={first}-{last}")
            assert plaintext[first : last + 1].startswith(data), (label, first)
            assert found is not None or len(data) == 10, (label, first)
        for number in (1, 2) if self.shape == PARTS else (1,):
            data, found, _ = await self.ask("GetObject", VersionId=version_id, PartNumber=number)
            part = plaintext[(number - 1) * SIZES[self.shape] :][: SIZES[self.shape]]
            assert part.startswith(data), label
            assert found is not None or data == part, label
        _, copied, _ = await self.ask("CopyObject", Key="copy", CopySource=f"bucket/k?versionId={version_id}")
        assert copied is not None, label
        assert self.vault.sql("SELECT count(*) FROM version WHERE object_key = ?", b"copy") == [(0,)], label
        if not record_fits:
            _, found, head = await self.ask("HeadObject")
            assert found is not None or head == self.head, label
            _, found, listed = await self.ask("ListObjectsV2")
            if found is None:
                (one,) = [one for one in listed["Contents"] if one["Key"] == "k"]
                assert (one["Size"], one["ETag"]) == (size, self.head["ETag"]), label
        return current


CASES = [
    pytest.param(encryption, shape, attack, id=f"{encryption.name}-{shape}-{attack.name}")
    for encryption in ENCRYPTIONS
    for attack in ATTACKS
    for shape in attack.shapes
]


@pytest.fixture
async def stored(vault, monkeypatch):
    monkeypatch.setattr("strongroom.s3.multipart.LEAST_PART", 1)  # parts of a few segments are as good as large ones
    return lambda shape, encryption: Stored(vault, shape, encryption)


@pytest.mark.parametrize(("encryption", "shape", "attack"), CASES)
async def test_an_attack_is_an_error_and_never_a_wrong_byte(stored, encryption, shape, attack):
    victim = stored(shape, encryption)
    await victim.write()
    found, variants = set(), 0
    for label, record_fits in attack.run(victim):
        if victim.changed:  # two objects may share what is exchanged
            found.add(await victim.judge(label, record_fits=record_fits))
            variants += 1
        victim.restore()
    assert variants
    assert found <= attack.errors(encryption)
    data, error, output = await victim.ask("GetObject")
    assert (data, error, output["ETag"]) == (victim.data["new"], None, victim.head["ETag"])


def test_the_page_is_current():
    written = (Path(__file__).parents[2] / "docs" / "tamper-matrix.md").read_text("utf-8")
    assert written == tamper_matrix.page(), "run  make docs"


@pytest.mark.parametrize("encryption", ENCRYPTIONS, ids=lambda encryption: encryption.name)
async def test_what_is_not_found_out(stored, encryption):
    """An older row put back whole is what it was, and read as such; the page says so."""
    victim = stored(ROW, encryption)
    await victim.write()
    victim.vault.sql("DELETE FROM version WHERE id = ?", victim.ids["new"])
    victim.vault.sql("UPDATE version SET current = 1 WHERE id = ?", victim.ids["old"])
    data, error, _ = await victim.ask("GetObject")
    assert (data, error) == (victim.data["old"], None)
