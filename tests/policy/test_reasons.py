"""How decisions are told: each kind of finding and each reason has its words."""

from __future__ import annotations

import pytest

from strongroom.policy.compiled import Finding
from strongroom.policy.decide import Decision, Reason
from strongroom.policy.faults import Kind
from strongroom.policy.reasons import fields, place, sentence


@pytest.mark.parametrize("kind", Kind)
@pytest.mark.parametrize("verdict", [True, False, None])
def test_every_kind_of_finding_can_be_told(kind, verdict):
    finding = Finding(kind, "P", verdict, 1, "S")
    told = place(finding)
    assert told.endswith("P")
    counted = verdict is not None and kind is not Kind.GRANT
    word = "grant" if kind is Kind.ACL else "statement"
    assert told.startswith(f'{word} 2 ("S") of the ') is counted
    by = {"grant": 2, "gives": "S"} if kind is Kind.ACL else {"statement": 2, "sid": "S"}
    assert fields(finding) == {"policy": "P", "policy_type": kind.value} | (by if counted else {})


@pytest.mark.parametrize("reason", Reason)
def test_every_reason_can_be_told(reason):
    text = sentence(Decision(False, reason), "s3:GetObject")
    assert text
    assert "\n" not in text
    by = Finding(Kind.RESOURCE, "arn:aws:s3:::b", False, 0)
    assert sentence(Decision(False, reason, decided_by=by), "s3:GetObject") == (
        "statement 1 of the bucket policy of arn:aws:s3:::b denies s3:GetObject"
    )
