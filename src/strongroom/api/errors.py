"""The one outward error and the table of its codes. Knows statuses and default texts, never who raises them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from strongroom.api import error_table

#: code -> (HTTP status, default message). The services share the few codes that mean the same in all of them.
ERRORS: Final[dict[str, tuple[int, str]]] = {**error_table.QUERY, **error_table.KMS, **error_table.S3}


class ApiError(Exception):
    """An answer that is an error. Rendered only by the codec of the service that was asked.

    ``code`` must be in ``ERRORS`` (or be ``KMS.`` + a KMS code); a code that is not raises ``LookupError`` at once, so a
    misspelt code cannot reach a client. ``members`` become child elements between Message and RequestId (S3), in order;
    names that are not identifiers (``Content-MD5``) are given in ``fields``. ``why`` is for the log alone, and never rendered.
    """

    def __init__(
        self,
        code: str,
        message: str | None = None,
        *,
        status: int | None = None,
        headers: Mapping[str, str] | None = None,
        fields: Mapping[str, str] | None = None,
        why: str = "",
        **members: str,
    ) -> None:
        table = error_table.KMS if code.startswith("KMS.") else ERRORS
        default_status, default_message = table[code.removeprefix("KMS.")]
        self.code = code
        self.message = default_message if message is None else message
        self.status = default_status if status is None else status
        self.headers: dict[str, str] = dict(headers or {})
        self.members: dict[str, str] = {**members, **(fields or {})}
        self.why = why
        super().__init__(f"{code}: {self.message}")
