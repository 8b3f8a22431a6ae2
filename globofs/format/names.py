"""Volume paths and their names on disk: the one judge of what is a safe path.

A volume path is bytes: components joined by `/`, no leading or trailing slash, `b""` the root.
On disk each component is a directory of the same name, except that the names which belong to
GloboFS inside a file's directory (`versions`, `hashes`), and every name that begins with the
escape character `=`, get one `=` in front. FORMAT.md, section 3.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from typing import Final

from globofs.errors import BadPath
from globofs.limits import NAME_BYTES, PATH_BYTES

ESCAPE: Final = b"="
RESERVED: Final = frozenset({b"versions", b"hashes"})

_COMPONENT = rb"(?!\.\.?(?:/|\Z))(?:=[^/\0]{0,253}|[^/\0=][^/\0]{0,254})"
_PATH = re.compile(_COMPONENT + rb"(?:/" + _COMPONENT + rb")*+")
_ESCAPABLE = re.compile(rb"(?:\A|/)(?:=|(?:versions|hashes)(?:/|\Z))")


def check_path(path: bytes) -> bytes:
    """`path` itself, checked to be the one spelling of a path below the root. Raises BadPath."""
    if len(path) <= PATH_BYTES and _PATH.fullmatch(path):
        return path
    raise BadPath(path=path, reason=_reason(path))


def parse_path(text: str | bytes) -> bytes:
    """A path as a user writes it: one leading slash and trailing slashes are forgiven.

    `""` and `"/"` are the root. Raises BadPath for what cannot be a path in a volume.
    """
    path = os.fsencode(text) if isinstance(text, str) else text
    path = path.removeprefix(b"/") if path != b"/" else b""
    if path.endswith(b"/"):
        path = path.rstrip(b"/")
        if not path:
            raise BadPath(path=text, reason="it has an empty part")
    return check_path(path) if path else b""


def to_disk(path: bytes) -> str:
    """The relative path of `path`'s directory below `root/`; `""` for the root."""
    if not _ESCAPABLE.search(path):
        return os.fsdecode(path)
    return os.fsdecode(b"/".join([_escape(part) for part in path.split(b"/")]))


def from_disk(relative: str) -> bytes:
    """The volume path whose directory below `root/` is `relative`; undoes `to_disk`.

    Raises BadPath for names that `to_disk` never makes.
    """
    raw = os.fsencode(relative)
    if not raw:
        return b""
    parts: list[bytes] = []
    for part in raw.split(b"/"):
        plain = part[1:] if part.startswith(ESCAPE) else part
        if _escape(plain) != part:
            raise BadPath(path=relative, reason="no file of a volume is kept under that name")
        parts.append(plain)
    return check_path(b"/".join(parts))


def join(directory: bytes, name: bytes) -> bytes:
    """The path of `name` in `directory` (which may be the root)."""
    return directory + b"/" + name if directory else name


def parent(path: bytes) -> bytes:
    """The directory `path` is in; the root for names at the top and for the root itself."""
    return path.rpartition(b"/")[0]


def name(path: bytes) -> bytes:
    """The last part of `path`; empty for the root."""
    return path.rpartition(b"/")[2]


def ancestors(path: bytes) -> Iterator[bytes]:
    """The directories above `path`, nearest first, without the root."""
    above = path.rpartition(b"/")[0]
    while above:
        yield above
        above = above.rpartition(b"/")[0]


def is_below(path: bytes, directory: bytes) -> bool:
    """Whether `path` is `directory` or lies below it; everything lies below the root."""
    return not directory or path == directory or path.startswith(directory + b"/")


def _escape(part: bytes) -> bytes:
    return ESCAPE + part if part in RESERVED or part.startswith(ESCAPE) else part


def _reason(path: bytes) -> str:
    """Why `path` was refused, in words."""
    if not path:
        return "it is empty"
    if b"\0" in path:
        return "it holds a NUL byte"
    if len(path) > PATH_BYTES:
        return f"it is longer than {PATH_BYTES} bytes"
    for part in path.split(b"/"):
        if not part:
            return "it has an empty part"
        if part in (b".", b".."):
            return f'it has a part "{part.decode()}"'
        if len(_escape(part)) > NAME_BYTES:
            return f"a name in it is longer than {NAME_BYTES} bytes"
    return "it is not spelled as paths are"
