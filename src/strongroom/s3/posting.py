"""PostObject: an upload from a browser's form. The object is written as PutObject writes it; only the answer is a form's own.

Never knows how a form is taken apart or signed. Source: "POST Object" in the S3 API reference.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote, urlencode, urlsplit

from strongroom.api.operation import Answer, operation

if TYPE_CHECKING:
    from collections.abc import Mapping

    from strongroom.api.operation import Call
    from strongroom.s3.writing import Writing

NO_CONTENT: Final = 204
_STATUSES: Final = {"200": 200, "201": 201, "204": 204}
_NOT_IN_ADDRESS: Final = re.compile(r"[\x00-\x20\x7f]")


class Posting:
    def __init__(self, writing: Writing) -> None:
        self._writing = writing

    @operation("s3", "PostObject", "s3:PutObject", on="object")
    async def post_object(self, call: Call) -> Answer:
        given = call.input
        output: dict[str, Any] = await self._writing.store(call)
        redirect = redirected(given.get("SuccessActionRedirect"), given, output["ETag"])
        if redirect is not None:
            return Answer(output | {"Location": redirect}, 303)
        location = location_of(call)
        output["Location"] = location
        status = _STATUSES.get(given.get("SuccessActionStatus") or "", NO_CONTENT)
        if status == 201:
            place = {"Bucket": given["Bucket"], "Key": given["Key"]}
            output["PostResponse"] = {"Location": location, **place, "ETag": output["ETag"]}
        return Answer(output, status)


def location_of(call: Call) -> str:
    """Where the object is, by the way that the client came."""
    path = call.input["Key"] if call.virtual_host else f"{call.input['Bucket']}/{call.input['Key']}"
    return f"{call.base_url}/{quote(path)}"


def redirected(address: str | None, given: Mapping[str, Any], etag: str) -> str | None:
    """The address that a browser is sent to, told what it has uploaded; None for none that can be understood, as S3 has it."""
    if not address or _NOT_IN_ADDRESS.search(address):
        return None
    try:
        parts = urlsplit(address)
    except ValueError:
        return None
    if parts.scheme not in {"http", "https"} or not parts.netloc:
        return None
    told = urlencode({"bucket": given["Bucket"], "key": given["Key"], "etag": etag})
    query = f"{parts.query}&{told}" if parts.query else told
    return quote(parts._replace(query=query).geturl(), safe="%/:=&?~#+!$,;'@()*[]")
