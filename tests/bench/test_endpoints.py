"""What ``ENDPOINTS`` may say, and what is said of it when it is wrong."""

from __future__ import annotations

import endpoints
import pytest
import run
from load import BenchError


def test_entries_name_endpoints_and_moto() -> None:
    found, moto = endpoints.parse("one=http://127.0.0.1:9001,KEY,hidden; moto ;two=https://s3.example.org,K2,S2,eu-central-1;")
    assert moto
    assert [(each.name, each.host, each.access_key_id, each.secret_access_key, each.region) for each in found] == [
        ("one", "127.0.0.1:9001", "KEY", "hidden", "us-east-1"),
        ("two", "https://s3.example.org:443", "K2", "S2", "eu-central-1"),
    ]
    assert "hidden" not in repr(found)


def test_nothing_is_named_and_nobody_is_asked() -> None:
    assert endpoints.parse("") == ([], False)


@pytest.mark.parametrize(
    "text",
    [
        "http://127.0.0.1:9001,KEY,hidden",
        "http://127.0.0.1:9001,KEY,hidden=",
        "one=http://127.0.0.1:9001,hidden",
        "one=http://127.0.0.1:port,KEY,hidden",
        "one=ftp://127.0.0.1:9001,KEY,hidden",
        "one=127.0.0.1:9001,KEY,hidden",
        "one=http://127.0.0.1:9001/path,KEY,hidden",
        "one=http://a:b@127.0.0.1:9001,KEY,hidden",
        "one=http://127.0.0.1:9001,KEY,hidden;one=http://127.0.0.1:9002,KEY,hidden",
        "strongroom=http://127.0.0.1:9001,KEY,hidden",
    ],
)
def test_what_is_wrong_is_refused_without_its_secret(text: str) -> None:
    with pytest.raises(BenchError, match="ENDPOINTS") as refused:
        endpoints.parse(text)
    assert "hidden" not in str(refused.value)


def test_others_are_measured_alone_unless_the_whole_is_wanted() -> None:
    def names(arguments: list[str], text: str) -> set[str]:
        return run.chosen_names(run.options(arguments), text)

    assert names([], "") == set(run.NAMES) - {run.COMPARISON}
    assert names([], "moto") == {run.COMPARISON}
    assert names(["--whole"], "moto") == set(run.NAMES)
    assert names(["--only", "get"], "moto") == {"get", run.COMPARISON}
    assert names(["--smoke"], "") == set(run.SMOKE)
    assert names(["--main"], "") == set(run.MAIN)


def test_every_quick_measurement_is_one() -> None:
    assert set(run.SMOKE) | set(run.MAIN) <= set(run.NAMES)
    assert len({measure.name for measure in run.MEASURES}) == len(run.MEASURES)
