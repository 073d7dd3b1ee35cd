"""s3fs, as fsspec knows it: trees, files that are written by parts and read by ranges, copies, metadata, versions, links."""

from __future__ import annotations

import fsspec
import pytest
import s3fs

from tests.clients.setups import run_python
from tests_clients.house import MIB, fetch


@pytest.fixture
def fs(server, bucket, files, at_home):
    made = run_python("s3fs", server, bucket.name)["fs"]
    yield made
    s3fs.S3FileSystem.clear_instance_cache()


def test_trees(fs, bucket, files, tmp_path):
    assert sorted(bucket.listed("files/")) == sorted(f"files/{name}" for name in files)
    for name, data in files.items():
        assert bucket.read(f"files/{name}") == data
    assert bucket.read("one.txt") == b"once more"
    bucket.assert_sealed()
    root = bucket.name
    assert sorted(fs.ls(root, detail=False)) == [f"{root}/files", f"{root}/one.txt"]
    assert len(fs.find(f"{root}/files")) == len(files)
    assert fs.glob(f"{root}/files/many/00?") == [f"{root}/files/many/00{digit}" for digit in range(10)]
    assert fs.du(root) == sum(map(len, files.values())) + len(b"once more")
    fs.get(f"{root}/files", str(tmp_path / "back"), recursive=True)
    assert (tmp_path / "back" / "deep er" / "large").read_bytes() == files["deep er/large"]
    fs.copy(f"{root}/files/deep er", f"{root}/cöpied", recursive=True)
    fs.rm(f"{root}/files/deep er", recursive=True)
    assert fs.cat(f"{root}/cöpied/ü + ñ & 50%.bin") == files["deep er/ü + ñ & 50%.bin"]
    assert not fs.exists(f"{root}/files/deep er")
    fs.mv(f"{root}/one.txt", f"{root}/moved.txt")
    assert (bucket.read("moved.txt"), fs.exists(f"{root}/one.txt")) == (b"once more", False)
    fs.rm(root, recursive=True)
    assert not fs.exists(root)


def test_files(fs, bucket, files):
    data, path = files["deep er/large"], f"{bucket.name}/by parts"
    with fs.open(path, "wb", block_size=8 * MIB, Metadata={"note": "of two"}) as file:
        for start in range(0, len(data), 4 * MIB):
            file.write(data[start : start + 4 * MIB])
    assert bucket.head("by parts")["ETag"].endswith('-3"')
    assert fs.metadata(path) == {"note": "of two"}
    with fs.open(path, "rb", block_size=MIB, cache_type="readahead") as file:
        file.seek(8 * MIB - 3)
        assert file.read(100_000) == data[8 * MIB - 3 :][:100_000]
        file.seek(-5, 2)
        assert file.read() == data[-5:]
    ranges = [(0, 3), (5 * MIB, 5 * MIB + 7), (len(data) - 2, len(data))]
    assert fs.cat_ranges([path] * 3, *map(list, zip(*ranges, strict=True))) == [data[start:end] for start, end in ranges]
    with fs.open(path, "ab") as file:  # a copy of what is there becomes the first part
        file.write(b"and an end")
    assert bucket.read("by parts") == data + b"and an end"
    fs.copy(path, f"{bucket.name}/copy", managed_copy_threshold=0)
    fs.setxattr(f"{bucket.name}/copy", mood="calm")
    assert fs.getxattr(f"{bucket.name}/copy", "mood") == "calm"
    assert fetch(fs.sign(path, expiration=60))[:10] == data[:10]
    with pytest.raises(FileExistsError):
        fs.pipe(path, b"no", mode="create")
    with pytest.raises(FileNotFoundError):
        fs.cat(f"{bucket.name}/none")
    with fsspec.open(f"s3://{path}", "rb") as file:  # the environment alone
        assert file.read(4) == data[:4]
    bucket.assert_sealed()


def test_many(fs, bucket, many):
    assert [each.rpartition("/")[2] for each in fs.ls(f"{many.name}/m ü", detail=False)] == many.names
    fs.pipe({f"{bucket.name}/m ü/{number}": b"%d" % number for number in range(20)})
    fs.rm(f"{bucket.name}/m ü", recursive=True)
    assert bucket.listed("m ü/") == []


def test_tags(fs, bucket):
    path = f"{bucket.name}/one.txt"
    fs.put_tags(path, {"team": "letters"})
    fs.put_tags(path, {"of": "zwöi"}, mode="m")
    assert fs.get_tags(path) == {"team": "letters", "of": "zwöi"}


def test_versions(versioned, at_home):
    fs = s3fs.S3FileSystem(version_aware=True, use_listings_cache=False)
    path = f"{versioned.name}/v"
    fs.pipe(path, b"old")
    with fs.open(path, "rb") as file:
        old = file.version_id
        fs.pipe(path, b"new")
        assert file.read() == b"old"  # the one that was opened
    assert fs.cat(path) == b"new"
    with fs.open(path, "rb", version_id=old) as file:
        assert file.read() == b"old"
    fs.rm(path)
    assert not fs.exists(path)
    assert len(fs.object_version_info(path)) == 2  # without the delete marker
    s3fs.S3FileSystem.clear_instance_cache()
