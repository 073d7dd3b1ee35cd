"""Keys that belong to a service and not to a customer: S3's own wrapping keys and the root of its metadata keys.

Never knows what S3 does with them. They are random, wrapped by the provider, and loaded once at start-up.
"""

from __future__ import annotations

import base64
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from strongroom.kms.contract import ProviderError
from strongroom.kms.records import binding
from strongroom.seal.wrap import Kek, derive

if TYPE_CHECKING:
    from collections.abc import Callable

    from strongroom.kms.contract import Provider
    from strongroom.store.contract import Catalog, Transaction

SERVICE_KEY_KIND: Final = "service-key"
_S3: Final = "service-key/s3/"
_METADATA: Final = "service-key/s3-metadata"
_FORMAT: Final = 1
_KEY_SIZE: Final = 32
_MOST: Final = 1000


@dataclass(frozen=True, slots=True)
class ServiceKey:
    key_id: str  # 32 hex
    key: bytes = field(repr=False)  # 32 bytes
    kek: Kek = field(repr=False, compare=False)  # the same, made ready


@dataclass(frozen=True, slots=True)
class KeyFault:
    """A key of ours that does not open, or is not there at all."""

    what: str  # which key
    why: str  # a text without secrets
    missing: bool = False


class ServiceKeys:
    def __init__(self, catalog: Catalog, provider: Provider, random: Callable[[int], bytes]) -> None:
        self._catalog = catalog
        self._provider = provider
        self._random = random
        self._keys: dict[str, ServiceKey] = {}
        self._current: ServiceKey | None = None
        self._metadata_root: bytes | None = None

    async def open(self, now_ms: int) -> None:
        """Load the keys, or make them when there are none; two workers that start at once end up with the same.

        Raises ProviderError: Forged means that the server was given another root key than the one this data was made under.
        """
        rows = await self._rows()
        if not rows:
            key_id = self._random(16).hex()
            await self._make(_S3 + key_id, await self._document(key_id, "s3", now_ms))
            rows = await self._rows()
        for _, value in rows:
            service_key = await self._unwrapped(value, "s3")
            self._keys[service_key.key_id] = service_key
        newest = max(rows, key=lambda row: (row[1]["created_ms"], row[0]))[1]["key_id"]
        self._current = self._keys[newest]
        root = await self._catalog.document(_METADATA, SERVICE_KEY_KIND)
        if root is None:
            root = await self._make(_METADATA, await self._document(self._random(16).hex(), "s3-metadata", now_ms))
        self._metadata_root = (await self._unwrapped(root, "s3-metadata")).key

    async def open_what_opens(self) -> list[KeyFault]:
        """For the operator's tools: load what can be loaded, and make nothing. What could not be loaded is returned."""
        faults: list[KeyFault] = []
        rows = await self._rows()
        rows.sort(key=lambda row: (row[1].get("created_ms", 0), row[0]))
        for scope, value in rows:
            try:
                self._current = self._keys[value["key_id"]] = await self._unwrapped(value, "s3")
            except (ProviderError, ValueError, KeyError, TypeError) as error:
                faults.append(KeyFault(f"service key {scope.removeprefix(_S3)}", _reason(error)))
        if not rows:
            faults.append(KeyFault("service key", "there is none: no object of SSE-S3 can be opened", missing=True))
        root = await self._catalog.document(_METADATA, SERVICE_KEY_KIND)
        try:
            if root is None:
                faults.append(KeyFault("metadata root", "it is not there: no metadata can be opened", missing=True))
            else:
                self._metadata_root = (await self._unwrapped(root, "s3-metadata")).key
        except (ProviderError, ValueError, KeyError, TypeError) as error:
            faults.append(KeyFault("metadata root", _reason(error)))
        return faults

    def key(self, key_id: str | None) -> ServiceKey:
        """None: the current one. Raises LookupError for an id that is unknown, and before ``open``."""
        found = self._current if key_id is None else self._keys.get(key_id)
        if found is None:
            raise LookupError("there is no such service key")
        return found

    def metadata_key(self, bucket_id: str) -> bytes:
        """32 bytes for the metadata of one bucket. Raises LookupError before ``open``."""
        if self._metadata_root is None:
            raise LookupError("the service keys are not loaded")
        return derive(self._metadata_root, "strongroom/s3/metadata", bucket_id.encode())

    async def _rows(self) -> list[tuple[str, Any]]:
        return await self._catalog.documents(SERVICE_KEY_KIND, prefix=_S3, limit=_MOST)

    async def _make(self, scope: str, document: dict[str, Any]) -> Any:
        """Store it, unless another worker was first; what is stored now."""

        def work(transaction: Transaction) -> Any:
            if scope == _METADATA:
                there = transaction.document(scope, SERVICE_KEY_KIND)
            else:
                there = next((value for _, value in transaction.documents(SERVICE_KEY_KIND, prefix=_S3, limit=1)), None)
            if there is None:
                transaction.set_document(scope, SERVICE_KEY_KIND, document)
            return there or document

        return await self._catalog.write(work)

    async def _document(self, key_id: str, purpose: str, now_ms: int) -> dict[str, Any]:
        wrapped = await self._provider.wrap(self._random(_KEY_SIZE), binding(SERVICE_KEY_KIND, purpose, key_id))
        return {
            "format": _FORMAT,
            "key_id": key_id,
            "created_ms": now_ms,
            "provider": self._provider.name,
            "wrapped": base64.b64encode(wrapped).decode(),
        }

    async def _unwrapped(self, value: Any, purpose: str) -> ServiceKey:
        if value["format"] != _FORMAT or value["provider"] != self._provider.name:
            raise ValueError("a service key has an unknown format or provider")
        key_id: str = value["key_id"]
        wrapped = base64.b64decode(value["wrapped"], validate=True)
        key = await self._provider.unwrap(wrapped, binding(SERVICE_KEY_KIND, purpose, key_id))
        return ServiceKey(key_id, key, Kek(key))


def _reason(error: Exception) -> str:
    return str(error) if isinstance(error, ProviderError) else f"its document is damaged ({type(error).__name__})"
