"""Bytes at rest: the payload stream, the envelope around its data key, and sealed records (``docs/spec/at-rest.md``).

Pure: bytes in, bytes out. Never knows files, where keys are kept, S3, or waiting. A check raises, it does not return false,
and no byte that is not authentic is ever handed out.
"""

from __future__ import annotations


class SealError(Exception):
    """Base of what this room may raise about bytes it was given to read. Texts hold no key and no plaintext."""


class NotOurs(SealError):
    """Bytes that no writer of this format makes: another magic, or fields that contradict each other."""


class Unsupported(SealError):
    """Ours, but of a format version, mode or flag that this reader does not know. Nothing is guessed."""


class Truncated(SealError):
    """A length that cannot be: cut short, extended, or ending where no field or segment ends."""


class Forged(SealError):
    """Not authentic: changed bytes, another key, or the bytes of another place."""
