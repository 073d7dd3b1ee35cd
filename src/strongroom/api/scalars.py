"""Single values on the wire: timestamps, booleans, integers, header text, XML text. Never knows a shape or an operation.

Timestamps are aware datetimes in UTC. Sources: RFC 9110 §5.6.7 (HTTP dates), RFC 3339, RFC 2047, XML 1.0 §2.2.
"""

from __future__ import annotations

import re
from base64 import b64encode
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any, Final

_DAYS: Final = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MONTHS: Final = ("", "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_MONTH: Final = {name: number for number, name in enumerate(_MONTHS) if name}
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_LONGEST: Final = 64  # characters of a timestamp; also the longest integer worth reading

_FIXDATE: Final = re.compile(
    r"(?:[A-Za-z]{3,9}, ?)?(\d{1,2})[ -]([A-Za-z]{3})[ -](\d{4}|\d{2}) (\d{2}):(\d{2}):(\d{2}) ?(?:GMT|UTC|[+-]0000)", re.ASCII
)
_ASCTIME: Final = re.compile(r"[A-Za-z]{3} ([A-Za-z]{3}) {1,2}(\d{1,2}) (\d{2}):(\d{2}):(\d{2}) (\d{4})", re.ASCII)
_ISO: Final = re.compile(
    r"(\d{4})-?(\d\d)-?(\d\d)(?:[T ](\d\d):?(\d\d)(?::?(\d\d)(?:[.,](\d{1,9}))?)?(Z|[+-]\d\d:?\d\d)?|Z)?", re.ASCII
)
_SECONDS: Final = re.compile(r"-?\d{1,12}(?:\.\d{1,9})?", re.ASCII)
_INTEGER: Final = re.compile(r"[+-]?\d{1,19}", re.ASCII)

#: Header text that can be sent as it is; everything else is wrapped by RFC 2047, so that no value can end a header.
_PLAIN: Final = re.compile(r"[\x20-\x7e]*")
_NOT_XML: Final = re.compile('[<>&"\x00-\x08\x0b-\x1f\x7f\ufffe\uffff\ud800-\udfff]')
_ENTITIES: Final = {"<": "&lt;", ">": "&gt;", "&": "&amp;", '"': "&quot;"}


def parse_timestamp(text: str) -> datetime:
    """An HTTP date (IMF-fixdate, RFC 850, asctime), ISO 8601, or epoch seconds. Raises ValueError."""
    text = text.strip()
    if len(text) > _LONGEST:
        raise ValueError("not a timestamp")
    if match := _FIXDATE.fullmatch(text):
        day, month, year, *clock = match.groups()
        return _moment(_year(year), month, day, clock)
    if match := _ASCTIME.fullmatch(text):
        month, day, *clock, year = match.groups()
        return _moment(int(year), month, day, clock)
    if match := _ISO.fullmatch(text):
        return _iso(match)
    if _SECONDS.fullmatch(text):
        return from_seconds(float(text))
    raise ValueError("not a timestamp")


def from_seconds(seconds: float) -> datetime:
    """Epoch seconds. Raises ValueError."""
    try:
        return _EPOCH + timedelta(seconds=seconds)
    except OverflowError as error:
        raise ValueError("not a timestamp") from error


def _year(text: str) -> int:
    """Two digits are RFC 850's: within 1970 to 2069."""
    return int(text) if len(text) > 2 else int(text) + (1900 if int(text) >= 70 else 2000)


def _moment(year: int, month: str, day: str, clock: list[str]) -> datetime:
    number = _MONTH.get(month.title())
    if number is None:
        raise ValueError("not a timestamp")
    hour, minute, second = (int(part) for part in clock)
    return datetime(year, number, int(day), hour, minute, min(second, 59), tzinfo=UTC)


def _iso(match: re.Match[str]) -> datetime:
    year, month, day, hour, minute, second, fraction, zone = match.groups()
    micros = int((fraction or "0").ljust(6, "0")[:6])
    moment = datetime(
        int(year), int(month), int(day), int(hour or 0), int(minute or 0), min(int(second or 0), 59), micros, tzinfo=UTC
    )
    if zone and zone != "Z":
        away = timedelta(hours=int(zone[1:3]), minutes=int(zone[-2:]))
        try:
            moment = moment - away if zone[0] == "+" else moment + away
        except OverflowError as error:
            raise ValueError("not a timestamp") from error
    return moment


def parse_integer(text: str) -> int:
    """Raises ValueError for anything but a decimal integer of at most 19 digits."""
    if not _INTEGER.fullmatch(text):
        raise ValueError("not an integer")
    return int(text)


def parse_boolean(text: str) -> bool:
    """``true`` or ``false``, in any case. Raises ValueError."""
    lowered = text.lower()
    if lowered not in ("true", "false"):
        raise ValueError("not a boolean")
    return lowered == "true"


@lru_cache(maxsize=2048)
def http_date(moment: datetime | str) -> str:
    """RFC 9110's IMF-fixdate; text is passed on as it is."""
    if isinstance(moment, str):
        return moment
    utc = _utc(moment)
    clock = f"{utc.hour:02}:{utc.minute:02}:{utc.second:02}"
    return f"{_DAYS[utc.weekday()]}, {utc.day:02} {_MONTHS[utc.month]} {utc.year:04} {clock} GMT"


@lru_cache(maxsize=2048)
def iso_millis(moment: datetime | str) -> str:
    """``2026-02-21T10:00:00.000Z``, as S3 writes it; text is passed on as it is."""
    if isinstance(moment, str):
        return moment
    utc = _utc(moment)
    clock = f"{utc.hour:02}:{utc.minute:02}:{utc.second:02}.{utc.microsecond // 1000:03}"
    return f"{utc.year:04}-{utc.month:02}-{utc.day:02}T{clock}Z"


def iso_seconds(moment: datetime | str) -> str:
    """``2026-02-21T10:00:00Z``, as IAM and STS write it; text is passed on as it is."""
    return moment if isinstance(moment, str) else iso_millis(moment)[:-5] + "Z"


def epoch_seconds(moment: datetime) -> float:
    """Seconds since the epoch to the millisecond."""
    return round((_utc(moment) - _EPOCH) / timedelta(seconds=1), 3)


def _utc(moment: datetime) -> datetime:
    """Raises ValueError for a datetime without a zone: guessing one is how times go wrong."""
    if moment.tzinfo is None:
        raise ValueError("a timestamp without a time zone")
    return moment if moment.tzinfo is UTC else moment.astimezone(UTC)


def truth(value: Any) -> str:
    return "true" if value else "false"


def header_text(value: str) -> str:
    """A value that is safe in a header: plain ASCII as it is, everything else (also CR and LF) as an RFC 2047 encoded word."""
    if _PLAIN.fullmatch(value):
        return value
    return f"=?UTF-8?B?{b64encode(value.encode('utf-8', 'replace')).decode()}?="


def text_of_header(value: str) -> str:
    """What a client meant: servers hand header bytes over as latin-1, clients send UTF-8. Encoded words stay as they are."""
    if value.isascii():
        return value
    try:
        return value.encode("latin-1").decode()
    except UnicodeError:
        return value  # it was text already, or real latin-1


def xml_text(value: str) -> str:
    """Escaped for an element or attribute. Characters that XML 1.0 cannot carry become numeric references, as S3 sends them."""
    if _NOT_XML.search(value) is None:
        return value
    return _NOT_XML.sub(lambda match: _ENTITIES.get(match[0]) or f"&#x{ord(match[0]):x};", value)
