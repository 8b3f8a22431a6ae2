"""What a mount knows of its paths and no version keeps: gone when the mount ends.

Programs set owners and times of access and look whether they got them; a volume keeps neither.
A file that is written anew with the content it had makes no version, but is modified now. Being
recorded is no change: a file whose `ctime` moved then would be one that changed while tar read it.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from typing import TYPE_CHECKING

from globofs.format import names

if TYPE_CHECKING:
    from globofs.mount.inode import Attributes

_PATHS = 100_000


@dataclass(slots=True)
class Facts:
    """What is known of one path; None where nothing is."""

    atime: int | None = None
    uid: int | None = None
    gid: int | None = None
    mtime: int | None = None
    ctime: int | None = None
    version: bytes = b""  # `mtime` and `ctime` are of the path while it shows this version


class Fleeting:
    """Facts by path. The caller sees to it that one thread at a time changes them."""

    def __init__(self) -> None:
        self._facts: OrderedDict[bytes, Facts] = OrderedDict()

    def of(self, path: bytes) -> Facts:
        """The facts of `path`, to be changed; those not changed for longest make room."""
        found = self._facts.get(path)
        if found is None:
            found = self._facts[path] = Facts()
            if len(self._facts) > _PATHS:
                self._facts.popitem(last=False)
        return found

    def forget(self, path: bytes) -> None:
        """There is something else at `path` from now on, or nothing."""
        self._facts.pop(path, None)

    def recorded(self, path: bytes, version: bytes, ctime: int, mtime: int | None) -> None:
        """`path` was recorded as `version`, which tells another `ctime`, and where `mtime` is
        given another of that, too: to those who look, nothing changes."""
        facts = self.of(path)
        facts.version, facts.ctime, facts.mtime = version, ctime, mtime

    def move(self, old: bytes, new: bytes) -> None:
        """What lay at `old`, and below it, lies at `new` now."""
        self.forget(new)
        for path in [path for path in self._facts if names.is_below(path, old)]:
            self._facts[new + path[len(old) :]] = self._facts.pop(path)

    def seen(self, path: bytes, recorded: Attributes, version: bytes) -> Attributes:
        """`recorded`, as `stat` is to show it at `path`; `version` is the one shown there."""
        facts = self._facts.get(path)
        if facts is None:
            return recorded
        again = facts.version == version
        return recorded._replace(
            mtime=facts.mtime if again and facts.mtime is not None else recorded.mtime,
            ctime=facts.ctime if again and facts.ctime is not None else recorded.ctime,
            atime=facts.atime,
            uid=facts.uid,
            gid=facts.gid,
        )
