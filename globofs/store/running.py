"""Which operations of this node are still being written: a small file each below `run/`.

The file names the process and when it began, so that a number used again by the system is not
taken for it. A killed operation leaves its file; it is then seen to be nobody's.
"""

from __future__ import annotations

import contextlib
import os
from typing import TYPE_CHECKING

from globofs.store import fsio
from globofs.store.processes import is_alive, start_of

if TYPE_CHECKING:
    from globofs.store.parts import NodeParts


def _path(node: NodeParts, number: int) -> str:
    return os.path.join(node.run(), f"op-{number}")


def mark_running(node: NodeParts, number: int) -> None:
    """This process begins an operation. Failing to say so is no reason not to write."""
    text = f"{os.getpid()} {start_of(os.getpid())}\n"
    with contextlib.suppress(OSError):
        fsio.mkdirs(node.run())
        fsio.write_atomic(_path(node, number), text.encode())


def unmark_running(node: NodeParts, number: int) -> None:
    """An operation ended."""
    with contextlib.suppress(OSError):
        fsio.unlink(_path(node, number))


def running_operations(node: NodeParts) -> set[int]:
    """The numbers of this node's operations whose process lives. Cheap when there are none."""
    found: set[int] = set()
    try:
        names = os.listdir(node.run())
    except OSError:
        return found
    for name in names:
        if not name.startswith("op-") or not name[3:].isdigit():
            continue
        try:
            words = fsio.read_file(os.path.join(node.run(), name), 200).decode().split()
            pid = int(words[0])
        except (OSError, ValueError, IndexError):
            continue
        began = words[1] if len(words) > 1 else ""
        if is_alive(pid, began):
            found.add(int(name[3:]))
    return found
