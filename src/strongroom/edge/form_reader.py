"""A body of multipart/form-data, taken apart as it arrives: fields, then one file. Pure and without input or output.

Strict where RFC 7578 and RFC 2046 leave room, since what two readers understand differently is a way in: no preamble, no padding
behind a boundary, no field twice. Holds the fields and at most a boundary's length of the file, whatever its size. Never knows what a
field means.
"""

from __future__ import annotations

import re
from enum import Enum, auto
from typing import Final, NoReturn

from strongroom.api.errors import ApiError

FIELDS_MOST: Final = 20 << 10  # bytes of the names and values of all fields, as S3 has it
PARTS_MOST: Final = 100
_HEADERS_MOST: Final = 2 << 10  # bytes of the headers of one part
FILE: Final = "file"  # the field that is the file

_BOUNDARY: Final = re.compile(
    r'boundary=(?:"([0-9A-Za-z\'()+_,./:=? -]{1,70})"|([0-9A-Za-z\'()+_,./:=?-]{1,70}))\s*(?:;|$)', re.IGNORECASE
)
_DISPOSITION: Final = re.compile(r'form-data((?:;[ \t]*[A-Za-z*]+=(?:"(?:\\"|[^"])*"|[^";\s]*)[ \t]*)*)', re.IGNORECASE)
_PARAMETER: Final = re.compile(r';[ \t]*([A-Za-z*]+)=(?:"((?:\\"|[^"])*)"|([^";\s]*))')
_PLAIN_CODINGS: Final = frozenset({"binary", "8bit", "7bit"})


class _At(Enum):
    DELIMITER = auto()  # what follows a boundary: another part or the end
    HEADERS = auto()
    FIELD = auto()
    FILE = auto()
    END = auto()


def boundary_of(content_type: str) -> bytes:
    """Raises ApiError PreconditionFailed for another type, MalformedPOSTRequest for none that is one."""
    kind, _, rest = content_type.partition(";")
    if kind.strip().lower() != "multipart/form-data":
        condition = "Bucket POST must be of the enclosure-type multipart/form-data"
        raise ApiError("PreconditionFailed", Condition=condition)
    found = _BOUNDARY.search(rest)
    boundary = "" if found is None else found[1] or found[2]
    if not boundary or boundary.endswith(" "):
        _malformed()
    return boundary.encode()


class FormReader:
    """``feed`` it what arrives, in pieces of any size; call ``finish`` when nothing more comes."""

    def __init__(self, boundary: bytes) -> None:
        self.fields: dict[str, str] = {}  # lower-case name -> value; those before the file
        self.filename: str | None = None  # of the file, "" when it has none; None until the file begins
        self._delimiter = b"\r\n--" + boundary
        self._held = b"\r\n"  # what is not judged yet; the first boundary needs no line before it
        self._at = _At.FIELD  # of nothing: what comes before the first boundary must be empty
        self._name = ""
        self._behind = False  # the file is over
        self._size = 0  # bytes of fields
        self._parts = 0
        self._first = True

    def feed(self, data: bytes) -> bytes:
        """What of the file is in it. Raises ApiError."""
        self._held += data
        out: list[bytes] = []
        while self._step(out):
            pass
        return out[0] if len(out) == 1 else b"".join(out)

    @property
    def owed(self) -> int:
        """Bytes still to come that are not of the file, less those of it that are held back; if only the last boundary is behind it."""
        return len(self._delimiter) + len(b"--\r\n") - len(self._held)

    def finish(self) -> None:
        """Raises ApiError when the form was cut off, or had no file."""
        if self._at is not _At.END:
            _malformed()
        if self.filename is None:
            raise ApiError(
                "InvalidArgument",
                "POST requires exactly one file upload per request.",
                ArgumentName=FILE,
                ArgumentValue="0",
            )

    def _step(self, out: list[bytes]) -> bool:
        """Whether there may be more to do with what is held."""
        if self._at is _At.FILE:
            return self._take_file(out)
        if self._at is _At.FIELD:
            return self._take_field()
        if self._at is _At.HEADERS:
            return self._take_headers()
        if self._at is _At.DELIMITER:
            return self._take_delimiter()
        if self._held not in {b"", b"\r", b"\r\n"}:
            _malformed()
        return False

    def _take_file(self, out: list[bytes]) -> bool:
        held, delimiter = self._held, self._delimiter
        stop = held.find(delimiter)
        if stop < 0:
            ready = len(held) - len(delimiter) + 1
            if ready > 0:
                out.append(held[:ready])
                self._held = held[ready:]
            return False
        if stop:
            out.append(held[:stop])
        self._held = held[stop + len(delimiter) :]
        self._at, self._behind = _At.DELIMITER, True
        return True

    def _take_field(self) -> bool:
        stop = self._held.find(self._delimiter)
        if self._first:
            if stop > 0 or not self._delimiter.startswith(self._held[: len(self._delimiter)]):
                _malformed()
            if stop < 0:
                return False
            self._first = False
        elif stop < 0:
            self._check_size(len(self._held) - len(self._delimiter))
            return False
        else:
            self._keep(self._held[:stop])
        self._held = self._held[stop + len(self._delimiter) :]
        self._at = _At.DELIMITER
        return True

    def _check_size(self, more: int) -> None:
        if self._size + len(self._name.encode()) + more > FIELDS_MOST:
            _too_large()

    def _keep(self, value: bytes) -> None:
        """S3 takes no notice of fields behind the file; here they are counted, and no more."""
        self._check_size(len(value))
        self._size += len(self._name.encode()) + len(value)
        if self._behind:
            return
        name = self._name.lower()
        if name in self.fields:
            _malformed()
        self.fields[name] = _text(value)

    def _take_delimiter(self) -> bool:
        if len(self._held) < 2:
            return False
        after, self._held = self._held[:2], self._held[2:]
        if after == b"--":
            self._at = _At.END
        elif after == b"\r\n":
            self._at = _At.HEADERS
            self._parts += 1
            if self._parts > PARTS_MOST:
                _too_large()
        else:
            _malformed()
        return True

    def _take_headers(self) -> bool:
        stop = self._held.find(b"\r\n\r\n")
        if len(self._held if stop < 0 else self._held[:stop]) > _HEADERS_MOST or self._held.startswith(b"\r\n"):
            _malformed()
        if stop < 0:
            return False
        self._name, filename = _described(_text(self._held[:stop]))
        self._held = self._held[stop + 4 :]
        if self._name.lower() != FILE:
            self._at = _At.FIELD
            return True
        if self._behind:
            raise ApiError("IncorrectNumberOfFilesInPostRequest")
        self.filename = filename
        self._at = _At.FILE
        return True


def _described(headers: str) -> tuple[str, str]:
    """Name and file name of a part. Raises ApiError MalformedPOSTRequest."""
    found: dict[str, str] = {}
    for line in headers.split("\r\n"):
        name, colon, value = line.partition(":")
        name = name.lower()
        if not colon or name in found or not name.isascii() or name != name.strip() or "\n" in line or "\r" in line:
            _malformed()
        found[name] = value.strip()
    if found.get("content-transfer-encoding", "binary").lower() not in _PLAIN_CODINGS:
        _malformed()
    disposition = _DISPOSITION.fullmatch(found.get("content-disposition", ""))
    if disposition is None:
        _malformed()
    parameters: dict[str, str] = {}
    for name, quoted, plain in _PARAMETER.findall(disposition[1]):
        if name.lower() in parameters:
            _malformed()
        parameters[name.lower()] = quoted.replace('\\"', '"') or plain
    if not parameters.get("name"):
        _malformed()
    return parameters["name"], parameters.get("filename", "")


def _text(value: bytes) -> str:
    try:
        return value.decode()
    except UnicodeDecodeError:
        _malformed()


def _malformed() -> NoReturn:
    raise ApiError("MalformedPOSTRequest")


def _too_large() -> NoReturn:
    raise ApiError("MaxPostPreDataLengthExceededError")
