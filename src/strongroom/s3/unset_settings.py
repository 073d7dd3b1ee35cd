"""Settings that no bucket has, because what they ask for is not built: that there is none is the truth, and may be read.

Clients read these before they do anything else (Terraform at every plan). What would set one answers 501, as everything that is not
built; what leaves a bucket without one is done already. See decision 0007. Never knows XML or HTTP.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from strongroom.api.errors import ApiError
from strongroom.api.operation import Answer, operation

if TYPE_CHECKING:
    from strongroom.api.operation import Call
    from strongroom.s3.bucket_cache import Bucket
    from strongroom.s3.rooms import Rooms


class UnsetSettings:
    def __init__(self, rooms: Rooms) -> None:
        self._rooms = rooms

    @operation("s3", "GetBucketLogging", "s3:GetBucketLogging", on="bucket")
    @operation("s3", "GetBucketNotificationConfiguration", "s3:GetBucketNotification", on="bucket")
    async def get_empty(self, call: Call) -> Answer:
        await self._find(call)
        return Answer()

    @operation("s3", "PutBucketLogging", "s3:PutBucketLogging", on="bucket")
    async def put_logging(self, call: Call) -> Answer:
        return await self._put_empty(call, "BucketLoggingStatus", "Access logs of buckets are not implemented.")

    @operation("s3", "PutBucketNotificationConfiguration", "s3:PutBucketNotification", on="bucket")
    async def put_notification(self, call: Call) -> Answer:
        return await self._put_empty(call, "NotificationConfiguration", "Event notifications are not implemented.")

    @operation("s3", "GetBucketReplication", "s3:GetReplicationConfiguration", on="bucket")
    async def get_replication(self, call: Call) -> Answer:
        bucket = await self._find(call)
        raise ApiError("ReplicationConfigurationNotFoundError", BucketName=bucket.name)

    @operation("s3", "GetBucketWebsite", "s3:GetBucketWebsite", on="bucket")
    async def get_website(self, call: Call) -> Answer:
        bucket = await self._find(call)
        raise ApiError("NoSuchWebsiteConfiguration", BucketName=bucket.name)

    # There is no s3:DeleteReplicationConfiguration: deleting is a way of putting.
    @operation("s3", "DeleteBucketReplication", "s3:PutReplicationConfiguration", on="bucket")
    @operation("s3", "DeleteBucketWebsite", "s3:DeleteBucketWebsite", on="bucket")
    async def delete_nothing(self, call: Call) -> Answer:
        await self._find(call)
        return Answer()

    @operation("s3", "ListBucketInventoryConfigurations", "s3:GetInventoryConfiguration", on="bucket")
    async def list_inventories(self, call: Call) -> Answer:
        await self._find(call)
        return Answer({"IsTruncated": False})

    @operation("s3", "DeleteBucketInventoryConfiguration", "s3:PutInventoryConfiguration", on="bucket")
    @operation("s3", "GetBucketInventoryConfiguration", "s3:GetInventoryConfiguration", on="bucket")
    async def no_inventory(self, call: Call) -> Answer:
        await self._find(call)
        raise ApiError("NoSuchConfiguration")

    async def _put_empty(self, call: Call, member: str, text: str) -> Answer:
        await self._find(call)
        given: dict[str, Any] = call.input.get(member) or {}
        if given:
            raise ApiError("NotImplemented", text)
        return Answer()

    async def _find(self, call: Call) -> Bucket:
        return await self._rooms.buckets.find(call.input["Bucket"])
