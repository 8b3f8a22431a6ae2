"""Records of a journal and the frames that carry them. FORMAT.md, section 5.

A frame is `globofs-record LENGTH SHA256\\n` and a body of LENGTH bytes; the SHA-256 of the body is
also the record's id, which the next record of the same node names as `prev`. The marker never
stands inside a body, so damage can hide one record only: `scan` finds the next whatever lies
between. The kinds of records are in `kinds.py`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import sha256
from typing import Final, NamedTuple

from globofs.errors import FormatError
from globofs.format.text import (
    check_fields,
    format_time,
    header_lines,
    parse_time,
    parse_uuid,
)
from globofs.limits import RECORD_BYTES, SEQUENCE_MAX, TIME_MAX_NS

MARKER: Final = b"globofs-record "
FIRST_PREV: Final = bytes(32)
"""The `prev` of a journal's first record."""
BEFORE_APPEND: Final = b"\n"
"""What a writer puts before every append, so that a record begins on a line of its own."""

_FRAME = re.compile(rb"globofs-record ([1-9][0-9]{0,6}) ([0-9a-f]{64})\n")
_KIND = re.compile(r"[a-z][a-z0-9-]{0,31}")
_HEAD = re.compile(
    r"seq=([1-9][0-9]{0,15})\norigin=([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})\n"
    r"prev=([0-9a-f]{64})\nop=([1-9][0-9]{0,15})\nkind=([a-z][a-z0-9-]{0,31})\n"
    r"time=([0-9]{1,10}\.[0-9]{9})(?:\n|\Z)"
)


class Record(NamedTuple):
    """One thing a node did. A named tuple: an index is filled from a million of them.

    `seq` counts the records of `origin` (a node's uuid) from 1 without gaps; `prev` is the id of
    the record before; `op` the `seq` of the first record of the same operation; `time` is in
    nanoseconds. `fields` are values as they are written (escaped); `payload` is empty or ends in
    a newline.
    """

    seq: int
    origin: str
    prev: bytes
    op: int
    kind: str
    time: int
    fields: tuple[tuple[str, str], ...] = ()
    payload: bytes = b""

    def get(self, key: str) -> str | None:
        """The value of the field `key`, as written; None where there is none."""
        for name, value in self.fields:
            if name == key:
                return value
        return None

    def need(self, key: str) -> str:
        """The value of the field `key`. FormatError where there is none."""
        value = self.get(key)
        if value is None:
            raise FormatError(what=f"{self.kind} record", reason=f"{key}= is missing")
        return value

    def all(self, key: str) -> tuple[str, ...]:
        """Every value of the field `key`, in order."""
        return tuple([value for name, value in self.fields if name == key])


@dataclass(frozen=True, slots=True)
class Found:
    """A whole record; `raw` is its frame, `end` the offset behind it."""

    offset: int
    end: int
    id: bytes
    record: Record
    raw: bytes


class Framed(NamedTuple):
    """A whole frame whose body nobody has read yet."""

    offset: int
    end: int
    id: bytes
    body: bytes


@dataclass(frozen=True, slots=True)
class Damage:
    """Bytes between records, or before the end of a closed file, that are no record."""

    offset: int
    end: int
    reason: str


@dataclass(frozen=True, slots=True)
class Tail:
    """From `offset` on nothing can be read yet: more may come, or the file was cut there."""

    offset: int


def encode_record(record: Record) -> tuple[bytes, bytes]:
    """The frame of `record` and its id. FormatError for what `decode_body` would not take."""
    lines = "".join([f"{key}={value}\n" for key, value in record.fields])
    check_fields(record.fields, lines)
    return frame(record, lines, record.payload)


def frame(record: Record, lines: str, payload: bytes) -> tuple[bytes, bytes]:
    """The frame and the id of `record` with the fields `lines` (known to be header lines) and
    `payload` in place of its own. FormatError for what `decode_body` would not take."""
    r = record
    if not (0 < r.op <= r.seq <= SEQUENCE_MAX and 0 <= r.time <= TIME_MAX_NS and len(r.prev) == 32):
        raise _bad("a number is out of range")
    if not _KIND.fullmatch(r.kind):
        raise _bad(f"no kind: {r.kind!r}")
    if payload and not payload.endswith(b"\n"):
        raise _bad("the payload does not end in a newline")
    head = (
        f"seq={r.seq}\norigin={parse_uuid(r.origin)}\nprev={r.prev.hex()}\nop={r.op}"
        f"\nkind={r.kind}\ntime={format_time(r.time)}\n{lines}\n"
    )
    body = head.encode("ascii") + payload
    if MARKER in payload or len(body) > RECORD_BYTES:
        raise _bad("the payload holds a record's marker, or the record is too large")
    digest = sha256(body)
    return b"globofs-record %d %s\n%s" % (len(body), digest.hexdigest().encode(), body), (
        digest.digest()
    )


def decode_body(body: bytes) -> Record:
    """The record whose body is `body`. FormatError for anything that breaks a rule."""
    end = body.find(b"\n\n")
    if end < 0 or not body.endswith(b"\n"):
        raise _bad("it has no empty line behind its header, or ends within a line")
    try:
        header = body[:end].decode("ascii")
    except UnicodeDecodeError:
        raise _bad("its header is not ASCII") from None
    head = _HEAD.match(header)
    if head is None:
        raise _bad("its first lines are not seq, origin, prev, op, kind, time")
    seq, origin, prev, op, kind, time = head.groups()
    fields = header_lines(header[head.end() :]) if head.end() < len(header) else ()
    number, operation = int(seq), int(op)
    if not operation <= number <= SEQUENCE_MAX:
        raise _bad("its sequence number or operation is impossible")
    return Record(
        number,
        origin,
        bytes.fromhex(prev),
        operation,
        kind,
        parse_time(time),
        tuple(fields),
        body[end + 2 :],
    )


def scan(data: bytes, base: int = 0, final: bool = False) -> Iterator[Found | Damage | Tail]:
    """Every record in `data`, in order, and what lies between them; see `frames`."""
    for item in frames(data, base, final):
        if not isinstance(item, Framed):
            yield item
            continue
        try:
            record = decode_body(item.body)
        except FormatError as error:
            yield nonsense(item, error)
            continue
        raw = data[item.offset - base : item.end - base]
        yield Found(item.offset, item.end, item.id, record, raw)


def nonsense(framed: Framed, error: FormatError) -> Damage:
    """What a whole frame is whose body breaks a rule: its writer's fault, not the disk's. It is
    over and done."""
    return Damage(framed.offset, framed.end, str(error.fields["reason"]))


def frames(data: bytes, base: int = 0, final: bool = False) -> Iterator[Framed | Damage | Tail]:
    """Every whole frame in `data`, in order, and what lies between them.

    `base` is the offset of `data` in its file; all offsets given out count from the file's start.
    What cannot be read at the end is a `Tail` (ask again from there), unless the file is `final`
    (closed, it will not grow): then it is `Damage`. Empty lines between records are nothing.
    Takes time in proportion to `data`, whatever a stranger wrote there.
    """
    clean = 0  # everything before was yielded
    search = 0
    while True:
        start = data.find(MARKER, search)
        if start < 0:
            break
        head = _FRAME.match(data, start)
        end = head.end() + int(head[1]) if head else 0
        digest = _whole(data, head, end) if head else None
        if head is None or digest is None:
            search = start + 1
            continue
        if data[clean:start].strip(b"\n"):
            yield from _between(data, clean, start, base)
        yield Framed(base + start, base + end, digest, data[head.end() : end])
        clean = search = end
    rest = data[clean:].lstrip(b"\n")
    if not rest:
        return
    at = len(data) - len(rest)
    if final:
        yield from _between(data, at, len(data), base)
    else:
        yield Tail(base + at)


def _whole(data: bytes, head: re.Match[bytes], end: int) -> bytes | None:
    """The SHA-256 of the body that `head` announces, if it is there, unharmed."""
    start = head.end()
    if end > len(data) or end - start > RECORD_BYTES:
        return None
    # A body holds no marker. Looking for one first keeps the work linear: without it every one
    # of a thousand forged markers could make us hash the same four megabytes again.
    if data.find(MARKER, start, end) >= 0:
        return None
    digest = sha256(memoryview(data)[start:end]).digest()
    return digest if digest.hex().encode() == head[2] else None


def _between(data: bytes, start: int, end: int, base: int) -> Iterator[Damage]:
    """The damage between two records, if it is more than empty lines."""
    piece = data[start:end]
    if not piece.strip(b"\n"):
        return
    at = end - len(piece.lstrip(b"\n"))
    if not piece.strip(b"\n\0"):
        reason = "zeros where a record should be"
    elif MARKER in piece:
        reason = "a damaged record"
    else:
        reason = "bytes that are no record"
    yield Damage(base + at, base + end, reason)


def _bad(reason: str) -> FormatError:
    return FormatError(what="record", reason=reason)
