"""Every class of this room that has operations, over one set of rooms. Never knows who calls them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from strongroom.s3.account_access import AccountAccess
from strongroom.s3.acls import Acls
from strongroom.s3.bucket_cors import BucketCors
from strongroom.s3.bucket_lifecycle import BucketLifecycle
from strongroom.s3.bucket_policies import BucketPolicies
from strongroom.s3.bucket_settings import BucketSettings
from strongroom.s3.bucket_tagging import BucketTagging
from strongroom.s3.buckets import Buckets
from strongroom.s3.copying import Copying
from strongroom.s3.deleting import Deleting
from strongroom.s3.kept_settings import KeptSettings
from strongroom.s3.listing import Listing
from strongroom.s3.multipart import Multipart
from strongroom.s3.object_annotations import ObjectAnnotations
from strongroom.s3.object_attributes import ObjectAttributes
from strongroom.s3.object_encryption import ObjectEncryption
from strongroom.s3.object_locking import ObjectLocking
from strongroom.s3.object_tagging import ObjectTagging
from strongroom.s3.parts import Parts
from strongroom.s3.posting import Posting
from strongroom.s3.reading import Reading
from strongroom.s3.renaming import Renaming
from strongroom.s3.restoring import Restoring
from strongroom.s3.unset_settings import UnsetSettings
from strongroom.s3.upload_listing import UploadListing
from strongroom.s3.version_listing import VersionListing
from strongroom.s3.writing import Writing

if TYPE_CHECKING:
    from strongroom.s3.rooms import Rooms


def s3_operations(rooms: Rooms) -> list[object]:
    reading, writing = Reading(rooms), Writing(rooms)
    return [
        Buckets(rooms),
        BucketSettings(rooms),
        BucketTagging(rooms),
        BucketCors(rooms),
        KeptSettings(rooms),
        UnsetSettings(rooms),
        BucketLifecycle(rooms),
        Restoring(rooms),
        BucketPolicies(rooms),
        Acls(rooms),
        AccountAccess(rooms),
        Listing(rooms),
        writing,
        Posting(writing),
        reading,
        ObjectAttributes(rooms, reading),
        ObjectAnnotations(rooms),
        Deleting(rooms),
        Copying(rooms, reading),
        ObjectEncryption(rooms),
        Renaming(rooms),
        ObjectTagging(rooms),
        ObjectLocking(rooms),
        Multipart(rooms),
        Parts(rooms, reading),
        UploadListing(rooms),
        VersionListing(rooms),
    ]
