"""What PATH means: a path in the volume, or the real path of a file of an added folder."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TYPE_CHECKING

from globofs.errors import BadPath
from globofs.format.names import from_disk, parse_path
from globofs.speech import safe, shown_path

if TYPE_CHECKING:
    from globofs.volume import Volume

_DOTS = (".", "..")


def volume_path(volume: Volume, text: str, say: Callable[[str], None]) -> bytes:
    """The volume path that the user's `text` means.

    What is, or ever was, in the volume under that name comes first; else a real path in an added
    folder, or in this node's own `root/`, is translated, and that is said. A text that begins
    with `.` or `..` is a real path first; where nothing here came from that place, it counts from
    the volume's root as any other. Raises BadPath.
    """
    path: bytes | None = None
    refused: BadPath | None = None
    try:
        path = parse_path(_without_dots(text))
    except BadPath as error:  # `../x` may still be a real path
        refused = error
    dotted = text.split("/", 1)[0] in _DOTS
    if path is not None and not dotted and (not path or _known(volume, path)):
        return path
    found = _from_here(volume, os.path.abspath(text)) if text else None
    if found is not None:
        if found != path:
            say(f"globofs: {safe(text)} is {shown_path(found)} in the volume")
        return found
    if path is None:
        raise refused or BadPath(path=text, reason="it cannot be one")
    return path


def _without_dots(text: str) -> str:
    """`text` without its parts `.`, and with each `..` taken back. Raises BadPath for one that
    leads out of the volume."""
    parts: list[str] = []
    if not any(part in _DOTS for part in text.split("/")):
        return text
    for part in text.removeprefix("/").split("/"):
        if part == "..":
            if not parts:
                raise BadPath(path=text, reason="it leads out of the volume")
            parts.pop()
        elif part != ".":
            parts.append(part)
    return "/".join(parts)


def _known(volume: Volume, path: bytes) -> bool:
    view = volume.view()
    return view.entry(path) is not None or bool(view.history(path, follow=False))


def _from_here(volume: Volume, real: str) -> bytes | None:
    """The volume path of the file at `real` on this machine, if an added folder holds it (of
    several folders the innermost), or if it is a directory of this node's `root/`."""
    root = os.path.join(volume.node.directory, "root", "")
    if (real + "/").startswith(root):
        try:
            return from_disk(real[len(root) :]) if real + "/" != root else b""
        except BadPath:
            return None
    return volume.source_path(real)
