"""Whether a process that left its number somewhere still runs: numbers are used again."""

from __future__ import annotations

import os


def start_of(pid: int) -> str:
    """When a process began, in the kernel's own units, so that a number that was used again is
    noticed; "" when there is no such process or the system does not tell."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            return file.read(4096).rpartition(b")")[2].split()[19].decode()
    except (OSError, IndexError):
        return ""


def is_alive(pid: int, start: str) -> bool:
    """Whether the very process that noted `start` still runs on this machine; where one of the two
    times is not known ("") the number alone decides."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        pass  # another user's: it lives
    found = start_of(pid)
    return not start or not found or found == start
