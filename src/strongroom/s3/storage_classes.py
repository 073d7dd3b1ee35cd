"""Storage classes: labels on one and the same storage, which say what a lifecycle may do next and what has to be restored first. Pure.

Never knows objects, rules or times. Source: "Transitioning objects using Amazon S3 Lifecycle" in the S3 user guide.
"""

from __future__ import annotations

from typing import Final

from strongroom.api.errors import ApiError

STANDARD: Final = "STANDARD"
INTELLIGENT_TIERING: Final = "INTELLIGENT_TIERING"
#: Classes whose objects are read only once they have been restored.
ARCHIVES: Final = frozenset({"GLACIER", "DEEP_ARCHIVE"})
#: Classes that objects stay out of for their first 30 days.
INFREQUENT: Final = frozenset({"STANDARD_IA", "ONEZONE_IA"})
CLASSES: Final = frozenset({STANDARD, "REDUCED_REDUNDANCY", INTELLIGENT_TIERING, "GLACIER_IR"}) | ARCHIVES | INFREQUENT
#: The classes a lifecycle moves objects to, the ones above first: it never moves an object up.
WATERFALL: Final = ("STANDARD_IA", INTELLIGENT_TIERING, "ONEZONE_IA", "GLACIER_IR", "GLACIER", "DEEP_ARCHIVE")
#: Which of several classes a lifecycle prefers: the cheapest, but Intelligent-Tiering over all that are no archive.
PREFERENCE: Final = {
    name: rank
    for rank, name in enumerate(("STANDARD_IA", "ONEZONE_IA", "GLACIER_IR", INTELLIGENT_TIERING, "GLACIER", "DEEP_ARCHIVE"))
}
#: Days between the arrival of an object in one class and its leaving for the next.
STAYS: Final = {"STANDARD_IA": 30, "ONEZONE_IA": 30, "GLACIER_IR": 90, "GLACIER": 90}
_NEVER: Final = frozenset({("ONEZONE_IA", "GLACIER_IR")})


def read_class(given: str | None) -> str:
    """The class that a write asks for. Raises ApiError InvalidStorageClass."""
    if not given:
        return STANDARD
    if given not in CLASSES:
        raise ApiError("InvalidStorageClass", StorageClassRequested=given)
    return given


def may_move(before: str, after: str) -> bool:
    """Whether a lifecycle may move an object from one class to another."""
    if after not in WATERFALL or (before, after) in _NEVER:
        return False
    return before not in WATERFALL or WATERFALL.index(before) < WATERFALL.index(after)
