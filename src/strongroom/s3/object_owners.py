"""Who governs an object that is there: its owner, its list, and what the bucket's policy denies. Asked only where lists count.

Never knows who asks, or what is decided.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from strongroom.api.errors import ApiError
from strongroom.policy.acls import Acl, effective
from strongroom.s3.bucket_cache import stored_grants
from strongroom.s3.metadata import ObjectMeta
from strongroom.s3.versions import read_version_id

if TYPE_CHECKING:
    from strongroom.policy.decide import Authority
    from strongroom.s3.rooms import Rooms

_ARN: Final = "arn:aws:s3:::"


class Governed(NamedTuple):
    owner: str  # an account id
    authority: Authority
    version_id: str  # of the row that was looked at


async def governed(rooms: Rooms, resource: str, version_id: str | None) -> Governed | None:
    """Of an object's ARN, and the version as the client named it (None: the current one). None when there is no such object.

    Raises seal.Forged when the row is not as it was written.
    """
    name, _, object_key = resource.removeprefix(_ARN).partition("/")
    bucket = await rooms.buckets.place(name)
    if bucket is None:
        return None
    if version_id is None:
        row = await rooms.catalog.latest(bucket.bucket_id, object_key)
    else:
        try:
            asked = read_version_id(version_id, "versionId")
        except ApiError:
            return None
        row = await rooms.catalog.version(bucket.bucket_id, object_key, asked)
    if row is None or row.delete_marker:
        return None
    meta = ObjectMeta.open(bucket, row)
    owner = bucket.account_id if meta.owner is None else meta.owner[0]
    acl = Acl(resource, effective(stored_grants(meta.acl or ()), bucket.block), of_bucket=False)
    return Governed(owner, bucket.authority.of_object(owner, acl), row.version_id)
