"""Who holds a mount busy: processes that have something open there, or work in it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress

from globofs.speech import plural, safe

_NAMED = 3
_GONE = " (deleted)"


def holders(place: str) -> str:
    """Who holds the mount at `place`, as a sentence: `vim (pid 123) has notes.txt open`; "" where
    no process that may be looked at does."""
    found = list(_holding(place))
    if len(found) > _NAMED:
        found[_NAMED:] = [plural(len(found) - _NAMED, "other process", "other processes")]
    return ", ".join(found)


def _holding(place: str) -> Iterator[str]:
    for pid in sorted(int(name) for name in os.listdir("/proc") if name.isdigit()):
        does = _does(f"/proc/{pid}", place) if pid != os.getpid() else ""
        if does:
            yield f"{_program(pid)} (pid {pid}) {does}"


def _does(process: str, place: str) -> str:
    """What a process does with the mount at `place`; "" if nothing, or nobody may know."""
    for link in ("cwd", "root"):
        inside = _inside(_target(f"{process}/{link}"), place)
        if inside is not None:
            return f"is in {inside}" if inside else "is in it"
    with suppress(OSError):
        for number in os.listdir(f"{process}/fd"):
            inside = _inside(_target(f"{process}/fd/{number}"), place)
            if inside is not None:
                return f"has {inside or 'it'} open"
    inside = _inside(_target(f"{process}/exe"), place)
    if inside is not None:
        return f"runs {inside}"
    with suppress(OSError), open(f"{process}/maps", "rb") as maps:
        for line in maps:
            words = line.rstrip(b"\n").split(None, 5)
            if len(words) == 6:
                inside = _inside(os.fsdecode(words[5]), place)
                if inside is not None:
                    return f"has {inside} mapped"
    return ""


def _target(link: str) -> str:
    try:
        return os.readlink(link)
    except OSError:
        return ""


def _inside(path: str, place: str) -> str | None:
    """What of the mount `path` is, "" for its top; None where it lies elsewhere."""
    if path != place and not path.startswith(os.path.join(place, "")):
        return None
    return safe(os.path.relpath(path.removesuffix(_GONE), place) if path != place else "")


def _program(pid: int) -> str:
    with suppress(OSError), open(f"/proc/{pid}/comm", encoding="utf-8", errors="replace") as file:
        return safe(file.read().strip())
    return "a program"
