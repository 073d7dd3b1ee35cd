"""Which values of a row are of a type that the store never wrote. SQLite keeps whatever is put into a column; who edits the file can.

Pure. Never knows what a value means.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from strongroom.store.contract import AnnotationRow, PartRow, UploadRow, VersionRow

_TYPES: Final[dict[str, type]] = {
    "version_id": str,
    "upload_id": str,
    "size": int,
    "modified_ms": int,
    "initiated_ms": int,
    "seal": bytes,
    "meta": bytes,
    "manifest": bytes,
}


def of_another_type(row: VersionRow | UploadRow | PartRow | AnnotationRow) -> str:
    """The names of such columns, a body apart; "" for none."""
    return ", ".join(name for name, kind in _TYPES.items() if not isinstance(getattr(row, name, kind()), kind))


def is_body(value: object) -> bool:
    return isinstance(value, bytes)


def shown(text: object) -> str:
    """An id of such a row, for people."""
    return text if isinstance(text, str) else repr(text)
