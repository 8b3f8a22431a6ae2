"""The small pieces every text of GloboFS is made of: escapes, times, ids, header lines.

Each has exactly one spelling. What is read is refused when it is spelled in any other way, so
that equal things are equal bytes and have equal hashes. FORMAT.md, section 3, "Spelling".
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from globofs.errors import FormatError
from globofs.limits import PATH_BYTES, SECOND_NS, TIME_MAX_NS

HEADER_LINE_CHARS: Final = 3 * PATH_BYTES + 64
"""The longest header line: a path of the largest size with every byte escaped, and its key."""

_PLAIN = re.compile(rb"[!-$&-~]*+")
_ESCAPED = re.compile(r"(?:[!-$&-~]|%[0-9A-F]{2})*+")
_UNSAFE = re.compile(rb"[^!-$&-~]")
_PART = re.compile(r"%([0-9A-F]{2})")
_TIME = re.compile(r"(-?)(0|[1-9][0-9]{0,9})\.([0-9]{9})")
_UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
_HEX32 = re.compile(r"[0-9a-f]{64}")
_COUNT = re.compile(r"0|[1-9][0-9]{0,18}")
_LINE = re.compile(r"([a-z][a-z0-9_-]{0,31})=([!-~]*+)")
_LINES = re.compile(r"(?:[a-z][a-z0-9_-]{0,31}=[!-~]*+(?:\n|\Z))*+")


def escape(raw: bytes) -> str:
    """`raw` as printable ASCII without blanks: any other byte, and `%`, becomes `%XX`."""
    if _PLAIN.fullmatch(raw):
        return raw.decode("ascii")
    return _UNSAFE.sub(lambda found: b"%%%02X" % found[0][0], raw).decode("ascii")


def unescape(text: str) -> bytes:
    """The bytes `text` was made from. FormatError unless it is what `escape` makes of them."""
    if "%" not in text:
        if _ESCAPED.fullmatch(text):
            return text.encode("ascii")
    elif _ESCAPED.fullmatch(text):
        raw = _PART.sub(lambda found: chr(int(found[1], 16)), text).encode("latin-1")
        if escape(raw) == text:
            return raw
    raise FormatError(what=repr(text[:80]), reason="not percent-escaped text in its one spelling")


def format_time(ns: int) -> str:
    """`ns` nanoseconds since 1970 as `seconds.nanoseconds`, nine digits behind the point."""
    if ns < 0:
        return "-" + format_time(-ns)
    return f"{ns // SECOND_NS}.{ns % SECOND_NS:09d}"


def parse_time(text: str, *, signed: bool = False) -> int:
    """Nanoseconds since 1970. `signed`: before 1970 is allowed (of an mtime, never a version)."""
    found = _TIME.fullmatch(text)
    if found:
        ns = int(found[2]) * SECOND_NS + int(found[3])
        if ns <= TIME_MAX_NS and not (found[1] and (ns == 0 or not signed)):
            return -ns if found[1] else ns
    raise FormatError(what=repr(text[:40]), reason="not a time (seconds.nanoseconds)")


def parse_uuid(text: str) -> str:
    """`text` itself, checked to be a uuid in lower case with its hyphens."""
    if _UUID.fullmatch(text):
        return text
    raise FormatError(what=repr(text[:40]), reason="not a uuid in lower case")


def parse_hex32(text: str) -> bytes:
    """The 32 bytes of a SHA-256 spelled in 64 lower case hexadecimal digits."""
    if _HEX32.fullmatch(text):
        return bytes.fromhex(text)
    raise FormatError(what=repr(text[:80]), reason="not a SHA-256 in hexadecimal")


def parse_count(text: str, most: int) -> int:
    """A decimal number from 0 to `most`, without sign and leading zeros."""
    if _COUNT.fullmatch(text) and (number := int(text)) <= most:
        return number
    raise FormatError(what=repr(text[:40]), reason=f"not a number from 0 to {most}")


def check_field(key: str, value: str) -> None:
    """FormatError unless `key=value` can stand as a header line."""
    if len(key) + len(value) >= HEADER_LINE_CHARS or not _LINE.fullmatch(f"{key}={value}"):
        raise FormatError(what=repr(f"{key}={value}"[:80]), reason="not a header line")


def check_fields(fields: Sequence[tuple[str, str]], lines: str) -> None:
    """`check_field` for all of `fields`; `lines` are they as header lines, each with its end."""
    short = len(lines) < HEADER_LINE_CHARS and lines.count("\n") == len(fields)
    if short and _LINES.fullmatch(lines):
        return
    for key, value in fields:
        check_field(key, value)


def header_lines(text: str) -> list[tuple[str, str]]:
    """The `key=value` lines of `text`, in order, values as they are written (escaped).

    Keys are lower case; values printable ASCII without blanks. FormatError for any other line.
    """
    if _LINES.fullmatch(text) and not text.endswith("\n"):
        most = HEADER_LINE_CHARS
        if len(text) <= most or max(map(len, text.split("\n"))) <= most:
            return _LINE.findall(text)
    for line in text.split("\n"):
        if not _LINE.fullmatch(line) or len(line) > HEADER_LINE_CHARS:
            raise FormatError(what=repr(line[:80]), reason="not a header line (key=value)")
    return []
