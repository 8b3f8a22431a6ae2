"""The difference of two texts: one below the other, and side by side for who has the room. Pure.

Runs in the bridge's `content` lane, bounded by `limits.DIFF_BYTES` (the caller's) and `DIFF_LINES`.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import zip_longest
from typing import Final

from globofs.limits import DIFF_LINES
from globofs.tui.model.text import Half, Line, Page, Pair, clean, decode
from globofs.tui.words import count

Code = tuple[str, int, int, int, int]  # what became of lines i1 to i2: lines j1 to j2
Group = list[Code]
CONTEXT: Final = 3
MORE_CONTEXT: Final = (8, 16, 32, 64, 128)  # lines, where there is room for them
PAIRED_MAX: Final = 40  # lines replaced at once that are compared word by word
WORDS_MAX: Final = 800  # words of two lines that are compared at all
ALIKE: Final = 0.3  # lines of which less is common are not marked word by word
ABSENT: Final = Half(base="hover")  # beside a line that only the other side has


@dataclass(frozen=True, slots=True)
class Counted:
    """Lines a difference adds and removes."""

    added: int
    removed: int


def diff_page(
    old: bytes, new: bytes, title: str, heads: tuple[str, str] | None = None, rows: int = 0
) -> tuple[Page, Counted]:
    """The difference of two texts with changed words marked, and three lines of context; with as
    many more as `rows` of a screen have room for. `heads` stand over the columns where both are
    shown side by side."""
    a, b = decode(old).splitlines(), decode(new).splitlines()
    capped = len(a) > DIFF_LINES or len(b) > DIFF_LINES
    a, b = a[:DIFF_LINES], b[:DIFF_LINES]
    made = _Diff(len(str(max(len(a), len(b), 1))))
    matcher = difflib.SequenceMatcher(None, a, b, autojunk=len(a) + len(b) > 4000)
    for group in _groups(matcher.get_opcodes(), rows - 1):
        made.hunk(group[0][3], group[-1][4])
        for tag, i1, i2, j1, j2 in group:
            if tag == "equal":
                for offset in range(i2 - i1):
                    made.same(i1 + offset, j1 + offset, a[i1 + offset])
            else:
                made.changed(a[i1:i2], b[j1:j2], i1, j1)
    note = f"only the first {count(DIFF_LINES)} lines are compared" if capped else ""
    beside = tuple(made.beside)
    if heads is not None and beside:
        beside = ((_head(heads[0]), _head(heads[1])), *beside)
    page = Page(title, tuple(made.lines), tuple(made.gutter), note, (), tuple(made.bases), beside)
    return page, Counted(made.plus, made.minus)


def _groups(codes: Sequence[Code], rows: int) -> list[Group]:
    """The changes with what surrounds them, as wide as it fits."""
    found = grouped(codes, CONTEXT)
    for context in MORE_CONTEXT:
        wider = grouped(codes, context)
        if sum(map(_height, wider)) > rows:
            break
        found = wider
    return found


def grouped(codes: Sequence[Code], context: int) -> list[Group]:
    """The changes with so many lines before and behind each; those that are near are together.
    `SequenceMatcher.get_grouped_opcodes` shortens what it was given: it can be asked only once."""
    groups: list[Group] = [[]]
    last = len(codes) - 1
    for at, (tag, i1, i2, j1, j2) in enumerate(codes):
        if tag != "equal":
            groups[-1].append((tag, i1, i2, j1, j2))
            continue
        before, behind = (0 if at == last else context), (0 if at == 0 else context)
        if i2 - i1 <= before + behind:
            groups[-1].append((tag, i1, i2, j1, j2))
            continue
        if behind:
            groups[-1].append((tag, i1, i1 + behind, j1, j1 + behind))
            groups.append([])
        if before:
            groups[-1].append((tag, i2 - before, i2, j2 - before, j2))
    return [group for group in groups if any(tag != "equal" for tag, *_ in group)]


def _height(group: Group) -> int:
    """Lines that a group takes, with its heading and the blank line before it."""
    return 2 + sum(
        i2 - i1 if tag == "equal" else i2 - i1 + j2 - j1 for tag, i1, i2, j1, j2 in group
    )


def _head(words: str) -> Half:
    return Half(line=((words, "muted strong"),))


class _Diff:
    """Collects the lines of a difference, in both forms."""

    def __init__(self, wide: int) -> None:
        self.wide = wide
        self.lines: list[Line] = []
        self.gutter: list[str] = []
        self.bases: list[str] = []
        self.beside: list[Pair] = []
        self.plus = self.minus = 0

    def _put(self, line: Line, gutter: str, base: str) -> None:
        self.lines.append(line)
        self.gutter.append(gutter)
        self.bases.append(base)

    def _number(self, at: int) -> str:
        return f"{at + 1:>{self.wide}} "

    def _half(self, at: int, line: Line, sign: str = "  ", base: str = "") -> Half:
        return Half(self._number(at) + sign, line, base)

    def hunk(self, j1: int, j2: int) -> None:
        """A heading over a group of changes."""
        if self.lines:
            self._put((), "", "")
            self.beside.append((Half(), Half()))
        where = f"lines {j1 + 1}–{j2}" if j2 > j1 else f"after line {j1}"
        heading: Line = ((f"@@ {where} @@", "hunk"),)
        self._put(heading, " " * (2 * self.wide + 2), "")
        self.beside.append((Half(line=heading), Half()))

    def same(self, i: int, j: int, line: str) -> None:
        """An unchanged line."""
        shown: Line = ((clean(line), ""),)
        self._put((("  ", ""), *shown), self._number(i) + self._number(j), "")
        self.beside.append((self._half(i, shown), self._half(j, shown)))

    def changed(self, old: Sequence[str], new: Sequence[str], i1: int, j1: int) -> None:
        """Lines that became others: none on a side for those added or removed. Where each became
        one, the words that differ are marked."""
        left: list[Line] = [((clean(line), ""),) for line in old]
        right: list[Line] = [((clean(line), ""),) for line in new]
        if len(old) == len(new) <= PAIRED_MAX:
            pairs = [changed_words(clean(x), clean(y)) for x, y in zip(old, new, strict=True)]
            left, right = [one for one, _ in pairs], [one for _, one in pairs]
        blank = " " * (self.wide + 1)
        for offset, line in enumerate(left):
            self._put((("- ", ""), *line), self._number(i1 + offset) + blank, "removed")
        for offset, line in enumerate(right):
            self._put((("+ ", ""), *line), blank + self._number(j1 + offset), "added")
        self.minus += len(left)
        self.plus += len(right)
        self.beside += zip_longest(
            (self._half(i1 + at, line, "- ", "removed") for at, line in enumerate(left)),
            (self._half(j1 + at, line, "+ ", "added") for at, line in enumerate(right)),
            fillvalue=ABSENT,
        )


def changed_words(old: str, new: str) -> tuple[Line, Line]:
    """Both lines, with what differs marked; unmarked when they have little in common."""
    a, b = re.findall(r"\w+|\s+|[^\w\s]", old), re.findall(r"\w+|\s+|[^\w\s]", new)
    matcher = difflib.SequenceMatcher(None, a, b, autojunk=False)
    if len(a) + len(b) > WORDS_MAX:
        return ((old, ""),), ((new, ""),)
    common = sum(
        len(word) for i, _, size in matcher.get_matching_blocks() for word in a[i : i + size]
        if not word.isspace()
    )  # fmt: skip
    if common < ALIKE * max(len("".join(old.split())), len("".join(new.split()))):
        return ((old, ""),), ((new, ""),)
    left: list[tuple[str, str]] = []
    right: list[tuple[str, str]] = []
    for tag, i1, i2, j1, j2 in matcher.get_opcodes():
        marked = tag != "equal"
        if i2 > i1:
            left.append(("".join(a[i1:i2]), "removed-word" if marked else ""))
        if j2 > j1:
            right.append(("".join(b[j1:j2]), "added-word" if marked else ""))
    return tuple(left), tuple(right)
