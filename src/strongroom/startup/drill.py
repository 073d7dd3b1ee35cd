"""The drill: whether a key backup, by its root key alone, opens every wrapped key of a data folder. Reads only.

Never asks the folder's own root key for anything. Never knows how findings are shown.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from strongroom.config import Config
from strongroom.iam.errors import Damaged
from strongroom.iam.records import ACCESS_KEY, access_key_scope, sealed_secret
from strongroom.iam.secrets import SecretSeal
from strongroom.kms.operating import Operating
from strongroom.kms.service_keys import SERVICE_KEY_KIND
from strongroom.s3.proving import Proof, Proving
from strongroom.startup.key_backup import MATERIAL, Backup, every_document
from strongroom.startup.opening import LowerRooms
from strongroom.startup.restoring import newer


@dataclass(slots=True)
class Drill:
    service_keys: int = 0
    kms_materials: int = 0
    secrets: int = 0  # of access keys
    objects: Proof = field(default_factory=Proof)
    newer: int = 0  # documents with key material that the backup does not hold: it is older than they are
    faults: list[str] = field(default_factory=list[str])  # of keys and secrets

    @property
    def passed(self) -> bool:
        return not self.faults and not self.objects.failed


async def drill(
    config: Config,
    backup: Backup,
    *,
    most: int | None,
    progress: Callable[[int, str], None] = lambda _done, _where: None,
) -> Drill:
    """``most``: about how many objects' keys are tried; None: all. Raises StartError (for a backup of other data), StoreError."""
    done = Drill()
    async with LowerRooms.opened(config, backup.root_key, with_faults=True) as lower:
        async for each in every_document(lower.catalog, MATERIAL):
            done.newer += newer(backup, each)
            done.service_keys += each.kind == SERVICE_KEY_KIND
        done.faults += [f"{fault.what}: {fault.why}" for fault in lower.faults]
        operating = Operating(lower.keys.ring)
        async for _, record in operating.every_key():
            done.kms_materials += 0 if record is None else sum(bool(each.wrapped) for each in record.materials)
        done.faults += [f"{fault.what}: {fault.why}" async for fault in operating.faults()]
        await _try_secrets(lower, done)
        done.objects = await Proving(lower.rooms).walk(most, progress)
    return done


async def _try_secrets(lower: LowerRooms, done: Drill) -> None:
    seal = SecretSeal(lower.subkeys.iam)
    async for each in every_document(lower.catalog, (ACCESS_KEY,)):
        access_key_id = each.scope.removeprefix(access_key_scope(""))
        done.secrets += 1
        try:
            seal.open(sealed_secret(access_key_id, each.value), access_key_id, str(each.value.get("account_id")))
        except (Damaged, AttributeError, ValueError) as error:
            done.faults.append(f"access key {access_key_id}: {error}")
