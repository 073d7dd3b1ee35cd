"""What becomes of a key's record when material is imported or deleted. Pure.

A key of origin EXTERNAL remembers each material it ever had, by a fingerprint, so that what comes back is what was there; only the
bytes go. Never knows how material travels, or who asks. Source: "Importing key material" in the AWS KMS Developer Guide.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from strongroom.api.errors import ApiError
from strongroom.kms import refusals
from strongroom.kms.records import SYMMETRIC

if TYPE_CHECKING:
    from strongroom.kms.records import KeyRecord, Material

NEW: Final = "NEW_KEY_MATERIAL"
EXISTING: Final = "EXISTING_KEY_MATERIAL"


@dataclass(frozen=True, slots=True)
class Wish:
    """How the material is to be taken."""

    import_type: str | None
    material_id: str | None
    description: str | None
    expires_ms: int | None


def check_import(record: KeyRecord, fingerprint: str, wish: Wish) -> None:
    """Raises ApiError for material that this key cannot take."""
    if record.spec != SYMMETRIC and (wish.import_type or wish.material_id or wish.description is not None):
        raise refusals.invalid("ImportType, KeyMaterialId and KeyMaterialDescription are for symmetric encryption keys only.")
    known = record.material(fingerprint) is not None
    if (wish.import_type or (EXISTING if record.materials else NEW)) == EXISTING:
        if not known or wish.material_id not in {None, fingerprint}:
            raise _incorrect()
        return
    if wish.material_id is not None:
        raise refusals.invalid(f"KeyMaterialId cannot be given with ImportType {NEW}.")
    if record.replica:
        raise refusals.not_primary(record.name.arn)
    if known:
        raise _incorrect()
    if any(material.pending for material in record.materials):
        raise ApiError("KMSInvalidStateException", f"{record.name.arn} has key material that is pending rotation.")


def with_import(record: KeyRecord, material: Material, wish: Wish) -> KeyRecord:
    """The material is there; the first becomes current, another new one waits for its rotation. ``check_import`` has passed."""
    known = record.material(material.material_id)
    description = wish.description if wish.description is not None else known.description if known else ""
    taken = replace(material, expires_ms=wish.expires_ms, description=description)
    if known is None:
        taken = replace(taken, pending=bool(record.materials))
        changed = replace(record, materials=(*record.materials, taken), current=record.current or taken.material_id)
    else:
        taken = replace(taken, created_ms=known.created_ms, pending=known.pending, rotated=known.rotated)
        changed = _put(record, taken)
    if changed.state == "PendingImport" and not changed.lacking:
        return replace(changed, state="Enabled")
    return changed


def with_knowledge(record: KeyRecord, material: Material) -> KeyRecord:
    """A replica key hears of material that its primary key took: it may be imported there too."""
    if record.material(material.material_id) is not None:
        return record
    heard = replace(material, wrapped=b"", expires_ms=None)
    return replace(record, materials=(*record.materials, heard), current=record.current or heard.material_id)


def without_bytes(record: KeyRecord, material: Material) -> KeyRecord:
    """The bytes go, the fingerprint stays; of material that never was in use nothing stays."""
    if material.pending:
        return without(record, material.material_id)
    changed = _put(record, replace(material, wrapped=b"", expires_ms=None))
    return changed if record.doomed else replace(changed, state="PendingImport")


def without(record: KeyRecord, material_id: str) -> KeyRecord:
    return replace(record, materials=tuple(each for each in record.materials if each.material_id != material_id))


def _put(record: KeyRecord, material: Material) -> KeyRecord:
    materials = tuple(material if each.material_id == material.material_id else each for each in record.materials)
    return replace(record, materials=materials)


def _incorrect() -> ApiError:
    return ApiError(
        "IncorrectKeyMaterialException", "The key material is invalid, or is not what was imported into this KMS key before."
    )
