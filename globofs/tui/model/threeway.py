"""Two texts that were made from a common one: what each changed, place by place. Pure.

Bounded as the rest of `text`: at most `limits.DIFF_LINES` lines of each text are compared.
"""

from __future__ import annotations

import difflib
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from globofs.limits import DIFF_LINES
from globofs.tui.model.difference import CONTEXT
from globofs.tui.model.text import Line, Page, clean, decode
from globofs.tui.words import count, plural

By = Literal["nobody", "left", "right", "same", "both"]
#: How a place is marked at the left edge: by whom it was changed.
SIGNS: Final = {"left": "1", "right": "2", "same": "=", "both": "!"}


@dataclass(frozen=True, slots=True)
class Place:
    """A stretch of lines: what stood there, and what each side has there now."""

    by: By
    at: int  # index of its first line in the common text
    base: tuple[str, ...]
    left: tuple[str, ...]
    right: tuple[str, ...]


def places(base: Sequence[str], left: Sequence[str], right: Sequence[str]) -> Iterator[Place]:
    """The whole of the three texts, cut where what changed begins and ends."""
    sides = [_blocks(base, left), _blocks(base, right)]
    at = begin_left = begin_right = 0
    for common, in_left, in_right, length in _kept(sides[0], sides[1]):
        gone = tuple(base[at:common])
        ours, theirs = tuple(left[begin_left:in_left]), tuple(right[begin_right:in_right])
        if gone or ours or theirs:
            yield Place(_by(gone, ours, theirs), at, gone, ours, theirs)
        if length:
            same = tuple(base[common : common + length])
            yield Place("nobody", common, same, same, same)
        at, begin_left, begin_right = common + length, in_left + length, in_right + length
    rest = tuple(base[at:]), tuple(left[begin_left:]), tuple(right[begin_right:])
    if any(rest):
        yield Place(_by(*rest), at, *rest)


def _by(base: tuple[str, ...], left: tuple[str, ...], right: tuple[str, ...]) -> By:
    if left == right:
        return "nobody" if left == base else "same"
    if right == base:
        return "left"
    return "right" if left == base else "both"


def _blocks(base: Sequence[str], side: Sequence[str]) -> list[tuple[int, int, int]]:
    large = len(base) + len(side) > 4000
    matcher = difflib.SequenceMatcher(None, base, side, autojunk=large)
    return [(m.a, m.b, m.size) for m in matcher.get_matching_blocks() if m.size]


def _kept(
    left: list[tuple[int, int, int]], right: list[tuple[int, int, int]]
) -> Iterator[tuple[int, int, int, int]]:
    """Stretches of the common text that both sides kept: where they are in each of the three."""
    i = j = 0
    while i < len(left) and j < len(right):
        a, in_left, length = left[i]
        b, in_right, other = right[j]
        begin, stop = max(a, b), min(a + length, b + other)
        if begin < stop:
            yield begin, in_left + begin - a, in_right + begin - b, stop - begin
        if a + length <= b + other:
            i += 1
        else:
            j += 1


def page(base: bytes, left: bytes, right: bytes, names: tuple[str, str], title: str) -> Page:
    """The common text with what each side made of it; `names` of the left and right side."""
    texts = [decode(data).splitlines() for data in (base, left, right)]
    capped = any(len(lines) > DIFF_LINES for lines in texts)
    texts = [lines[:DIFF_LINES] for lines in texts]
    found = list(places(*texts))
    changed = Counter(place.by for place in found)
    made = _Lines(names, len(str(max(1, len(texts[0])))))
    for number, place in enumerate(found):
        if place.by == "nobody":
            made.kept(place, first=number == 0, last=number == len(found) - 1)
        else:
            made.changed(place)
    note = f"{plural(changed['both'], 'place')} changed by both"
    if capped:
        note = f"only the first {count(DIFF_LINES)} lines are compared"
    return Page(title, tuple(made.lines), tuple(made.gutter), note, (), tuple(made.bases))


class _Lines:
    """Collects the lines of a page."""

    def __init__(self, names: tuple[str, str], wide: int) -> None:
        self.names = {"left": (names[0],), "right": (names[1],), "same": names, "both": names}
        self.sides = names
        self.wide = wide
        self.lines: list[Line] = []
        self.gutter: list[str] = []
        self.bases: list[str] = []

    def _put(self, line: Line, number: int | None = None, base: str = "", sign: str = " ") -> None:
        self.lines.append(line)
        shown = "" if number is None else str(number + 1)
        self.gutter.append(f"{sign} {shown:>{self.wide}} ")
        self.bases.append(base)

    def kept(self, place: Place, *, first: bool, last: bool) -> None:
        """Lines that nobody touched: only those beside a change."""
        before = 0 if first else CONTEXT
        after = 0 if last else CONTEXT
        length = len(place.base)
        hidden = length - before - after
        for offset, line in enumerate(place.base):
            if hidden > 1 and before <= offset < length - after:
                if offset == before:
                    self._put(((f"@@ {plural(hidden, 'line')} as before @@", "hunk"),))
                continue
            self._put(((f"  {clean(line)}", ""),), place.at + offset)

    def changed(self, place: Place) -> None:
        """What stood there, then what each side has, under its name."""
        sign = SIGNS[place.by]
        who = " and ".join(dict.fromkeys(self.names[place.by]))
        what = "changed by both, differently" if place.by == "both" else f"changed by {who}"
        self._put(((what, "warn" if place.by == "both" else "hunk"),), sign=sign)
        for offset, line in enumerate(place.base):
            self._put((("- ", ""), (clean(line), "")), place.at + offset, "removed", sign)
        sides = {"left": (0,), "same": (0,), "right": (1,), "both": (0, 1)}[place.by]
        for side in sides:
            lines = place.right if side else place.left
            if place.by == "both":
                words = f"{self.sides[side]}:" + ("" if lines else " nothing")
                self._put(((words, "muted"),), sign=str(side + 1))
            for line in lines:
                self._put((("+ ", ""), (clean(line), "")), None, "added", sign)


def merged(
    base: Sequence[str], left: Sequence[str], right: Sequence[str], labels: tuple[str, str, str]
) -> tuple[list[str], int]:
    """One text with the changes of both sides, and how many places are left between marks
    because both changed them. Lines carry their ends; `labels`: left, common, right."""
    out: list[str] = []
    marked = 0
    for place in places(base, left, right):
        if place.by != "both":
            out += place.right if place.by == "right" else place.left
            continue
        marked += 1
        out.append(f"<<<<<<< {labels[0]}\n")
        out += ended(place.left)
        out.append(f"||||||| {labels[1]}\n")
        out += ended(place.base)
        out.append("=======\n")
        out += ended(place.right)
        out.append(f">>>>>>> {labels[2]}\n")
    return out, marked


def ended(lines: Sequence[str]) -> list[str]:
    """Lines of which the last ends too, so that the mark after it stands alone."""
    return [line if line.endswith("\n") else line + "\n" for line in lines]
