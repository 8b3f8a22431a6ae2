"""A manifest: the text that describes one version of one path. FORMAT.md, section 4.

The id of a version is the SHA-256 of its manifest's bytes, so they are kept verbatim wherever a
version goes; `encode` makes the one canonical form, `decode` also takes what a person may write.
"""

from __future__ import annotations

import re
from hashlib import blake2b, sha256
from typing import Final, Literal, NamedTuple, cast

from globofs.errors import BadPath, FormatError
from globofs.format import names
from globofs.format.text import (
    check_field,
    escape,
    format_time,
    header_lines,
    parse_count,
    parse_hex32,
    parse_time,
    parse_uuid,
    unescape,
)
from globofs.limits import (
    BLOCK_SIZE_MAX,
    MANIFEST_BLOCKS,
    MANIFEST_BYTES,
    PARENTS_MAX,
    PATH_BYTES,
    SIZE_MAX,
    TIME_MAX_NS,
)

Kind = Literal["file", "directory", "symlink", "deleted"]
KINDS: Final[tuple[Kind, ...]] = ("file", "directory", "symlink", "deleted")

HEADER_BYTES: Final = 1024 * 1024
"""The most bytes of a manifest before its empty line."""
MODE_MAX: Final = 0o7777
MODE_DEFAULT: Final = {"file": 0o644, "directory": 0o755, "symlink": 0o777, "deleted": 0}
"""What a hand-made manifest without `mode=` means."""

_BLOCK_LINES = re.compile(rb"(?:[0-9a-f]{64} [1-9][0-9]{0,8}\n)*+")
_LAST_LINE = re.compile(rb"blocks=(0|[1-9][0-9]{0,8})\n?\Z")
_MODE = re.compile(r"0[0-7]{3}|[1-7][0-7]{3}")
_ONCE: Final = frozenset(
    {"kind", "path", "version", "node", "size", "mode", "mtime", "target", "from", "fromid"}
)
_KNOWN: Final = _ONCE | {"parent", "blocks"}


class Block(NamedTuple):
    """A block as a manifest lists it: the SHA-256 of its plain bytes, and their number."""

    id: bytes
    size: int


class Manifest(NamedTuple):
    """One version. Times are nanoseconds since 1970, ids 32 raw bytes, sizes bytes.

    `node` is `""` and `parents` empty where a hand-made manifest does not say. `extra` are keys
    of later releases, values as they are written.
    """

    kind: Kind
    path: bytes
    version: int
    node: str = ""
    parents: tuple[bytes, ...] = ()
    size: int = 0
    mode: int = 0
    mtime: int = 0
    target: bytes = b""
    from_path: bytes | None = None
    from_id: bytes | None = None
    blocks: tuple[Block, ...] = ()
    extra: tuple[tuple[str, str], ...] = ()

    @property
    def content(self) -> bytes:
        """16 bytes that are equal for equal content (see `content_of`)."""
        return content_of(self.kind, self.mode, self.target, self.blocks)


def manifest_id(data: bytes) -> bytes:
    """The id of the version whose manifest is `data`."""
    return sha256(data).digest()


def content_of(kind: Kind, mode: int, target: bytes, blocks: tuple[Block, ...]) -> bytes:
    """A digest of what a version holds, whenever and by whomever it was made.

    Files are equal when mode and blocks are, directories when their modes are, symlinks when
    their targets are; deletions are all equal. Times, sizes, paths and nodes do not count.
    """
    if kind == "file":
        text = b"file %04o\n%b" % (mode, b"".join([block[0] for block in blocks]))
        return blake2b(text, digest_size=16).digest()
    digest = blake2b(kind.encode("ascii"), digest_size=16)
    if kind == "directory":
        digest.update(b" %04o\n" % mode)
    elif kind == "symlink":
        digest.update(b"\n" + target)
    return digest.digest()


def encode(manifest: Manifest) -> bytes:
    """The canonical text of `manifest`. Raises FormatError for what `decode` would not take."""
    check(manifest)
    m = manifest
    lines = [f"kind={m.kind}\npath={escape(m.path)}\nversion={format_time(m.version)}"]
    if m.node:
        lines.append(f"node={m.node}")
    for parent in m.parents:
        lines.append(f"parent={parent.hex()}")
    lines.append(f"size={m.size}\nmode={m.mode:04o}\nmtime={format_time(m.mtime)}")
    if m.target:
        lines.append(f"target={escape(m.target)}")
    if m.from_path is not None:
        lines.append(f"from={escape(m.from_path)}")
    if m.from_id is not None:
        lines.append(f"fromid={m.from_id.hex()}")
    for key, value in m.extra:
        lines.append(f"{key}={value}")
    lines.append("")
    lines += [f"{digest.hex()} {size}" for digest, size in m.blocks]
    lines.append(f"blocks={len(m.blocks)}\n")
    return "\n".join(lines).encode("ascii")


def decode(
    data: bytes, *, where: str = "", path: bytes | None = None, version: int | None = None
) -> Manifest:
    """The manifest whose text is `data`; `where` names it in errors.

    `path` and `version` are what its record, or its place on disk, says: they stand in where the
    text is silent and must agree with it where it is not. Without them the text must name both.
    Raises FormatError for anything that breaks a rule of FORMAT.md 4 or a bound of 9.
    """
    what = where or "manifest"
    try:
        return _decode(data, path, version)
    except BadPath as error:
        raise FormatError(
            what=what, reason=f"path {error.path}: {error.fields['reason']}"
        ) from None
    except FormatError as error:
        raise FormatError(what=what, reason=error.fields["reason"]) from None


def check(manifest: Manifest) -> None:
    """Raise FormatError or BadPath unless `manifest` keeps every rule of a version."""
    m = manifest
    names.check_path(m.path)
    if m.kind not in KINDS:
        raise _bad(f"unknown kind {m.kind!r}")
    if not 0 <= m.version <= TIME_MAX_NS or abs(m.mtime) > TIME_MAX_NS:
        raise _bad("a time is out of range")
    if m.node:
        parse_uuid(m.node)
    if len(m.parents) > PARENTS_MAX:
        raise _bad(f"more than {PARENTS_MAX} parents")
    if not 0 <= m.mode <= MODE_MAX:
        raise _bad("mode is out of range")
    if (m.kind == "symlink") != bool(m.target):
        raise _bad("a symlink has a target, and nothing else has")
    if len(m.target) > PATH_BYTES or b"\0" in m.target:
        raise _bad("target is too long or holds a NUL byte")
    if m.from_path is not None:
        names.check_path(m.from_path)
    if m.blocks and m.kind != "file":
        raise _bad(f"a {m.kind} has no blocks")
    _check_blocks(m)
    for key, value in m.extra:
        check_field(key, value)
        if key in _KNOWN:
            raise _bad(f"{key}= is no extra key")


def _check_blocks(m: Manifest) -> None:
    if len(m.blocks) > MANIFEST_BLOCKS:
        raise _bad(f"more than {MANIFEST_BLOCKS} blocks")
    total = 0
    for _, size in m.blocks:
        if not 0 < size <= BLOCK_SIZE_MAX:
            raise _bad(f"a block of {size} bytes")
        total += size
    if total != m.size or total > SIZE_MAX:
        raise _bad(f"size is {m.size}, its blocks have {total} bytes")


def _decode(data: bytes, path: bytes | None, version: int | None) -> Manifest:
    if len(data) > MANIFEST_BYTES:
        raise _bad(f"larger than {MANIFEST_BYTES} bytes")
    header, counted, blocks = _split(data)
    once = dict(header)
    if len(once) != len(header):
        _check_repeated(header)
    if "blocks" in once:
        raise _bad("blocks= stands before the empty line")
    parents: tuple[bytes, ...] = ()
    if "parent" in once:
        parents = tuple([parse_hex32(value) for key, value in header if key == "parent"])
    extra: tuple[tuple[str, str], ...] = ()
    if not once.keys() <= _KNOWN:
        extra = tuple([field for field in header if field[0] not in _KNOWN])
    size = sum([block.size for block in blocks])
    if "size" in once:
        size = parse_count(once["size"], SIZE_MAX)
    elif not counted:
        raise _bad("neither size= nor blocks= is there to tell whether it is whole")
    kind = cast(Kind, once.get("kind", "file"))
    named = unescape(once["path"]) if "path" in once else path
    at = parse_time(once["version"]) if "version" in once else version
    if named is None or at is None:
        raise _bad("path= or version= is missing")
    if (path is not None and named != path) or (version is not None and at != version):
        raise _bad("it is the manifest of another path or version")
    mode, source, source_id = once.get("mode"), once.get("from"), once.get("fromid")
    made = Manifest(
        kind=kind,
        path=named,
        version=at,
        node=parse_uuid(once["node"]) if "node" in once else "",
        parents=parents,
        size=size,
        mode=MODE_DEFAULT.get(kind, 0) if mode is None else _parse_mode(mode),
        mtime=parse_time(once["mtime"], signed=True) if "mtime" in once else at,
        target=unescape(once["target"]) if "target" in once else b"",
        from_path=None if source is None else unescape(source),
        from_id=None if source_id is None else parse_hex32(source_id),
        blocks=blocks,
        extra=extra,
    )
    check(made)
    return made


def _check_repeated(header: list[tuple[str, str]]) -> None:
    """Raise FormatError where a key of ours, other than `parent`, stands twice."""
    seen: set[str] = set()
    for key, _ in header:
        if key in seen and key in _ONCE:
            raise _bad(f"{key}= stands there twice")
        seen.add(key)


def _split(data: bytes) -> tuple[list[tuple[str, str]], bool, tuple[Block, ...]]:
    """Header fields, whether a count of the blocks stands at the end, and the blocks."""
    end = data.find(b"\n\n", 0, HEADER_BYTES)
    if end >= 0:
        start = end + 2
    elif data.startswith(b"\n"):
        end, start = 0, 1
    else:
        raise _bad("no empty line behind the header")
    try:
        header = header_lines(data[:end].decode("ascii")) if end else []
    except UnicodeDecodeError:
        raise _bad("the header is not ASCII") from None
    last = _LAST_LINE.search(data, max(start, len(data) - 24))
    stop = len(data)
    if last:
        stop = last.start()
        if stop > start and data[stop - 1] != 0x0A:
            raise _bad("blocks= does not begin a line")
    elif stop > start and data[-1] != 0x0A:
        data += b"\n"
        stop += 1
    if not _BLOCK_LINES.fullmatch(data, start, stop):
        raise _bad("a line below the header is no block")
    fromhex = bytes.fromhex
    lines = data[start : stop - 1].decode("ascii").split("\n") if stop > start else []
    blocks = tuple([Block(fromhex(line[:64]), int(line[65:])) for line in lines])
    if last and int(last[1]) != len(blocks):
        raise _bad(f"it lists {len(blocks)} blocks, its last line counts {int(last[1])}")
    return header, last is not None, blocks


def _parse_mode(text: str) -> int:
    if _MODE.fullmatch(text):
        return int(text, 8)
    raise _bad("mode is not four octal digits")


def _bad(reason: str) -> FormatError:
    return FormatError(what="manifest", reason=reason)
