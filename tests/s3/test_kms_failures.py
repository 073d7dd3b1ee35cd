"""The provider of key material fails at each call of each operation: the client sees the documented error, and nothing has changed.

Facts 9.18 and 9.19 about encryption. The clock, the store and the rooms are real; only the provider is made to fail.
"""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from strongroom.api.errors import ApiError
from strongroom.kms import contract
from tests.s3.vault import PART, Vault, whole

BODY = b"the plaintext" * 9
FAILURES = {
    contract.Denied: ("InternalError", 500),
    contract.Unknown: ("InternalError", 500),
    contract.Forged: ("InternalError", 500),
    contract.Unavailable: ("ServiceUnavailable", 503),
}


class Failing:
    """The real provider behind one that counts, fails when its count comes, or is slow."""

    def __init__(self, provider: contract.Provider) -> None:
        self._provider = provider
        self.name = provider.name
        self.calls = 0
        self.fail_at: int | None = None
        self.error: type[contract.ProviderError] = contract.Unavailable
        self.slow = False
        self.asked = asyncio.Event()

    async def wrap(self, material: bytes, binding: bytes) -> bytes:
        await self._count()
        return await self._provider.wrap(material, binding)

    async def unwrap(self, wrapped: bytes, binding: bytes) -> bytes:
        await self._count()
        return await self._provider.unwrap(wrapped, binding)

    async def _count(self) -> None:
        self.calls += 1
        self.asked.set()
        if self.slow:
            await asyncio.sleep(0.02)
        if self.calls - 1 == self.fail_at:
            raise self.error("it was told to")


class Scene:
    """A bucket whose rule is SSE-KMS, an object, an upload, and one operation to do."""

    def __init__(self, vault: Vault, name: str) -> None:
        self.vault = vault
        self.name = name
        self.given: dict[str, Any] = {}
        self.data = b""

    async def prepare(self) -> None:
        vault = self.vault
        await vault.make()
        _, self.arn = await vault.kms_key()
        _, self.other_arn = await vault.kms_key()
        await vault.rule("aws:kms", self.arn)
        await vault.put("there", BODY)
        upload = (await vault.run("CreateMultipartUpload", Bucket="bucket", Key="parts"))["UploadId"]
        part = await vault.run("UploadPart", data=bytes(PART), Bucket="bucket", Key="parts", UploadId=upload, PartNumber=1)
        within = {"Bucket": "bucket", "Key": "parts", "UploadId": upload}
        source = {"CopySource": "bucket/there"}
        other = {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": self.other_arn}
        self.data = BODY if self.name in {"PutObject", "UploadPart"} else b""
        self.given = {
            "PutObject": {"Bucket": "bucket", "Key": "new"},
            "GetObject": {"Bucket": "bucket", "Key": "there"},
            "HeadObject": {"Bucket": "bucket", "Key": "there", "ChecksumMode": "ENABLED"},
            "CopyObject": {"Bucket": "bucket", "Key": "copy", **source, **other},
            "CreateMultipartUpload": {"Bucket": "bucket", "Key": "more"},
            "UploadPart": {**within, "PartNumber": 2},
            "UploadPartCopy": {**within, "PartNumber": 2, **source},
            "CompleteMultipartUpload": {
                **within,
                "MultipartUpload": {"Parts": [{"PartNumber": 1, "ETag": part["ETag"]}]},
            },
            "UpdateObjectEncryption": {
                "Bucket": "bucket",
                "Key": "there",
                "ObjectEncryption": {"SSEKMS": {"KMSKeyArn": self.other_arn}},
            },
        }[self.name]

    async def forget(self) -> None:
        """As after any change of a key: nobody remembers material."""
        await self.vault.catalog.write(lambda tx: tx.set_document("tests", "nothing", {"calls": self.vault.now.isoformat()}))

    def state(self) -> list[Any]:
        tables = [self.vault.sql(f"SELECT * FROM {table} ORDER BY 1") for table in ("version", "upload", "part", "blob")]  # noqa: S608
        return [*tables, self.vault.files]

    async def act(self) -> dict[str, Any]:
        answer = await self.vault.ask(self.name, data=self.data, **self.given)
        if answer.body is not None:
            assert await whole(answer) == BODY
        return dict(answer.output)


OPERATIONS = (
    "PutObject",
    "GetObject",
    "HeadObject",
    "CopyObject",
    "CreateMultipartUpload",
    "UploadPart",
    "UploadPartCopy",
    "CompleteMultipartUpload",
    "UpdateObjectEncryption",
)
#: What asks KMS on every call; the others may do without.
ASKING = {"PutObject", "GetObject", "HeadObject", "CopyObject", "CreateMultipartUpload", "UploadPart", "UploadPartCopy"}


@pytest.fixture(params=OPERATIONS)
async def scene(request: pytest.FixtureRequest, vault: Vault) -> Scene:
    if vault.register.find("s3", request.param) is None:
        pytest.skip("not built")
    scene = Scene(vault, request.param)
    await scene.prepare()
    return scene


async def test_every_failure_at_every_call(scene: Scene) -> None:
    provider = Failing(scene.vault.keys.ring.provider)
    scene.vault.keys.ring.provider = provider
    failed = 0
    while await _fails_at(scene, provider, failed):
        failed += 1
    assert failed > 0 or scene.name not in ASKING


async def _fails_at(scene: Scene, provider: Failing, number: int) -> bool:
    """Whether there is a call of that number: each kind of failure at it is told, and changes nothing. If not, the operation is done."""
    for error, (code, status) in FAILURES.items():
        await scene.forget()
        before = scene.state()
        provider.calls, provider.fail_at, provider.error = 0, number, error
        refused = await _refusal(scene)
        if refused is None:
            assert provider.calls <= number
            return False
        assert (refused.code, refused.status) == (code, status)
        assert "told to" not in refused.message
        assert scene.state() == before
    return True


async def _refusal(scene: Scene) -> ApiError | None:
    try:
        await scene.act()
    except ApiError as error:
        return error
    return None


async def test_a_slow_provider_is_waited_for(scene: Scene) -> None:
    provider = Failing(scene.vault.keys.ring.provider)
    provider.slow = True
    scene.vault.keys.ring.provider = provider
    await scene.forget()
    await scene.act()
    assert provider.calls > 0 or scene.name not in ASKING


async def test_a_client_that_leaves_while_the_provider_is_slow_changes_nothing(scene: Scene) -> None:
    provider = Failing(scene.vault.keys.ring.provider)
    provider.slow = True
    scene.vault.keys.ring.provider = provider
    await scene.forget()
    before = scene.state()
    task = asyncio.ensure_future(scene.act())
    asked = asyncio.ensure_future(provider.asked.wait())
    await asyncio.wait([task, asked], return_when=asyncio.FIRST_COMPLETED)
    asked.cancel()
    if task.done():
        assert scene.name not in ASKING
        return
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert scene.state() == before
