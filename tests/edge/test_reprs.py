"""What an exception's text, a log line or a debugger could show of what passes through: never a secret."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from strongroom.api.encoded import Encoded
from strongroom.api.operation import Answer
from strongroom.api.post_form import Form
from strongroom.api.routing import Route
from strongroom.edge.claims import Claim
from strongroom.edge.condition_values import RequestValues
from strongroom.edge.head import Head, Reply
from strongroom.iam.credentials import ANONYMOUS
from strongroom.kms.at_hand import Judged, KeyAtHand, SharedAtHand
from strongroom.kms.blob import Blob
from strongroom.kms.key_use import Alike
from strongroom.kms.names import KeyName
from strongroom.kms.records import KeyRecord, Material
from strongroom.kms.shared_keys import Kept, KeyState, KmsDataKey
from strongroom.s3.sealing import ObjectKey
from strongroom.seal.format import Envelope, Mode
from strongroom.seal.layers import Layer, Layers
from strongroom.seal.mac import MacKey
from strongroom.seal.stream import GCM_HKDF
from strongroom.seal.wrap import Kek, Records

SECRET = "0123456789abcdefghijklmnopqrstuv"
KEY = SECRET.encode()
NOW = datetime(2026, 3, 1, tzinfo=UTC)
GIVEN = {"SSECustomerKey": SECRET}
NAME = KeyName("111122223333", "eu-central-1", "6d0b7ee4-0000-4000-8000-000000000001")
CLAIM = Claim("AKIA", "", "", "", "s3", [], SECRET, "", NOW, SECRET, False, 0, SECRET, SECRET, SECRET, [("a", SECRET)])
HEAD = Head("GET", "/", None, SECRET, {"x": SECRET}, "http", "")
DATA_KEY = KmsDataKey(KEY, b"", "", Kek(KEY))
RECORD = KeyRecord(NAME, 0, "CUSTOMER", "", "", "m", (Material("m", 0, "local", KEY),))
KEPT = Kept(DATA_KEY, KeyState(RECORD, (), ()), 0, 1)
JUDGED = (ANONYMOUS, "", {}, 0, NOW, NOW, Alike("Decrypt", "s3", True, "", "", "", "", "", {}))
ENVELOPE = Envelope(Mode.SSE_S3, key_id="0" * 32, wrapped=KEY)


@pytest.mark.parametrize(
    "held",
    [
        CLAIM,
        HEAD,
        RequestValues(ANONYMOUS, HEAD, {"x": SECRET}, CLAIM, GIVEN, "", "", NOW, {}),
        Form(Route("s3", "PutObject", "b", "k", virtual_host=False), GIVEN, dict(GIVEN)),
        Answer({"Plaintext": KEY}, body=KEY),
        Encoded(200, [], KEY),
        Reply(200, [], KEY),
        DATA_KEY,
        RECORD,
        KEPT,
        Judged(*JUDGED),
        SharedAtHand(*JUDGED, KEPT, KEY),
        KeyAtHand(*JUDGED, NAME, "m"),
        Blob(NAME, "m", KEY, KEY, KEY, KEY),
        ENVELOPE,
        ObjectKey(Layers(KEY, KEY), KEY, ENVELOPE, KEY, KEY),
        Layer(GCM_HKDF, lambda _blob_id, _part: b"", KEY),
        Kek(KEY),
        MacKey(KEY),
        Records(KEY),
    ],
    ids=lambda held: type(held).__name__,
)
def test_nothing_shows_a_secret_that_it_holds(held: Any) -> None:
    for shown in (repr(held), str(held), repr([held]), f"{held}"):
        assert SECRET not in shown
