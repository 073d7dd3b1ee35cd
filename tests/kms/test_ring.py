from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest

from strongroom.api.errors import ApiError
from strongroom.kms import contract, ring
from strongroom.kms.blob import parse_blob
from strongroom.kms.local import LocalProvider
from strongroom.kms.names import KeyName
from strongroom.kms.operating import Operating
from strongroom.kms.records import ALIAS_KIND, KeyRecord, binding
from strongroom.kms.ring import KeyRing
from tests.kms.test_importing import MATERIAL, bring
from tests.kms.world import KMS_KEY, REGION, A


class FailingProvider(LocalProvider):
    error: contract.ProviderError | None = None

    async def wrap(self, material, binding):
        if self.error:
            raise self.error
        return await super().wrap(material, binding)

    async def unwrap(self, wrapped, binding):
        if self.error:
            raise self.error
        return await super().unwrap(wrapped, binding)


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (contract.Unavailable, "KeyUnavailableException"),
        (contract.Denied, "KMSInternalException"),
        (contract.Unknown, "KMSInternalException"),
        (contract.Forged, "KMSInternalException"),
    ],
)
async def test_a_provider_that_fails_gives_no_bytes_and_no_key(world, error, code):
    provider = FailingProvider(KMS_KEY)
    world.data_keys.ring.provider = provider
    key_id, _ = await world.key()
    blob = (await world.ask("Encrypt", KeyId=key_id, Plaintext=b"x"))["CiphertextBlob"]
    await world.ask("UpdateKeyDescription", KeyId=key_id, Description="what was remembered is dropped")
    provider.error = error("in detail")
    for operation, given in (
        ("CreateKey", {}),
        ("Encrypt", {"KeyId": key_id, "Plaintext": b"x"}),
        ("Decrypt", {"CiphertextBlob": blob}),
        ("GenerateDataKey", {"KeyId": key_id, "KeySpec": "AES_256"}),
    ):
        refused, message = await world.refusal(operation, **given)
        assert refused == code
        assert "detail" not in message
    assert len((await world.ask("ListKeys"))["Keys"]) == 1


async def test_material_of_another_provider_is_not_tried(world):
    key_id, _ = await world.key()

    class Elsewhere(LocalProvider):
        @property
        def name(self):
            return "elsewhere"

    world.data_keys.ring.provider = Elsewhere(KMS_KEY)
    assert (await world.refusal("Encrypt", KeyId=key_id, Plaintext=b"x"))[0] == "KeyUnavailableException"


async def test_what_is_read_while_a_key_changes_is_not_remembered(world):
    """A read that began before DisableKey and ends after it must not bring the old state back."""
    key_id, arn = await world.key()
    real, caught, go_on = world.catalog.document, asyncio.Event(), asyncio.Event()

    async def slow(scope, kind):
        value = await real(scope, kind)
        caught.set()
        await go_on.wait()
        return value

    world.catalog.document = slow
    early = asyncio.create_task(world.ask("Encrypt", KeyId=key_id, Plaintext=b"x"))
    await caught.wait()
    world.catalog.document = real
    await world.ask("DisableKey", KeyId=key_id)
    await world.ask("DescribeKey", KeyId=key_id)
    go_on.set()
    await early  # it was asked before
    assert await world.refusal("Encrypt", KeyId=key_id, Plaintext=b"x") == ("DisabledException", f"{arn} is disabled.")


async def test_memory_is_bounded(world, monkeypatch):
    monkeypatch.setattr(ring, "_REMEMBERED", 3)
    keys = [(await world.key())[0] for _ in range(5)]
    for key_id in keys * 2:
        await world.ask("Encrypt", KeyId=key_id, Plaintext=b"x")
    memory: KeyRing = world.data_keys.ring
    assert (len(memory._keys), len(memory._materials)) == (3, 3)


async def test_material_leaves_memory_when_anything_has_changed_also_while_nobody_asks(world, other_worker):
    ring, (key_id, _) = world.data_keys.ring, await world.key()
    await world.ask("Encrypt", KeyId=key_id, Plaintext=b"x")
    await world.data_keys.forget_shared()
    assert len(ring._materials) == 1
    await other_worker.ask("DisableKey", KeyId=key_id)
    await world.data_keys.forget_shared()
    assert ring._materials == {}


async def test_imported_material_leaves_memory_at_its_end_also_while_nobody_asks(world):
    ring, (key_id, _) = world.data_keys.ring, await world.key(Origin="EXTERNAL")
    await bring(world, key_id, ValidTo=world.clock() + timedelta(days=2))
    await world.ask("Encrypt", KeyId=key_id, Plaintext=b"x")
    world.clock.days(1.9)
    await world.data_keys.forget_shared()
    ((where, known),) = ring._materials.items()
    assert ring.known_material(*where) == MATERIAL
    assert repr(MATERIAL) not in repr(known)
    world.clock.days(0.1)
    await world.data_keys.forget_shared()
    assert ring._materials == {}


async def test_material_of_a_key_that_nobody_may_use_is_not_kept_and_nothing_by_a_check(world):
    """The scrub opens both: what is under disabled keys, and every material there is."""
    data_keys, (key_id, arn) = world.data_keys, await world.key()
    operating = Operating(data_keys.ring)
    sealed = (await world.ask("Encrypt", KeyId=key_id, Plaintext=b"x"))["CiphertextBlob"]
    for operation, kept in (("DisableKey", 0), ("EnableKey", 1)):
        await world.ask(operation, KeyId=key_id)
        record = await operating.key(arn)
        assert [fault async for fault in operating.faults()] == []
        assert len(data_keys.ring._materials) == 0
        assert await operating.unwrap(record, sealed, {}) == b"x"
        assert len(data_keys.ring._materials) == kept


async def test_a_blob_that_names_a_key_of_another_kind_opens_with_nothing(world):
    """Its material is no 32 bytes to derive from; S3 is told so as of any other blob that does not open."""
    key_id, _ = await world.key()
    blob = parse_blob((await world.ask("Encrypt", KeyId=key_id, Plaintext=b"x"))["CiphertextBlob"])
    rsa_id, _ = await world.key(KeySpec="RSA_2048", KeyUsage="ENCRYPT_DECRYPT")
    record = await world.data_keys.ring.key(KeyName(A, REGION, rsa_id), world.data_keys.ring.now_ms())
    forged = blob.header.replace(key_id.encode(), rsa_id.encode()).replace(
        bytes.fromhex(blob.material_id), bytes.fromhex(record.current)
    )
    with pytest.raises(ApiError) as caught:
        await world.data_keys.unwrap(world.call("ListKeys"), forged + blob.sealed, REGION, {})
    assert caught.value.code == "InvalidCiphertextException"


async def test_a_record_of_another_format_is_not_read(world):
    key_id, _ = await world.key()
    name = KeyName(A, REGION, key_id)
    document = await world.catalog.document(name.scope, "kms-key")
    assert KeyRecord.read(name, document).document() == document
    for change in ({"format": 2}, {"state": "Unheard"}):
        with pytest.raises(ValueError):
            KeyRecord.read(name, document | change)


async def test_an_alias_to_nowhere_is_no_alias(world):
    def work(transaction) -> None:
        document = {"key_id": "00000000-0000-4000-8000-000000000000", "created_ms": 0, "updated_ms": 0}
        transaction.set_document(f"kms/{A}/{REGION}/alias/lost", ALIAS_KIND, document)

    await world.catalog.write(work)
    assert (await world.refusal("DescribeKey", KeyId="alias/lost"))[0] == "NotFoundException"


async def test_no_key_is_made_in_a_region_that_blobs_cannot_name(world):
    for region in ("", "a/b", "r" * 65):
        assert (await world.refusal("CreateKey", region=region))[0] == "ValidationException"
        assert (await world.refusal("DescribeKey", region=region, KeyId="alias/aws/s3"))[0] == "ValidationException"


def test_bindings_are_unambiguous():
    assert len({binding(*texts) for texts in (("a", "b"), ("ab",), ("ab", ""), ("", "ab"), ("a", "", "b"), ())}) == 6
