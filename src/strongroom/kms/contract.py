"""What a provider of wrapping keys promises: to wrap a few bytes so that only it can open them, bound to a statement about them.

Never knows which customer key, account or service those bytes belong to: the binding is opaque to a provider.
"""

from __future__ import annotations

from typing import Protocol


class ProviderError(Exception):
    """Base of what a provider may raise. The text never holds key material."""


class Denied(ProviderError):
    """The provider refuses this server (credentials, policy)."""


class Unknown(ProviderError):
    """The wrapping key these bytes were wrapped under does not exist at this provider."""


class Unavailable(ProviderError):
    """The provider cannot do it now; trying again may help."""


class Forged(ProviderError):
    """The bytes are not what this provider wrapped under that binding: changed, truncated, swapped, or another wrapping key."""


class Provider(Protocol):
    """Where wrapping keys live. Conformance: ``tests/kms/provider_suite.py``."""

    @property
    def name(self) -> str:
        """Stored beside what it wrapped, so that nothing is ever opened by guessing."""
        ...

    async def wrap(self, material: bytes, binding: bytes) -> bytes:
        """Wrap 1 to 4096 bytes of secret ``material``. Two calls never give equal bytes. Raises Denied, Unknown, Unavailable."""
        ...

    async def unwrap(self, wrapped: bytes, binding: bytes) -> bytes:
        """The material, when ``wrapped`` was made by ``wrap`` with this very ``binding``.

        Raises Denied, Unknown, Unavailable, Forged.
        """
        ...
