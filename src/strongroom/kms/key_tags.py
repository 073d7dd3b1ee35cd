"""Tags of keys in the KMS API.

Never knows what they are for.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from strongroom.api.operation import Answer, Call, operation
from strongroom.kms.access import Use, change, find
from strongroom.kms.paging import Markers, limit
from strongroom.kms.tagging import given_tags, merged_tags

if TYPE_CHECKING:
    from strongroom.kms.ring import KeyRing

LIST_TAGS: Final = Use("ListResourceTags", "kms:ListResourceTags")
TAG: Final = Use("TagResource", "kms:TagResource")
UNTAG: Final = Use("UntagResource", "kms:UntagResource")


class KeyTags:
    def __init__(self, ring: KeyRing, markers: Markers) -> None:
        self._ring = ring
        self._markers = markers

    @operation("kms", "ListResourceTags", "kms:ListResourceTags", on="run")
    async def list_resource_tags(self, call: Call) -> Answer:
        size = limit(call, 50, 50)
        record = await find(self._ring, call, LIST_TAGS)
        start = int(self._markers.read(call, within=record.name.key_id) or 0)
        page = record.tags[start : start + size]
        more = len(record.tags) > start + size
        output: dict[str, Any] = {"Tags": [{"TagKey": key, "TagValue": value} for key, value in page], "Truncated": more}
        if more:
            output["NextMarker"] = self._markers.write(call, str(start + size), within=record.name.key_id)
        return Answer(output)

    @operation("kms", "TagResource", "kms:TagResource", on="run")
    async def tag_resource(self, call: Call) -> Answer:
        tags = given_tags(call.input["Tags"])
        await change(self._ring, call, TAG, lambda record: replace(record, tags=merged_tags(record.tags, tags)))
        return Answer()

    @operation("kms", "UntagResource", "kms:UntagResource", on="run")
    async def untag_resource(self, call: Call) -> Answer:
        unwanted: frozenset[str] = frozenset(call.input["TagKeys"])
        await change(
            self._ring,
            call,
            UNTAG,
            lambda record: replace(record, tags=tuple(tag for tag in record.tags if tag[0] not in unwanted)),
        )
        return Answer()
