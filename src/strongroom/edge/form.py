"""A form upload: the fields are read first and say who asks for what, the file is then read by whoever stores it.

``FormFile`` is a ``RawBody``, so that the file goes through the same verifier as every other body. The last byte of the
form is seen before the file ends: what was cut off, or holds a second file, is never stored. Never knows what a field means.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from strongroom.api.errors import ApiError
from strongroom.api.post_form import read_fields
from strongroom.edge.claims import ALGORITHM, Claim, moment_of, split_credential
from strongroom.edge.form_policy import FormPolicy
from strongroom.edge.form_reader import FormReader, boundary_of
from strongroom.edge.limits import UPLOAD_MOST, content_length
from strongroom.edge.stall import Pace, Stall

if TYPE_CHECKING:
    from datetime import datetime

    from strongroom.api.routing import Route
    from strongroom.edge.head import RawBody
    from strongroom.edge.refusals import Refusals

_SIGNED: Final = ("X-Amz-Algorithm", "X-Amz-Credential", "X-Amz-Date", "X-Amz-Signature")
_V2: Final = frozenset({"awsaccesskeyid", "signature"})


class FormFile:
    """The ``RawBody`` of the file. Its last byte comes when all of the form has been seen."""

    def __init__(self, headers: Mapping[str, str], raw: RawBody) -> None:
        """Raises ApiError PreconditionFailed, MalformedPOSTRequest, MissingContentLength."""
        self.reader = FormReader(boundary_of(headers.get("content-type", "")))
        length = content_length(headers)
        if length is None:
            raise ApiError("MissingContentLength")
        self.least, self.most = 0, UPLOAD_MOST  # bytes
        self._left = length  # bytes as sent that are still to come
        self._arriving = raw.__aiter__()
        self._begun = b""  # what came together with the fields
        self._size = 0  # so far

    async def read_fields(self, pace: Pace) -> None:
        """Everything before the file. Raises ApiError."""
        stall = Stall(pace)
        received = 0
        try:
            while self.reader.filename is None:
                try:
                    part = await stall.wait(self._arriving.__anext__(), received)
                except StopAsyncIteration:
                    self._finish()
                    raise ApiError("MalformedPOSTRequest") from None  # not reached: a form without a file is not finished
                received += len(part)
                self._begun = self._take(part)
        finally:
            stall.end()

    async def __aiter__(self) -> AsyncIterator[bytes]:
        part, self._begun = self._begun, b""
        while True:
            if part:
                self._measure(len(part))
                yield part
            try:
                part = self._take(await self._arriving.__anext__())
            except StopAsyncIteration:
                break
        self._finish()
        if self._size < self.least:
            raise ApiError("EntityTooSmall", ProposedSize=str(self._size), MinSizeAllowed=str(self.least))

    async def whole(self) -> bytes:
        return b"".join([part async for part in self])

    def _take(self, part: bytes) -> bytes:
        self._left -= len(part)
        if self._left < 0:
            raise _incomplete()
        return self.reader.feed(part)

    def _measure(self, size: int) -> None:
        self._size += size
        if self._size > self.most:
            # What is still to come is of the file too, but for the last boundary.
            proposed = max(self._size, self._size + self._left - self.reader.owed)
            raise ApiError("EntityTooLarge", ProposedSize=str(proposed), MaxSizeAllowed=str(self.most))

    def _finish(self) -> None:
        if self._left:
            raise _incomplete()
        self.reader.finish()


@dataclass(frozen=True, slots=True)
class PostedForm:
    claim: Claim | None
    route: Route  # with the key that the form names
    fields: Mapping[str, str] = field(repr=False)  # by lower-case name; may hold a customer's key, as the headers
    headers: dict[str, str] = field(repr=False)  # what the fields say, as headers
    file: FormFile

    @classmethod
    async def read(cls, file: FormFile, route: Route, headers: Mapping[str, str], refusals: Refusals, pace: Pace) -> PostedForm:
        """Up to the file. Raises ApiError."""
        await file.read_fields(pace)
        sent = file.reader.fields
        if "key" not in sent:
            raise missing_field("key")
        claim = form_claim(sent, refusals)
        filename = (file.reader.filename or "").replace("\\", "/").rpartition("/")[2]  # some browsers send its folders, too
        form = read_fields(route, sent, filename, headers)
        if not form.route.key:
            text = "User key must have a length greater than 0."
            raise ApiError("InvalidArgument", text, ArgumentName="key", ArgumentValue="")
        return cls(claim, form.route, form.fields, form.headers, file)

    def check_policy(self, now: datetime) -> None:
        """Hold the form to its policy, whose signature is known to be good, and the file to its size. Raises ApiError."""
        policy = FormPolicy.parse(self.fields["policy"])
        policy.check(self.fields, self.route.bucket, now)
        self.file.least = policy.least
        self.file.most = UPLOAD_MOST if policy.most is None else min(policy.most, UPLOAD_MOST)


def form_claim(fields: Mapping[str, str], refusals: Refusals) -> Claim | None:
    """What a form claims about who signed its policy; None when it says nothing of the kind. Raises ApiError (facts E29, E31)."""
    if not _V2.isdisjoint(fields):
        raise refusals.unsupported("AWS ")
    if "policy" not in fields and not any(name.lower() in fields for name in _SIGNED):
        return None
    for name in ("Policy", *_SIGNED):
        if not fields.get(name.lower()):
            raise missing_field(name)
    algorithm, credential, timestamp, signature = (fields[name.lower()] for name in _SIGNED)
    if algorithm != ALGORITHM:
        text = f'X-Amz-Algorithm only supports "{ALGORITHM}"'
        raise ApiError("InvalidArgument", text, ArgumentName="X-Amz-Algorithm", ArgumentValue=algorithm)
    access_key_id, date, region, service = split_credential(credential, refusals, query=True)
    signed_at = moment_of(timestamp)
    if signed_at is None:
        text = "X-Amz-Date must be in the ISO8601 Long Format \"yyyyMMdd'T'HHmmss'Z'\""
        raise refusals.malformed(text, query=True)
    return Claim(
        access_key_id,
        credential,
        date,
        region,
        service,
        [],
        signature,
        timestamp,
        signed_at,
        "",
        token=fields.get("x-amz-security-token"),
        policy=fields["policy"],
    )


def missing_field(name: str) -> ApiError:
    text = f"Bucket POST must contain a field named '{name}'.  If it is specified, please check the order of the fields."
    return ApiError("InvalidArgument", text, ArgumentName=name, ArgumentValue="")


def _incomplete() -> ApiError:
    return ApiError("IncompleteBody", "You did not provide the number of bytes specified by the Content-Length HTTP header")
