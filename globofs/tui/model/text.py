"""Contents as lines of spans: highlighted text, differences, descriptions of binaries. Pure.

Runs in the bridge's `content` lane; every function is bounded by `limits.PREVIEW_BYTES`,
`DIFF_BYTES` and `DIFF_LINES` and says so where it cut.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Final

from globofs.errors import printable
from globofs.limits import DIFF_LINES
from globofs.tui.words import count, size_words

Span = tuple[str, str]
Line = tuple[Span, ...]
HIGHLIGHT_MAX: Final = 160_000  # characters; longer texts are shown plain
LINE_MAX: Final = 2000  # characters of a line that are shown
CONTEXT: Final = 3
TAB: Final = 4


@dataclass(frozen=True, slots=True)
class Page:
    """What a text pane shows. `gutter` is a cell for each line, or nothing."""

    title: str = ""
    lines: tuple[Line, ...] = ()
    gutter: tuple[str, ...] = ()
    note: str = ""  # in the pane's lower edge
    words: tuple[str, ...] = ()  # instead of lines
    bases: tuple[str, ...] = ()  # style of each whole line


def is_text(data: bytes) -> bool:
    """Whether it looks like text: no NUL, and UTF-8 or mostly printable."""
    head = data[:8192]
    if b"\0" in head:
        return False
    try:
        head[: max(0, len(head) - 4)].decode("utf-8")
        return True
    except UnicodeDecodeError:
        odd = sum(byte < 9 or 13 < byte < 32 for byte in head)
        return odd * 20 < len(head)


def decode(data: bytes) -> str:
    """Text of bytes; what is not UTF-8 shows as escapes."""
    return data.decode("utf-8", "surrogateescape")


def clean(line: str) -> str:
    """A line without anything that could move the cursor."""
    if len(line) > LINE_MAX:
        line = line[:LINE_MAX] + "…"
    return printable(line.expandtabs(TAB).rstrip("\r\n"))


def text_page(data: bytes, name: str, size: int) -> Page:
    """A text with line numbers, highlighted by its name."""
    text = decode(data)
    lines = tuple(highlighted(text, name))
    wide = len(str(len(lines)))
    gutter = tuple(f"{number:>{wide}} " for number in range(1, len(lines) + 1))
    note = "" if len(data) >= size else f"the first {size_words(len(data))} of {size_words(size)}"
    return Page("Preview", lines, gutter, note)


def highlighted(text: str, name: str) -> Iterator[Line]:
    """Lines of spans. The lexer is chosen by name; unknown ones stay plain."""
    lexer = None
    if len(text) <= HIGHLIGHT_MAX:
        lexer = _lexer(name)
    if lexer is None:
        for line in text.splitlines():
            yield ((clean(line), ""),)
        return
    current: list[Span] = []
    for kind, piece in lexer.get_tokens(text):
        style = _style(kind)
        parts = piece.split("\n")
        for place, part in enumerate(parts):
            if place:
                yield tuple(current)
                current = []
            if part:
                current.append((clean(part), style))
    if current:
        yield tuple(current)


def _lexer(name: str) -> Any:
    from pygments.lexers import get_lexer_for_filename  # type: ignore[import-untyped]
    from pygments.util import ClassNotFound  # type: ignore[import-untyped]

    try:
        return get_lexer_for_filename(name, stripnl=False, ensurenl=False)
    except ClassNotFound:
        return None


_TOKENS: Final = (
    ("Token.Keyword", "kw"), ("Token.Literal.String", "str"), ("Token.Literal.Number", "num"),
    ("Token.Comment", "com"), ("Token.Name.Function", "fn"), ("Token.Name.Class", "cls"),
    ("Token.Name.Decorator", "fn"), ("Token.Name.Builtin", "cls"), ("Token.Name.Tag", "tag"),
    ("Token.Name.Attribute", "fn"), ("Token.Name.Namespace", "cls"), ("Token.Operator.Word", "kw"),
    ("Token.Operator", "op"), ("Token.Generic.Heading", "kw strong"),
    ("Token.Generic.Subheading", "kw strong"), ("Token.Generic.Strong", "strong"),
    ("Token.Generic.Deleted", "removed"), ("Token.Generic.Inserted", "added"),
    ("Token.Generic.Emph", "str"),
)  # fmt: skip
_CACHE: dict[object, str] = {}


def _style(kind: object) -> str:
    style = _CACHE.get(kind)
    if style is None:
        name = str(kind)
        style = next((s for prefix, s in _TOKENS if name.startswith(prefix)), "")
        _CACHE[kind] = style
    return style


# --- differences --------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Counted:
    """Lines a difference adds and removes."""

    added: int
    removed: int


def diff_page(old: bytes, new: bytes, title: str) -> tuple[Page, Counted]:
    """The difference of two texts with three lines of context and changed words marked."""
    import difflib

    a, b = decode(old).splitlines(), decode(new).splitlines()
    capped = len(a) > DIFF_LINES or len(b) > DIFF_LINES
    a, b = a[:DIFF_LINES], b[:DIFF_LINES]
    wide = len(str(max(len(a), len(b), 1)))
    made = _Diff(wide)
    matcher = difflib.SequenceMatcher(None, a, b, autojunk=len(a) + len(b) > 4000)
    for group in matcher.get_grouped_opcodes(CONTEXT):
        first, last = group[0], group[-1]
        made.hunk(first[1], last[2], first[3], last[4], first_of_all=not made.lines)
        for tag, i1, i2, j1, j2 in group:
            if tag == "equal":
                for offset in range(i2 - i1):
                    made.same(i1 + offset, j1 + offset, a[i1 + offset])
            elif tag == "replace" and i2 - i1 == j2 - j1 and i2 - i1 <= 40:
                made.replaced(a[i1:i2], b[j1:j2], i1, j1)
            else:
                for i in range(i1, i2):
                    made.removed(i, ((clean(a[i]), ""),))
                for j in range(j1, j2):
                    made.added(j, ((clean(b[j]), ""),))
    note = f"only the first {count(DIFF_LINES)} lines are compared" if capped else ""
    page = Page(title, tuple(made.lines), tuple(made.gutter), note, (), tuple(made.bases))
    return page, Counted(made.plus, made.minus)


class _Diff:
    """Collects the lines of a difference."""

    def __init__(self, wide: int) -> None:
        self.wide = wide
        self.lines: list[Line] = []
        self.gutter: list[str] = []
        self.bases: list[str] = []
        self.plus = self.minus = 0

    def _put(self, line: Line, gutter: str, base: str) -> None:
        self.lines.append(line)
        self.gutter.append(gutter)
        self.bases.append(base)

    def hunk(self, i1: int, i2: int, j1: int, j2: int, *, first_of_all: bool) -> None:
        """A heading over a group of changes."""
        if not first_of_all:
            self._put((), "", "")
        where = f"lines {j1 + 1}–{j2}" if j2 > j1 else f"after line {j1}"
        self._put(((f"@@ {where} @@", "hunk"),), " " * (2 * self.wide + 2), "")

    def same(self, i: int, j: int, line: str) -> None:
        """An unchanged line."""
        self._put(((f"  {clean(line)}", ""),), f"{i + 1:>{self.wide}} {j + 1:>{self.wide}} ", "")

    def removed(self, i: int, line: Line) -> None:
        """A line only the old side has."""
        self.minus += 1
        self._put((("- ", ""), *line), f"{i + 1:>{self.wide}} {'':>{self.wide}} ", "removed")

    def added(self, j: int, line: Line) -> None:
        """A line only the new side has."""
        self.plus += 1
        self._put((("+ ", ""), *line), f"{'':>{self.wide}} {j + 1:>{self.wide}} ", "added")

    def replaced(self, old: list[str], new: list[str], i1: int, j1: int) -> None:
        """Lines changed one by one: the words that differ are marked."""
        pairs = [changed_words(clean(x), clean(y)) for x, y in zip(old, new, strict=True)]
        for offset, (left, _) in enumerate(pairs):
            self.removed(i1 + offset, left)
        for offset, (_, right) in enumerate(pairs):
            self.added(j1 + offset, right)


def changed_words(old: str, new: str) -> tuple[Line, Line]:
    """Both lines, with what differs marked; unmarked when they have little in common."""
    import difflib
    import re

    a, b = re.findall(r"\w+|\s+|[^\w\s]", old), re.findall(r"\w+|\s+|[^\w\s]", new)
    matcher = difflib.SequenceMatcher(None, a, b, autojunk=False)
    if len(a) + len(b) > 800 or matcher.ratio() < 0.4:
        return ((old, ""),), ((new, ""),)
    left: list[Span] = []
    right: list[Span] = []
    for tag, i1, i2, j1, j2 in matcher.get_opcodes():
        marked = tag != "equal"
        if i2 > i1:
            left.append(("".join(a[i1:i2]), "removed-word" if marked else ""))
        if j2 > j1:
            right.append(("".join(b[j1:j2]), "added-word" if marked else ""))
    return tuple(left), tuple(right)


# --- binaries -----------------------------------------------------------------------------

_MAGIC: Final = (
    (b"\x89PNG\r\n\x1a\n", "PNG image"), (b"\xff\xd8\xff", "JPEG image"), (b"GIF8", "GIF image"),
    (b"RIFF", "RIFF container (WebP, WAV, AVI)"), (b"BM", "BMP image"), (b"%PDF", "PDF document"),
    (b"PK\x03\x04", "ZIP archive or office document"), (b"\x1f\x8b", "gzip data"),
    (b"\x28\xb5\x2f\xfd", "zstd data"), (b"\xfd7zXZ", "xz data"), (b"7z\xbc\xaf", "7-Zip archive"),
    (b"\x7fELF", "ELF program"), (b"SQLite format 3", "SQLite database"),
    (b"OggS", "Ogg media"), (b"ID3", "MP3 audio"), (b"fLaC", "FLAC audio"),
    (b"\x1aE\xdf\xa3", "Matroska or WebM video"),
)  # fmt: skip


def describe(data: bytes) -> str:
    """What the bytes are, as far as their beginning tells."""
    name = next((words for magic, words in _MAGIC if data.startswith(magic)), "")
    if name == "PNG image" and len(data) >= 24:
        wide, high = struct.unpack(">II", data[16:24])
        return f"PNG image, {wide} × {high}"
    if name == "GIF image" and len(data) >= 10:
        wide, high = struct.unpack("<HH", data[6:10])
        return f"GIF image, {wide} × {high}"
    if name == "JPEG image":
        return _jpeg(data) or name
    if data[4:8] == b"ftyp":
        return "MPEG-4 media"
    return name or ("all zeros" if data and not any(data[:4096]) else "binary data")


def _jpeg(data: bytes) -> str:
    place = 2
    while place + 9 < len(data) and data[place] == 0xFF:
        marker, length = data[place + 1], int.from_bytes(data[place + 2 : place + 4], "big")
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            high, wide = struct.unpack(">HH", data[place + 5 : place + 9])
            return f"JPEG image, {wide} × {high}"
        place += 2 + length
    return ""


def hex_lines(data: bytes, limit: int = 4096) -> Iterator[Line]:
    """The beginning in hexadecimal, sixteen bytes a line."""
    for place in range(0, min(len(data), limit), 16):
        row = data[place : place + 16]
        left, right = row[:8].hex(" "), row[8:].hex(" ")
        shown = "".join(chr(byte) if 32 <= byte < 127 else "·" for byte in row)
        yield (
            (f"{place:08x}  ", "gutter"),
            (f"{left:<23}  {right:<23}  ", ""),
            (shown, "str"),
        )


def binary_page(data: bytes, name: str, size: int) -> Page:
    """A description, then the first bytes."""
    facts: list[Line] = [((describe(data), "strong"), (f"  {size_words(size)}", "muted")), ()]
    picture = tuple(pictured(data)) if data.startswith(b"\x89PNG") else ()
    if picture:
        return Page("Preview", (*facts, *picture), (), "")
    return Page("Preview", (*facts, *hex_lines(data)), (), "the beginning, in hexadecimal")


def pictured(data: bytes) -> Iterable[Line]:
    """A PNG as coloured half blocks; nothing for what is too large or too unusual."""
    from globofs.tui.model.picture import half_blocks

    return half_blocks(data)
