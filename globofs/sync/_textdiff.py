"""Unified diffs of texts of any size in bounded time.

What two texts share at both ends is cut off first, so an edit in a large file costs little; where
what is left between is larger than `difflib` can look at in reasonable time, it is shown as one
replaced piece, which is true if not the shortest.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Sequence
from typing import Final

CONTEXT: Final = 3
CLOSE_LOOK_LINES: Final = 4000
"""Lines on both sides together, up to which the shortest difference is looked for."""

Opcode = tuple[str, int, int, int, int]


def is_text(data: bytes) -> bool:
    """Whether `data`, the beginning of a file, reads as UTF-8 text."""
    if b"\0" in data:
        return False
    try:
        data.decode("utf-8")
    except UnicodeDecodeError as error:
        return error.reason == "unexpected end of data" and error.start >= len(data) - 3
    return True


def opcodes(old: Sequence[str], new: Sequence[str]) -> list[Opcode]:
    """How to make `new` of `old`, in `difflib`'s form."""
    shortest = min(len(old), len(new))
    head = 0
    while head < shortest and old[head] == new[head]:
        head += 1
    tail = 0
    while tail < shortest - head and old[-1 - tail] == new[-1 - tail]:
        tail += 1
    middle_old, middle_new = old[head : len(old) - tail], new[head : len(new) - tail]
    found: list[Opcode] = [("equal", 0, head, 0, head)] if head else []
    if len(middle_old) + len(middle_new) <= CLOSE_LOOK_LINES:
        matcher = difflib.SequenceMatcher(None, middle_old, middle_new, autojunk=False)
        for tag, a, b, c, d in matcher.get_opcodes():
            found.append((tag, a + head, b + head, c + head, d + head))
    elif middle_old or middle_new:
        end = (head, len(old) - tail, head, len(new) - tail)
        found.append(("replace" if middle_old and middle_new else _only(middle_old), *end))
    if tail:
        found.append(("equal", len(old) - tail, len(old), len(new) - tail, len(new)))
    return found


def unified(old: Sequence[str], new: Sequence[str], names: tuple[str, str]) -> Iterator[str]:
    """The lines of a unified diff without line ends; nothing at all for equal texts."""
    hunks = list(_hunks(opcodes(old, new)))
    if hunks:
        yield f"--- {names[0]}"
        yield f"+++ {names[1]}"
    for hunk in hunks:
        first, last = hunk[0], hunk[-1]
        yield f"@@ -{_range(first[1], last[2])} +{_range(first[3], last[4])} @@"
        for tag, a, b, c, d in hunk:
            if tag == "equal":
                yield from _lines(" ", old, a, b)
            else:
                yield from _lines("-", old, a, b)
                yield from _lines("+", new, c, d)


def counts(codes: Sequence[Opcode]) -> tuple[int, int]:
    """Lines added and lines removed."""
    changed = [code for code in codes if code[0] != "equal"]
    return sum(d - c for _, _, _, c, d in changed), sum(b - a for _, a, b, _, _ in changed)


def _only(old: Sequence[str]) -> str:
    return "delete" if old else "insert"


def _lines(sign: str, lines: Sequence[str], start: int, end: int) -> Iterator[str]:
    for line in lines[start:end]:
        yield sign + line.removesuffix("\n")
        if not line.endswith("\n"):
            yield "\\ No newline at end of file"


def _range(start: int, stop: int) -> str:
    length = stop - start
    if length == 1:
        return str(start + 1)
    return f"{start + 1 if length else start},{length}"


def _hunks(codes: Sequence[Opcode]) -> Iterator[list[Opcode]]:
    """Changes with `CONTEXT` lines around them; those close to each other share a hunk."""
    if all(code[0] == "equal" for code in codes):
        return
    hunk: list[Opcode] = []
    for place, (tag, a, b, c, d) in enumerate(codes):
        if tag != "equal":
            hunk.append((tag, a, b, c, d))
            continue
        after = min(CONTEXT, b - a) if hunk else 0
        last = place == len(codes) - 1
        if hunk and not last and b - a <= 2 * CONTEXT:
            hunk.append((tag, a, b, c, d))
            continue
        if hunk:
            if after:
                hunk.append((tag, a, a + after, c, c + after))
            yield hunk
            hunk = []
        before = min(CONTEXT, b - a)
        if not last and before:
            hunk = [(tag, b - before, b, d - before, d)]
    if hunk and any(code[0] != "equal" for code in hunk):
        yield hunk
