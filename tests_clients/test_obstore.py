"""obstore (the object_store of Rust): parts, ranges, conditions, attributes, listings by pages, bulk deletes, links."""

from __future__ import annotations

import datetime as dt

import obstore
import pytest
from obstore.exceptions import AlreadyExistsError, PreconditionError
from obstore.store import S3Store

from tests.clients.setups import run_python
from tests_clients.house import MIB, fetch


@pytest.fixture
def store(server, bucket, at_home):
    return run_python("obstore", server, bucket.name)["store"]


def test_parts_and_ranges(store, bucket, files):
    data, name = files["deep er/large"], "deep er/ü + ñ & 50%"
    obstore.put(store, name, data, attributes={"Content-Type": "text/plain", "note": "of two"}, chunk_size=5 * MIB)
    assert bucket.read(name) == data
    head = bucket.head(name)
    assert (head["ETag"][-3:], head["ContentType"], head["Metadata"]) == ('-5"', "text/plain", {"note": "of two"})
    got = obstore.get(store, name)
    assert (got.attributes["Content-Type"], got.meta["size"], bytes(got.bytes())) == ("text/plain", len(data), data)
    across = 5 * MIB - 3
    assert bytes(obstore.get_range(store, name, start=across, length=100)) == data[across:][:100]
    parts = obstore.get_ranges(store, name, starts=[0, across, len(data) - 9], lengths=[5, 7, 9], coalesce=0)
    assert [bytes(part) for part in parts] == [data[:5], data[across:][:7], data[-9:]]
    reader = obstore.open_reader(store, name)
    reader.seek(across)
    assert bytes(reader.read(10)) == data[across:][:10]
    reader.close()
    with obstore.open_writer(store, "written", buffer_size=6 * MIB) as writer:
        writer.write(data)
    assert bucket.read("written") == data
    obstore.put(store, "tagged", b"x", tags={"team": "of two"})
    assert bucket.s3.get_object_tagging(Bucket=bucket.name, Key="tagged")["TagSet"] == [{"Key": "team", "Value": "of two"}]
    obstore.copy(store, name, "copied ü")
    obstore.rename(store, "copied ü", "renamed ü")
    assert bucket.read("renamed ü") == data
    assert "copied ü" not in bucket.listed()
    signed = obstore.sign(store, "GET", name, dt.timedelta(minutes=1))
    assert fetch(signed) == data
    bucket.assert_sealed()


def test_conditions(store, bucket, at_home):
    """The set-up has put two objects, one of them only if it is new."""
    assert (bucket.read("one.txt"), bucket.read("two.txt")) == (b"once more", b"only if new")
    with pytest.raises(AlreadyExistsError):
        obstore.put(store, "two.txt", b"no", mode="create")
    known = obstore.head(store, "two.txt")["e_tag"]
    obstore.put(store, "two.txt", b"newer", mode={"e_tag": known})
    with pytest.raises(PreconditionError):
        obstore.put(store, "two.txt", b"no", mode={"e_tag": known})
    with pytest.raises(PreconditionError):
        obstore.get(store, "two.txt", options={"if_match": known})
    again = S3Store(bucket.name, config={"copy_if_not_exists": "multipart"}, client_options={"allow_http": True})
    obstore.copy(again, "two.txt", "three.txt", overwrite=False)
    assert bucket.read("three.txt") == b"newer"
    with pytest.raises(AlreadyExistsError):
        obstore.copy(again, "two.txt", "one.txt", overwrite=False)
    with pytest.raises(FileNotFoundError):
        obstore.get(store, "none")
    bucket.assert_sealed()


def test_many(many, at_home):
    store = S3Store(many.name, client_options={"allow_http": True})
    names = [f"m ü/{name}" for name in many.names]
    assert [each["path"] for page in obstore.list(store, "m ü", chunk_size=400) for each in page] == names
    after = obstore.list(store, "m ü", offset=names[1_000]).collect()
    assert [each["path"] for each in after] == names[1_001:]
    assert obstore.list_with_delimiter(store)["common_prefixes"] == ["m ü"]


def test_deletes(store, bucket):
    names = [f"many ü/{number:02}" for number in range(20)]
    for name in names:
        obstore.put(store, name, b"x")
    obstore.delete(store, [*names, "two.txt"])
    assert bucket.listed() == ["one.txt"]
