"""The files of a journal by their names: `latest`, and those that were closed, named by the time.

What else stands beside them is none of them and not read: file managers, file systems and people
put things into directories.
"""

from __future__ import annotations

import os
import re
from typing import Final

LATEST: Final = "latest"
_CLOSED: Final = re.compile(r"[0-9]{1,19}\.[0-9]{9}")


def is_segment(name: str) -> bool:
    """Whether a file of that name belongs to a journal."""
    return name == LATEST or _CLOSED.fullmatch(name) is not None


def closed_segments(directory: str) -> list[str]:
    """Names of closed segments, newest first. Raises OSError where it cannot be listed."""
    try:
        names = [name for name in os.listdir(directory) if _CLOSED.fullmatch(name)]
    except (FileNotFoundError, NotADirectoryError):
        return []
    return sorted(names, key=lambda name: (len(name), name), reverse=True)


def last_closed(directory: str) -> int:
    """The time that the newest of them is named by, in ns, be it one that no clock tells; -1 where
    there is none."""
    newest = closed_segments(directory)[:1]
    return int(newest[0].replace(".", "")) if newest else -1
