"""The `config` files: of this node, and of its peers. FORMAT.md, section 2.

`key=value` lines; `#` at the start of a line or behind a blank begins a comment. Our own files
are read strictly, so that a slip of the pen is not taken for a setting; what lies in another
node's directory is read for what can be understood (`parse_foreign`).
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Literal, NamedTuple, TypeVar, cast

from globofs.errors import BadConfig, FormatError
from globofs.format.text import parse_uuid
from globofs.limits import (
    BLOCK_SIZE_DEFAULT,
    BLOCK_SIZE_MAX,
    BLOCK_SIZE_MIN,
    CDC_BLOCK_SIZE_MAX,
    COMMIT_DEFAULT_SECONDS,
    CONFIG_BYTES,
    COPIES_DEFAULT,
    GIB,
    GZIP_LEVEL_DEFAULT,
    KIB,
    MIB,
    NAME_BYTES,
    POLL_DEFAULT_SECONDS,
    READ_TIMEOUT_DEFAULT_SECONDS,
    ZSTD_LEVEL_DEFAULT,
)

Chunking = Literal["fixed", "cdc"]
Compression = Literal["zstd", "gzip", "none"]

NODE_KEYS: Final = (
    "uuid", "path", "name", "cacheonly", "cachetime", "blocksize", "chunking", "compression",
    "links", "copies", "poll", "readtimeout", "commit",
)  # fmt: skip
PEER_KEYS: Final = ("uuid", "path", "send")
SUFFIX_OF: Final[dict[str, str]] = {"zstd": ".zst", "gzip": ".gz", "none": ""}
"""What the file name of a block ends in, by how it is stored."""
SUFFIXES: Final = (".zst", "", ".gz")
"""All of these, what nodes write mostly first: readers look in this order, but for their own."""
LEVELS: Final[dict[str, tuple[int, int]]] = {"zstd": (1, 19), "gzip": (1, 9), "none": (0, 0)}
"""The lowest and the highest level of each compression."""

_COMMENT = re.compile(r"(?:^|(?<=[ \t]))#.*")
_SIZE = re.compile(r"([1-9][0-9]{0,12})([KMG]?)")
_DURATION = re.compile(r"([0-9]{1,9}(?:\.[0-9]{1,3})?)([smhd])")
_UNITS: Final = {"": 1, "K": KIB, "M": MIB, "G": GIB}
_SECONDS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class NodeConfig:
    """A node's settings, with their defaults. Sizes in bytes, durations in seconds.

    `path` is the volume directory as the node itself sees it; `""` where it is not given.
    `commit_seconds`: how long a mounted file may stay open, changed and unrecorded.
    `extra`: keys this release does not know, of another node's config only.
    """

    uuid: str
    path: str = ""
    name: str = ""
    cacheonly: bool = False
    cachetime_seconds: float | None = None
    blocksize: int = BLOCK_SIZE_DEFAULT
    chunking: Chunking = "fixed"
    compression: Compression = "zstd"
    level: int = ZSTD_LEVEL_DEFAULT
    links: bool = True
    copies: int = COPIES_DEFAULT
    poll_seconds: float = POLL_DEFAULT_SECONDS
    readtimeout_seconds: float = READ_TIMEOUT_DEFAULT_SECONDS
    commit_seconds: float = COMMIT_DEFAULT_SECONDS
    extra: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class PeerConfig:
    """How another node is reached: its uuid, and its volume directory as seen from here.

    `send`: we also write the blocks it lacks into its directory. `extra`: unknown keys.
    """

    uuid: str
    path: str
    send: bool = False
    extra: tuple[tuple[str, str], ...] = ()


class _Line(NamedTuple):
    number: int
    key: str
    value: str


def parse_node(text: str, where: str) -> NodeConfig:
    """Our own node's config; `where` is the file's name for errors.

    Raises BadConfig, naming file, line and the nearest key, for an unknown key, a bad value, a
    key that stands there twice, and where `uuid` is missing.
    """
    values = _Values(_lines(text, where), where)
    for line in values.lines:
        if line.key not in NODE_KEYS:
            raise _bad(where, line.number, _unknown(line.key, NODE_KEYS))
    made = _node(values)
    if made.chunking == "cdc" and made.blocksize > CDC_BLOCK_SIZE_MAX:
        number = next(line.number for line in values.lines if line.key == "blocksize")
        most = render_size(CDC_BLOCK_SIZE_MAX)
        raise _bad(where, number, f"with chunking=cdc, blocksize is an average of at most {most}")
    return made


def parse_peer(text: str, where: str) -> PeerConfig:
    """The config of a peer's entry in our volume. Unknown keys are kept in `extra`.

    Raises BadConfig for a bad value, a key that stands there twice, or no `uuid` or `path`.
    """
    values = _Values(_lines(text, where), where)
    made = PeerConfig(
        uuid=values.required("uuid", _uuid),
        path=values.required("path", _path),
        send=values.take("send", False, _yes),
        extra=_extra(values.lines, PEER_KEYS),
    )
    return made


def parse_foreign(text: str, where: str = "config") -> NodeConfig:
    """What can be understood of another node's own config.

    Lines that make no sense to us are passed over, unknown keys kept. Raises BadConfig only
    where there is no valid `uuid`: without it the directory is nobody's.
    """
    lines: list[_Line] = []
    seen: set[str] = set()
    for number, key, value in _split(text[:CONFIG_BYTES]):
        if key and value is not None and key not in seen:
            seen.add(key)
            lines.append(_Line(number, key, value))
    return _node(_Values(lines, where, lenient=True))


def render_node(config: NodeConfig) -> str:
    """The text of a new node's config: what identifies it, and whatever is not the default.

    Raises BadConfig where `path` or `name` cannot be written in a config.
    """
    plain = NodeConfig(uuid=config.uuid)
    lines = [("uuid", config.uuid)]
    if config.path:
        lines.append(("path", config.path))
    if config.name:
        lines.append(("name", config.name))
    lines.append(("cacheonly", _yes_word(config.cacheonly)))
    if config.cachetime_seconds is not None:
        lines.append(("cachetime", render_duration(config.cachetime_seconds)))
    lines.append(("blocksize", render_size(config.blocksize)))
    lines.append(("chunking", config.chunking))
    lines.append(("compression", _compression_word(config)))
    if config.links != plain.links:
        lines.append(("links", _yes_word(config.links)))
    if config.copies != plain.copies:
        lines.append(("copies", str(config.copies)))
    for key, value, usual in (
        ("poll", config.poll_seconds, plain.poll_seconds),
        ("readtimeout", config.readtimeout_seconds, plain.readtimeout_seconds),
        ("commit", config.commit_seconds, plain.commit_seconds),
    ):
        if value != usual:
            lines.append((key, render_duration(value)))
    return _render([*lines, *config.extra])


def render_peer(config: PeerConfig) -> str:
    """The text of a peer's entry. Raises BadConfig where `path` cannot be written in a config."""
    lines = [("uuid", config.uuid), ("path", config.path)]
    if config.send:
        lines.append(("send", "yes"))
    return _render([*lines, *config.extra])


def set_key(text: str, key: str, value: str) -> str:
    """`text` with `key` set to `value`; every other line and all comments stay as they are."""
    _writable(key, value)
    lines = text.split("\n")
    for at, (_, found, _) in enumerate(_split(text)):
        if found == key:
            comment = _COMMENT.search(lines[at])
            tail = " " + comment[0] if comment else ""
            lines[at] = f"{key}={value}{tail}"
            return "\n".join(lines)
    end = "" if not text or text.endswith("\n") else "\n"
    return f"{text}{end}{key}={value}\n"


def parse_size(text: str) -> int:
    """Bytes of `64K`, `1M`, `2G` or `4096`. Raises ValueError, saying what was expected."""
    found = _SIZE.fullmatch(text)
    if not found:
        raise ValueError("not a size; write 65536, 64K or 1M")
    return int(found[1]) * _UNITS[found[2]]


def render_size(size: int) -> str:
    """`size` in the largest unit that divides it."""
    for unit in ("G", "M", "K"):
        if size and size % _UNITS[unit] == 0:
            return f"{size // _UNITS[unit]}{unit}"
    return str(size)


def parse_duration(text: str) -> float:
    """Seconds of `30s`, `0.5s`, `30m`, `12h` or `7d`. Raises ValueError."""
    found = _DURATION.fullmatch(text)
    if not found:
        raise ValueError("not a duration; write 30s, 30m, 12h or 7d")
    return float(found[1]) * _SECONDS[found[2]]


def render_duration(seconds: float) -> str:
    """`seconds` in the largest unit that divides them, to the millisecond."""
    for unit in ("d", "h", "m"):
        if seconds and seconds % _SECONDS[unit] == 0:
            return f"{int(seconds) // _SECONDS[unit]}{unit}"
    return f"{seconds:.3f}".rstrip("0").rstrip(".") + "s"


# --- reading --------------------------------------------------------------------------------


def _split(text: str) -> list[tuple[int, str, str | None]]:
    """Number, key and value of each line. No key: nothing there. No value: no `=` in it."""
    parts: list[tuple[int, str, str | None]] = []
    for number, raw in enumerate(text.split("\n"), 1):
        line = _COMMENT.sub("", raw, count=1).strip(" \t\r")
        key, equals, value = line.partition("=")
        parts.append((number, key.rstrip(" \t"), value.lstrip(" \t") if equals else None))
    return parts


def _lines(text: str, where: str) -> list[_Line]:
    """The settings of a config of our own: no nonsense, nothing twice."""
    if len(text) > CONFIG_BYTES:
        raise _bad(where, 1, f"larger than {CONFIG_BYTES} bytes")
    first: dict[str, int] = {}
    lines: list[_Line] = []
    for number, key, value in _split(text):
        if not key and value is None:
            continue
        if value is None:
            raise _bad(where, number, f"{key!r} is not key=value")
        if key in first:
            raise _bad(where, number, f"{key}= stands in line {first[key]} already")
        first[key] = number
        lines.append(_Line(number, key, value))
    return lines


class _Values:
    """The settings found, and how they are judged: strictly, or for what can be understood."""

    def __init__(self, lines: list[_Line], where: str, lenient: bool = False) -> None:
        self.lines = lines
        self.where = where
        self.lenient = lenient
        self._by_key = {line.key: line for line in lines}

    def take(self, key: str, default: _T, convert: Callable[[str], _T]) -> _T:
        """The value of `key`, or `default` where it is not given (or, leniently, senseless)."""
        line = self._by_key.get(key)
        if line is None:
            return default
        try:
            return convert(line.value)
        except ValueError as error:
            if self.lenient:
                return default
            reason = f"{key}={line.value}: {error}"
            raise _bad(self.where, line.number, reason) from None

    def required(self, key: str, convert: Callable[[str], _T]) -> _T:
        """The value of `key`. Raises BadConfig where it is missing or wrong."""
        line = self._by_key.get(key)
        if line is None:
            raise _bad(self.where, 1, f"{key}= is missing")
        try:
            return convert(line.value)
        except ValueError as error:
            raise _bad(self.where, line.number, f"{key}={line.value}: {error}") from None


def _node(values: _Values) -> NodeConfig:
    usual: tuple[Compression, int] = ("zstd", ZSTD_LEVEL_DEFAULT)
    compression, level = values.take("compression", usual, _compression)
    return NodeConfig(
        uuid=values.required("uuid", _uuid),
        path=values.take("path", "", _path),
        name=values.take("name", "", _name),
        cacheonly=values.take("cacheonly", False, _yes),
        cachetime_seconds=values.take("cachetime", None, _cachetime),
        blocksize=values.take("blocksize", BLOCK_SIZE_DEFAULT, _blocksize),
        chunking=values.take("chunking", "fixed", _chunking),
        compression=compression,
        level=level,
        links=values.take("links", True, _yes),
        copies=values.take("copies", COPIES_DEFAULT, _copies),
        poll_seconds=values.take("poll", POLL_DEFAULT_SECONDS, _some_time),
        readtimeout_seconds=values.take("readtimeout", READ_TIMEOUT_DEFAULT_SECONDS, _some_time),
        commit_seconds=values.take("commit", COMMIT_DEFAULT_SECONDS, _some_time),
        extra=_extra(values.lines, NODE_KEYS),
    )


def _extra(lines: list[_Line], known: tuple[str, ...]) -> tuple[tuple[str, str], ...]:
    return tuple([(line.key, line.value) for line in lines if line.key not in known])


def _uuid(text: str) -> str:
    try:
        return parse_uuid(text.lower())
    except FormatError:
        raise ValueError("not a uuid") from None


def _path(text: str) -> str:
    if not text or "\0" in text:
        raise ValueError("not a path")
    return text


def _name(text: str) -> str:
    try:
        size = len(text.encode("utf-8"))
    except UnicodeEncodeError:
        raise ValueError("a name is UTF-8") from None
    if not 0 < size <= NAME_BYTES:
        raise ValueError(f"a name has 1 to {NAME_BYTES} bytes")
    if any(ord(char) < 32 or ord(char) == 127 for char in text):
        raise ValueError("a name has no control characters")
    return text


def _yes(text: str) -> bool:
    if text not in ("yes", "no"):
        raise ValueError("write yes or no")
    return text == "yes"


def _cachetime(text: str) -> float | None:
    return None if text == "none" else parse_duration(text)


def _some_time(text: str) -> float:
    seconds = parse_duration(text)
    if seconds < 0.05:
        raise ValueError("too short; 50 milliseconds at least")
    return seconds


def _blocksize(text: str) -> int:
    size = parse_size(text)
    if not BLOCK_SIZE_MIN <= size <= BLOCK_SIZE_MAX:
        low, high = render_size(BLOCK_SIZE_MIN), render_size(BLOCK_SIZE_MAX)
        raise ValueError(f"a block has {low} to {high}")
    return size


def _chunking(text: str) -> Chunking:
    if text == "fixed":
        return "fixed"
    if text == "cdc":
        return "cdc"
    raise ValueError("write fixed or cdc")


def _compression(text: str) -> tuple[Compression, int]:
    word, colon, digits = text.partition(":")
    levels = {"zstd": ZSTD_LEVEL_DEFAULT, "gzip": GZIP_LEVEL_DEFAULT, "none": 0}
    if word not in levels:
        raise ValueError("write zstd, gzip or none; a level goes behind a colon, as zstd:9")
    lowest, highest = LEVELS[word]
    level = levels[word]
    if colon:
        level = int(digits) if re.fullmatch("[0-9]{1,2}", digits) else -1
        if word == "none" or not lowest <= level <= highest:
            raise ValueError(
                f"no level of {word}"
                if word == "none"
                else f"{word} has levels {lowest} to {highest}"
            )
    return cast(Compression, word), level


def _copies(text: str) -> int:
    if not re.fullmatch("[1-9][0-9]?", text):
        raise ValueError("write a number from 1 to 99")
    return int(text)


def _unknown(key: str, known: tuple[str, ...]) -> str:
    import difflib  # slow to load, and only a mistake needs it

    near = difflib.get_close_matches(key.lower(), known, n=1, cutoff=0.5)
    hint = f"did you mean {near[0]}=?" if near else f"there are {', '.join(known)}"
    return f"unknown key {key!r}; {hint}"


def _bad(where: str, line: int, reason: str) -> BadConfig:
    return BadConfig(path=where, line=line, reason=reason)


# --- writing --------------------------------------------------------------------------------


def _yes_word(value: bool) -> str:
    return "yes" if value else "no"


def _compression_word(config: NodeConfig) -> str:
    usual = {"zstd": ZSTD_LEVEL_DEFAULT, "gzip": GZIP_LEVEL_DEFAULT, "none": 0}
    if config.level == usual[config.compression] or config.compression == "none":
        return config.compression
    return f"{config.compression}:{config.level}"


def _render(lines: list[tuple[str, str]]) -> str:
    for key, value in lines:
        _writable(key, value)
    return "".join([f"{key}={value}\n" for key, value in lines])


def _writable(key: str, value: str) -> None:
    """Raise BadConfig unless `key=value` reads back as it is."""
    if _split(f"{key}={value}") != [(1, key, value)] or "\r" in value:
        reason = "a config cannot hold a line break, blanks at an end, or # behind a blank"
        raise BadConfig(path=key, line=1, reason=f"{value!r}: {reason}")
