"""Parquet: pyarrow and DuckDB write it, by parts when it is large, and read columns and row groups of it as ranges."""

# ruff: noqa: S608 - the names in these queries are our own

from __future__ import annotations

import random

import pyarrow as pa
import pytest
from pyarrow import dataset, parquet
from pyarrow.fs import FileSelector, FileType

from tests.clients.setups import run_python
from tests_clients.house import statuses

ROWS = 120_000


@pytest.fixture(scope="module")
def table():
    draw = random.Random(5)
    noise = [draw.randbytes(90).hex() for _ in range(ROWS)]  # about 12 MB, so that what is written goes by parts
    return pa.table({"id": range(ROWS), "word": [f"wörd {number % 977}" for number in range(ROWS)], "noise": noise})


@pytest.fixture
def arrow(server, bucket, table, at_home):
    return run_python("pyarrow", server, bucket.name, table=table)


def test_pyarrow(arrow, server, bucket, table):
    s3, root = arrow["s3"], bucket.name
    assert arrow["ids"].column("id").to_pylist() == list(range(11, ROWS))
    assert set(statuses(server, "GetObject", root, "table.parquet")) == {206}  # nothing has asked for the whole
    assert bucket.head("table.parquet")["ETag"].endswith('-3"')
    assert parquet.read_table(f"{root}/table.parquet", filesystem=s3).equals(table)
    dataset.write_dataset(
        table, f"{root}/sét of/it", filesystem=s3, format="parquet", max_rows_per_file=30_000, max_rows_per_group=5_000
    )
    read = dataset.dataset(f"{root}/sét of/it", filesystem=s3)
    assert (read.count_rows(), len(read.files)) == (ROWS, 4)
    some = read.to_table(filter=dataset.field("id") == 77_777)
    assert some.equals(table.slice(77_777, 1))
    s3.copy_file(f"{root}/table.parquet", f"{root}/copy")
    s3.move(f"{root}/copy", f"{root}/moved")
    assert s3.get_file_info(f"{root}/moved").size == bucket.head("table.parquet")["ContentLength"]
    with s3.open_output_stream(f"{root}/stream", metadata={"Content-Type": "text/plain"}) as stream:
        stream.write(b"once more")
    assert (bucket.read("stream"), bucket.head("stream")["ContentType"]) == (b"once more", "text/plain")
    with s3.open_input_file(f"{root}/table.parquet") as file:
        assert file.read_at(4, 0) == b"PAR1"
    bucket.assert_sealed()
    s3.delete_dir_contents(root)
    assert s3.get_file_info(FileSelector(root)) == []
    assert s3.get_file_info(f"{root}/moved").type == FileType.NotFound


@pytest.fixture
def duck(server, bucket, arrow, extension):
    names = run_python("DuckDB", server, bucket.name)
    yield names
    names["db"].close()


def test_duckdb(duck, server, bucket, table):
    db, root = duck["db"], f"s3://{bucket.name}"
    assert duck["rows"] == [(number, f"wörd {number % 977}") for number in range(11, ROWS)]
    db.execute(
        f"COPY (SELECT id, md5(id::VARCHAR) AS h, noise FROM '{root}/table.parquet') TO '{root}/öut.parquet' (FORMAT parquet)"
    )
    assert set(statuses(server, "GetObject", bucket.name, "table.parquet")) == {206}
    assert db.sql(f"SELECT count(*), count(DISTINCT h), min(noise) FROM '{root}/öut.parquet'").fetchall() == [
        (ROWS, ROWS, min(table.column("noise").to_pylist()))
    ]
    db.execute(
        f"COPY (SELECT id % 3 AS third, id FROM '{root}/table.parquet') TO '{root}/thirds' (FORMAT parquet, PARTITION_BY (third))"
    )
    counted = f"SELECT third, count(*) FROM read_parquet('{root}/thirds/**/*.parquet', hive_partitioning = true) GROUP BY ALL ORDER BY ALL"
    assert db.sql(counted).fetchall() == [(third, ROWS // 3) for third in range(3)]
    bucket.assert_sealed()
