"""`upstream/applied`: what a node has received and built, for its peers to read.

It is the acknowledgement of a push: `received` means durable in that node's own directory.
FORMAT.md, section 5, "Applied".
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final, NamedTuple

from globofs.errors import FormatError
from globofs.format.text import parse_count, parse_hex32, parse_uuid
from globofs.limits import APPLIED_BYTES, GAPS_MAX, SEQUENCE_MAX

FIRST_LINE: Final = "globofs-applied 1"
_LAST_LINE: Final = re.compile(rb"\nend [^\n]*\n\Z")


class Position(NamedTuple):
    """How far a node has come in one origin's journal.

    `received`: the highest sequence number that is durable there, 0 for none; `hash`: the id of
    that record (32 zero bytes for none); `gaps`: what is lacking below it, as first and last
    number, both counted, ascending; `built`: everything up to there is in `root/`.
    """

    received: int = 0
    hash: bytes = bytes(32)
    gaps: tuple[tuple[int, int], ...] = ()
    built: int = 0

    @property
    def gapless(self) -> int:
        """Everything up to this number has been received."""
        return self.gaps[0][0] - 1 if self.gaps else self.received


Applied = dict[str, Position]
"""A node's position in the journal of each origin, by the origin's uuid."""


def encode(applied: Mapping[str, Position]) -> bytes:
    """The text of `applied`, one line an origin in the order of their uuids.

    Of more than 1000 gaps the later ones are joined: what lies between is asked for again.
    """
    lines = [FIRST_LINE]
    for origin in sorted(applied):
        p = applied[origin]
        gaps = p.gaps
        if len(gaps) > GAPS_MAX:
            gaps = (*gaps[: GAPS_MAX - 1], (gaps[GAPS_MAX - 1][0], gaps[-1][1]))
        spans = ",".join([f"{low}-{high}" for low, high in gaps]) or "-"
        lines.append(f"{parse_uuid(origin)} {p.received} {p.hash.hex()} {p.built} {spans}")
    lines.append(f"end {len(applied)}\n")
    return "\n".join(lines).encode("ascii")


def decode(data: bytes, *, where: str = "applied") -> Applied:
    """The positions in `data`. FormatError if it is torn or breaks a rule."""
    try:
        return _decode(data)
    except FormatError as error:
        raise FormatError(what=where, reason=error.fields["reason"]) from None
    except UnicodeDecodeError:
        raise FormatError(what=where, reason="not ASCII") from None


def why_refused(data: bytes) -> str:
    """Why `data` can never be read; empty for what may be torn just now, or is sound."""
    first, newline, _ = data.partition(b"\n")
    begins = FIRST_LINE.encode("ascii")
    if not data.strip(b"\0\n") or (not newline and begins.startswith(first)):
        return ""
    if first == begins and not _LAST_LINE.search(data):
        return ""
    try:
        decode(data)
    except FormatError as error:
        return str(error.fields["reason"])
    return ""


def _decode(data: bytes) -> Applied:
    if len(data) > APPLIED_BYTES:
        raise _bad(f"larger than {APPLIED_BYTES} bytes")
    lines = data.decode("ascii").split("\n")
    if lines[0] != FIRST_LINE:
        raise _bad(f"its first line is not {FIRST_LINE!r}")
    if len(lines) < 3 or lines[-1] or lines[-2] != f"end {len(lines) - 3}":
        raise _bad("torn: its last line does not count the lines before")
    applied: Applied = {}
    for line in lines[1:-2]:
        parts = line.split(" ")
        if len(parts) != 5:
            raise _bad("a line has not five parts")
        origin = parse_uuid(parts[0])
        if origin in applied:
            raise _bad(f"{origin} stands there twice")
        received = parse_count(parts[1], SEQUENCE_MAX)
        built = parse_count(parts[3], SEQUENCE_MAX)
        if built > received:
            raise _bad("more is built than was received")
        gaps = _gaps(parts[4], received)
        applied[origin] = Position(received, parse_hex32(parts[2]), gaps, built)
    return applied


def _gaps(text: str, received: int) -> tuple[tuple[int, int], ...]:
    """Gaps, each behind the one before and all below `received`."""
    if text == "-":
        return ()
    spans = text.split(",")
    if len(spans) > GAPS_MAX:
        raise _bad(f"more than {GAPS_MAX} gaps")
    gaps: list[tuple[int, int]] = []
    before = 0
    for span in spans:
        first, _, last = span.partition("-")
        low, high = parse_count(first, SEQUENCE_MAX), parse_count(last, SEQUENCE_MAX)
        if not before < low <= high < received:
            raise _bad("its gaps are not in order")
        gaps.append((low, high))
        before = high + 1
    return tuple(gaps)


def _bad(reason: str) -> FormatError:
    return FormatError(what="applied", reason=reason)
