from __future__ import annotations

import pytest

from strongroom.api.coverage import declared, lines, main, page, render
from strongroom.api.coverage_notes import KEPT, PARTIAL, REFUSED, REFUSING
from strongroom.api.model import SERVICES, operation_names
from strongroom.api.operation import Answer, Call, Register, operation


class Room:
    @operation("s3", "PutObject", "s3:PutObject", on="object")
    async def put_object(self, call: Call) -> Answer:
        raise NotImplementedError

    @operation("s3", "ListBuckets", "s3:ListAllMyBuckets", on="service")
    async def list_buckets(self, call: Call) -> Answer:
        raise NotImplementedError

    @operation("sts", "GetCallerIdentity", "sts:GetCallerIdentity", on="nobody")
    async def get_caller_identity(self, call: Call) -> Answer:
        raise NotImplementedError


def only_built(pairs: set[tuple[str, str]]) -> set[tuple[str, str]]:
    return pairs | set(PARTIAL) | set(REFUSING) | set(KEPT)


def test_every_operation_of_the_models_has_its_line() -> None:
    text = page(only_built(set()))
    for service in SERVICES:
        for name in operation_names(service):
            assert f"| {name} | " in text
    assert "116 operations" not in text  # PostObject and Preflight are S3's as well
    assert "118 operations" in text


def test_what_a_line_says() -> None:
    told = {
        line.operation: line
        for line in lines("s3", frozenset(only_built({("s3", "ListBuckets"), ("s3", "PutBucketLifecycleConfiguration")})))
    }
    assert told["ListBuckets"].state == "done"
    assert told["PutObject"].state == "partial"
    assert told["PutObject"].note == PARTIAL["s3", "PutObject"]
    assert told["PutBucketMetricsConfiguration"].state == "kept"
    assert told["GetObjectTorrent"].state == "refused"
    assert told["GetObjectTorrent"].note == REFUSED["s3", "GetObjectTorrent"]
    of_kms = {line.operation: line for line in lines("kms", frozenset(only_built(set())))}
    assert of_kms["Decapsulate"].state == "not yet"
    assert told["PutBucketLifecycle"].state == told["PutBucketLifecycleConfiguration"].state == "done"
    assert "PutBucketLifecycleConfiguration" in told["PutBucketLifecycle"].note


def test_a_register_is_rendered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("strongroom.api.coverage.PARTIAL", {("s3", "PutObject"): "no SSE-C"})
    monkeypatch.setattr("strongroom.api.coverage.REFUSING", {("s3", "ListBuckets"): "says why"})
    monkeypatch.setattr("strongroom.api.coverage.KEPT", {})
    text = render(iter(Register([Room()])))
    assert "| PutObject | partial | no SSE-C |" in text
    assert "| ListBuckets | refused | says why |" in text
    assert "| GetCallerIdentity | done |  |" in text


def test_notes_speak_of_operations_that_exist_and_do_not_contradict() -> None:
    known = {(service, name) for service in SERVICES for name in operation_names(service)} | {
        ("s3", "PostObject"),
        ("s3", "Preflight"),
    }
    tables = (PARTIAL, KEPT, REFUSED, REFUSING)
    noted = {where for table in tables for where in table}
    assert noted <= known
    assert len(noted) == sum(len(table) for table in tables)
    with pytest.raises(ValueError, match="built and noted as refused"):
        page(only_built({("s3", "GetObjectTorrent")}))
    with pytest.raises(ValueError, match="noted as built"):
        page([])
    with pytest.raises(ValueError, match="in no model"):
        page([("s3", "PutEverything")])


def test_declarations_are_found_and_the_command_needs_packages(capsys: pytest.CaptureFixture[str]) -> None:
    assert ("sts", "GetCallerIdentity") in set(declared(["strongroom.iam"]))
    assert main([]) == 2
    assert "usage" in capsys.readouterr().err
