"""Contents as lines of spans: highlighted text, descriptions of binaries. Pure.

Runs in the bridge's `content` lane; every function is bounded by `limits.PREVIEW_BYTES` and says
so where it cut. `difference` and `threeway` make pages of two and of three texts.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Final

from globofs.errors import printable
from globofs.tui.words import size_words

Span = tuple[str, str]
Line = tuple[Span, ...]
HIGHLIGHT_MAX: Final = 160_000  # characters; longer texts are shown plain
LINE_MAX: Final = 2000  # characters of a line that are shown
TAB: Final = 4


@dataclass(frozen=True, slots=True)
class Half:
    """One column of a row: its line number, the line, the style of the whole."""

    gutter: str = ""
    line: Line = ()
    base: str = ""


Pair = tuple[Half, Half]


@dataclass(frozen=True, slots=True)
class Page:
    """What a text pane shows. `gutter` is a cell for each line, or nothing."""

    title: str = ""
    lines: tuple[Line, ...] = ()
    gutter: tuple[str, ...] = ()
    note: str = ""  # in the pane's lower edge
    words: tuple[str, ...] = ()  # instead of lines
    bases: tuple[str, ...] = ()  # style of each whole line
    beside: tuple[Pair, ...] = ()  # the same in two columns, for who has the room


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
