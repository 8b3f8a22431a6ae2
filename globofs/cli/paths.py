"""What PATH means: a path in the volume, or the real path of a file of an added folder."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TYPE_CHECKING

from globofs.errors import BadPath
from globofs.format.names import parse_path
from globofs.speech import safe, shown_path

if TYPE_CHECKING:
    from globofs.volume import Volume


def volume_path(volume: Volume, text: str, say: Callable[[str], None]) -> bytes:
    """The volume path that the user's `text` means. What is, or ever was, in the volume under
    that name comes first; else a real path in an added folder is translated, and that is said.
    Raises BadPath."""
    path: bytes | None = None
    refused: BadPath | None = None
    try:
        path = parse_path(text)
    except BadPath as error:  # `../x` may still be a real path
        refused = error
    if path is not None and (not path or _known(volume, path)):
        return path
    found = from_source(volume, os.path.abspath(text)) if text else None
    if found is not None:
        say(f"globofs: {safe(text)} is {shown_path(found)} in the volume")
        return found
    if path is None:
        raise refused or BadPath(path=text, reason="it cannot be one")
    return path


def _known(volume: Volume, path: bytes) -> bool:
    view = volume.view()
    return view.entry(path) is not None or bool(view.history(path, follow=False))


def from_source(volume: Volume, real: str) -> bytes | None:
    """The volume path of the file at `real` on this machine, if an added folder holds it; of
    several folders the innermost."""
    return volume.source_path(real)
