"""What every provider must do. A test module of a provider imports the class and gives a ``provider`` fixture.

``another`` gives a provider that holds other wrapping keys.
"""

from __future__ import annotations

import pytest

from strongroom.kms.contract import Forged, Provider, Unknown

BINDING = b"account, Region, key, material"


class ProviderSuite:
    @pytest.mark.parametrize("size", [1, 32, 4096])
    async def test_round_trip(self, provider: Provider, size: int):
        material = bytes(range(256)) * 16
        wrapped = await provider.wrap(material[:size], BINDING)
        assert await provider.unwrap(wrapped, BINDING) == material[:size]
        assert material[:size] not in wrapped or size == 1

    async def test_equal_material_never_looks_equal(self, provider: Provider):
        assert await provider.wrap(bytes(32), BINDING) != await provider.wrap(bytes(32), BINDING)

    async def test_it_has_a_name(self, provider: Provider):
        assert provider.name

    @pytest.mark.parametrize("binding", [b"", BINDING[:-1], BINDING + b"\0"])
    async def test_another_binding(self, provider: Provider, binding: bytes):
        wrapped = await provider.wrap(bytes(32), BINDING)
        with pytest.raises(Forged):
            await provider.unwrap(wrapped, binding)

    async def test_changed_bytes(self, provider: Provider):
        wrapped = await provider.wrap(bytes(32), BINDING)
        for place in range(len(wrapped)):
            changed = bytearray(wrapped)
            changed[place] ^= 1
            with pytest.raises((Forged, Unknown)):
                await provider.unwrap(bytes(changed), BINDING)

    async def test_too_few_or_too_many_bytes(self, provider: Provider):
        wrapped = await provider.wrap(bytes(32), BINDING)
        for changed in (b"", wrapped[:1], wrapped[:-1], wrapped + b"\0"):
            with pytest.raises((Forged, Unknown)):
                await provider.unwrap(changed, BINDING)

    async def test_another_wrapping_key(self, provider: Provider, another: Provider):
        wrapped = await provider.wrap(bytes(32), BINDING)
        with pytest.raises((Forged, Unknown)):
            await another.unwrap(wrapped, BINDING)
