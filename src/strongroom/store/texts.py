"""What the SQL of the catalog is called: the texts that a driver is given, by name, and the format of a folder that they read.

They are written in SQLAlchemy Core (``schema``, ``statements``) and compiled into modules like ``sqlite_texts`` beforehand: a server
that compiled them itself would spend half a second of its start on it. Never knows a connection.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

FORMAT: Final = 2  # raised when an older Strongroom could no longer read or write the folder
EARLIER: Final = frozenset({"1"})  # formats that are read, and become this one


@dataclass(frozen=True, slots=True)
class Statements:
    """SQL texts; what each takes and gives stands in ``statements``."""

    format: str
    set_format: str
    delete_about: str
    bucket: str
    bucket_number: str
    buckets: str
    buckets_in_region: str
    every_bucket: str
    count_buckets: str
    insert_bucket: str
    any_version: str
    any_annotation: str
    delete_bucket: str
    current: str
    hidden: str
    numbered: str
    current_null: str
    hidden_null: str
    list_current: str
    list_versions: str
    count_versions: str
    tx_current: str
    tx_hidden: str
    tx_numbered: str
    tx_hidden_null: str
    insert_version: str
    set_current: str
    replace_version: str
    delete_version: str
    reseal_version: str
    annotation: str
    annotations: str
    insert_annotation: str
    update_annotation: str
    move_annotation: str
    delete_annotation: str
    delete_annotations: str
    upload: str
    uploads: str
    insert_upload: str
    delete_upload: str
    delete_uploads: str
    part: str
    part_number: str
    parts: str
    parts_of_bucket: str
    insert_part: str
    update_part: str
    delete_parts: str
    delete_parts_of_bucket: str
    document: str
    documents: str
    insert_document: str
    delete_document: str
    delete_documents: str
    keep: str
    unkeep: str
    discard: str
    forget: str
    discarded: str
    discarded_mark: str
    is_kept: str
    is_named: str
