from __future__ import annotations

import pytest

from strongroom.api.operation import Answer, Call, Need, Operation, Register, operation


class Room:
    @operation("s3", "GetObject", "s3:GetObject", on="object", with_version="s3:GetObjectVersion")
    @operation("s3", "HeadObject", "s3:GetObject", on="object")
    async def read(self, call: Call) -> Answer:
        return Answer({"VersionId": str(id(self))})


class Careless:
    @operation("s3", "PutObject", "", on="object")
    async def write(self, call: Call) -> Answer:
        return Answer()


def test_what_is_marked_is_found_with_its_need() -> None:
    register = Register([Room()])
    found = register.find("s3", "GetObject")
    assert found is not None
    assert found.need == Need("s3:GetObject", "object", "s3:GetObjectVersion")
    assert register.find("s3", "PutObject") is None
    assert register.find("kms", "GetObject") is None
    assert {each.name for each in register} == {"GetObject", "HeadObject"}


def test_no_operation_runs_twice_or_without_a_need() -> None:
    with pytest.raises(ValueError, match="two runs"):
        Register([Room(), Room()])
    with pytest.raises(ValueError, match="no need"):
        Register([Careless()])
    register = Register([])
    register.add(Operation("s3", "GetObject", Need("s3:GetObject", "object"), Room().read))
    with pytest.raises(ValueError, match="two runs"):
        register.add(Operation("s3", "GetObject", Need("s3:GetObject", "object"), Room().read))
