"""The error for a path that is not there, with what may have been meant."""

from __future__ import annotations

import os
from itertools import islice
from typing import Final

from globofs.errors import NoSuchPath, printable
from globofs.format import names
from globofs.store.query import View

_LOOK_AT_MOST: Final = 2000  # names of one directory: comparing them must not be felt
_CUTOFF: Final = 0.7


def no_such_path(view: View, path: bytes, when: str = "") -> NoSuchPath:
    """The error for `path`, which `view` has not. `when` says which moment was looked at, where it
    was not now."""
    known = view.entry(path, deleted=True) is not None
    if when and (known or not path):
        hint = f" at that moment ({when}); `globofs log` tells its times"
        return NoSuchPath(path=path, hint=hint)
    if known:
        return NoSuchPath(path=path, hint="; it was deleted, `globofs ls --deleted` shows it")
    meant = _nearest(view, path)
    hint = "" if meant is None else f"; did you mean {printable(meant)}?"
    return NoSuchPath(path=path, hint=hint)


def _nearest(view: View, path: bytes) -> bytes | None:
    """The path that is there and spelled most like `path`, part by part."""
    found = b""
    for part in path.split(b"/"):
        below = names.join(found, part)
        if view.entry(below) is None:
            near = _near(part, [entry.name for entry in view.children(found)])
            if near is None:
                return None
            below = names.join(found, near)
        found = below
    return found


def _near(wanted: bytes, there: list[bytes]) -> bytes | None:
    for name in there:
        if name.lower() == wanted.lower():
            return name
    some = map(os.fsdecode, islice(there, _LOOK_AT_MOST))
    import difflib  # slow to load, and only a mistake needs it

    near = difflib.get_close_matches(os.fsdecode(wanted), some, 1, _CUTOFF)
    return os.fsencode(near[0]) if near else None
