"""What S3 says of a document that the model would merely call malformed: the few elements with a refusal of their own. Only tables.

Facts: 8.14 of the encryption facts (rows c, e and h of UpdateObjectEncryption).
"""

from __future__ import annotations

from typing import Final

Refusal = tuple[str, str]  # code, message


def _refusal(message: str) -> Refusal:
    return "InvalidRequest", message


_OTHER_TYPE: Final = _refusal(
    "The UpdateObjectEncryption operation doesn't support updating the encryption type to DSSE-KMS or SSE-C. Modify the request to "
    "specify SSE-KMS for the updated encryption type, and then try again."
)
NO_TYPE: Final = _refusal(
    "Requests that modify an object encryption configuration require a valid new encryption type. Valid values are SSEKMS. Modify the "
    "request to specify SSE-KMS for the updated encryption type, and then try again."
)

#: Members that the model requires and whose absence S3 answers with a text of its own: the run asks for them. (shape, member)
ASKED_BY_THE_RUN: Final = frozenset({("SSEKMSEncryption", "KMSKeyArn")})

#: Members whose bad value S3 answers with a text of its own. (shape, member)
BAD_VALUES: Final[dict[tuple[str, str], Refusal]] = {
    ("SSEKMSEncryption", "BucketKeyEnabled"): _refusal(
        "The BucketKeyEnabled value isn't valid. Valid values are true or false. Modify the request to specify a valid value, and then "
        "try again."
    ),
}

#: Shapes of which an element that they do not have is answered with a text of its own: by element, and "" for any other.
OTHER_ELEMENTS: Final[dict[str, dict[str, Refusal]]] = {
    "ObjectEncryption": {"DSSE-KMS": _OTHER_TYPE, "SSE-KMS-DSSE": _OTHER_TYPE, "SSE-C": _OTHER_TYPE, "": NO_TYPE},
}
