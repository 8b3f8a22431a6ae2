"""The live tree of a mount: what is recorded, and over it what is about to be recorded.

A change made through the mount is visible at once, lies in the intent log before the call
returns, and becomes a version with the next batch of the recorder. Everything raises `OSError`
with the errno that POSIX names; volume paths are bytes, the root is b"".
"""

from __future__ import annotations

import errno
import os
import stat
import threading
import time
from collections import deque
from collections.abc import Iterator
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from globofs.errors import BadPath, GlobofsError
from globofs.format import names
from globofs.limits import NAME_BYTES, PATH_BYTES
from globofs.mount.fleeting import Fleeting
from globofs.mount.inode import DIRECTORY_BYTES, Attributes, Inode, entry_attributes
from globofs.mount.lacking import cannot_be_recorded
from globofs.mount.recorded import Recorded

if TYPE_CHECKING:
    from globofs.store.intent import IntentLog
    from globofs.store.views import Entry, Kind
    from globofs.volume import Volume

_READ_SECONDS = 2.0
"""A file that was read within that time is being read."""
_BEHIND_SECONDS = 30.0
_GONE = 64


def fail(code: int, path: bytes = b"") -> OSError:
    """The error that a system call answers with `code`."""
    return OSError(code, os.strerror(code), os.fsdecode(path))


class Namespace:
    """Names, kinds and attributes; contents are `files`' affair. Any thread may call it."""

    def __init__(self, volume: Volume, log: IntentLog | None) -> None:
        """`log` None: nothing may be changed."""
        self.volume = volume
        self.log = log
        self.lock = threading.RLock()
        self.fleeting = Fleeting()
        self.recorded = Recorded(volume)
        self.overlay: dict[bytes, Inode] = {}
        self._children: dict[bytes, set[bytes]] = {}
        self._times: dict[bytes, int] = {}
        self._began = time.time_ns()
        self._number = 0
        self._hidden: dict[bytes, Inode] = {}
        self._gone: deque[bytes] = deque(maxlen=_GONE)  # hidden names whose files were closed
        self._freed = threading.Condition(self.lock)
        self.busy: set[bytes] = set()
        """Paths that are being recorded: their names must not change until that is done."""

    # --- what is there ------------------------------------------------------------------------

    def find(self, path: bytes) -> Inode | Entry | None:
        """What lives at `path` now."""
        inode = self.overlay.get(path)
        if inode is not None:
            return None if inode.kind == "deleted" else self._current(inode)
        found = self.recorded.entry(path)
        return self._hidden.get(path) if found is None and self._hidden else found

    def _current(self, inode: Inode) -> Inode | Entry | None:
        """What the path of `inode` shows: a file that is open, but only to be read, follows what
        others record, though not in the middle of being read, for half a minute at most."""
        if not inode.rests:
            return inode
        entry = self.recorded.entry(inode.path)
        if entry is not None and entry.version == inode.replaces:
            return inode
        now = time.monotonic()
        inode.behind = inode.behind or now
        if now - inode.used < _READ_SECONDS and now - inode.behind < _BEHIND_SECONDS:
            return inode
        with self.lock:
            if not inode.rests or self.overlay.get(inode.path) is not inode:
                return inode
            if entry is None or entry.kind != "file":
                self.drop(inode)
                inode.linked = False
                return entry
            if inode.reader is not None:
                inode.reader.close()
                inode.reader = None
            facts = entry_attributes(entry)
            inode.mode, inode.mtime, inode.ctime = facts.mode, facts.mtime, facts.ctime
            inode.size, inode.base = entry.size, entry.version
            inode.replaces, inode.behind = entry.version, 0.0
            return inode

    def need(self, path: bytes) -> Inode | Entry:
        """What lives at `path`; ENOENT, or ENOTDIR where a file is taken for a directory. ESTALE,
        for which the kernel looks again, if it was open when its name was lost and is no more."""
        found = self.find(path)
        if found is None:
            if path in self._gone:
                raise fail(errno.ESTALE, path)
            above = next((self.find(up) for up in names.ancestors(path) if self.find(up)), None)
            raise fail(errno.ENOTDIR if above and above.kind != "directory" else errno.ENOENT, path)
        return found

    def attributes(self, path: bytes) -> Attributes:
        """What `stat` answers."""
        if not path:
            made = Attributes("directory", 0o755, DIRECTORY_BYTES, self._began, self._began, 2)
            return self._shown(b"", made, b"")
        return self._attributes(self.need(path))

    def _attributes(self, found: Inode | Entry) -> Attributes:
        if isinstance(found, Inode):
            return self.inode_attributes(found)
        return self._shown(found.path, entry_attributes(found), found.version)

    def inode_attributes(self, inode: Inode) -> Attributes:
        """What `stat` answers of something open or not yet recorded, with a name or without."""
        made = inode.attributes()
        if not inode.linked:
            return made
        return self._shown(inode.path, made, b"" if inode.dirty else inode.replaces)

    def _shown(self, path: bytes, made: Attributes, version: bytes) -> Attributes:
        made = self.fleeting.seen(path, made, version)
        later = self._times.get(path) if made.kind == "directory" else None
        if later is None or later <= made.mtime:
            return made
        return made._replace(mtime=later, ctime=max(later, made.ctime))

    def children(self, path: bytes) -> Iterator[tuple[bytes, Attributes]]:
        """Names and attributes of what lives in a directory; ENOENT, ENOTDIR."""
        if path and self.need(path).kind != "directory":
            raise fail(errno.ENOTDIR, path)
        with self.lock:
            over = set(self._children.get(path, ()))
        for entry in self.recorded.children(path):
            if entry.name not in over:
                yield entry.name, self._attributes(entry)
        for name in over:
            found = self.find(names.join(path, name))
            if found is not None:
                yield name, self._attributes(found)

    def is_empty(self, path: bytes) -> bool:
        """Whether nothing lives in the directory `path`."""
        return next(self.children(path), None) is None

    # --- overlay ------------------------------------------------------------------------------

    def writable(self) -> IntentLog:
        """The log to write intents to; EROFS where nothing may be changed."""
        if self.log is None:
            raise fail(errno.EROFS)
        return self.log

    def inode(self, path: bytes) -> Inode:
        """The inode of what lives at `path`, made from what is recorded if need be."""
        with self.lock:
            found = self.need(path)
            if isinstance(found, Inode):
                return found
            return self.put(self._made(found))

    def _made(self, entry: Entry) -> Inode:
        facts = entry_attributes(entry)
        return Inode(
            self.next_number(),
            entry.path,
            facts.kind,
            facts.mode,
            facts.mtime,
            facts.ctime,
            entry.size,
            entry.target,
            base=entry.version if facts.kind == "file" else b"",
            replaces=entry.version,
        )

    def next_number(self) -> int:
        """A number that no inode of this mount has."""
        self._number += 1
        return self._number

    def put(self, inode: Inode) -> Inode:
        """Show `inode` at its path, over what is recorded there."""
        self.overlay[inode.path] = inode
        above = names.parent(inode.path)
        self._children.setdefault(above, set()).add(names.name(inode.path))
        return inode

    def drop(self, inode: Inode) -> None:
        """Show what is recorded again, if `inode` is what its path shows."""
        if self.overlay.get(inode.path) is inode:
            self._uncover(inode.path)

    def _uncover(self, path: bytes) -> None:
        del self.overlay[path]
        above = names.parent(path)
        siblings = self._children.get(above)
        if siblings is not None:
            siblings.discard(names.name(path))
            if not siblings:
                del self._children[above]

    def settle(self, inode: Inode) -> None:
        """Let go of an inode that nobody has open and that is recorded, or has no name any more."""
        with self.lock:
            if inode.handles or (inode.dirty and inode.linked):
                return
            if inode.reader is not None:
                inode.reader.close()
                inode.reader = None
            if inode.scratch is not None:
                inode.scratch.close()
                inode.scratch = None
            self.drop(inode)
            for path in [path for path, hidden in self._hidden.items() if hidden is inode]:
                del self._hidden[path]
                self._gone.append(path)

    def changed(self, inode: Inode, **facts: Any) -> dict[str, Any]:
        """`inode` gets these `facts`, and differs from what is recorded: write its intent down
        before it is relied on. Where that fails, as on a full disk, nothing has changed. Returns
        what was true before."""
        log = self.writable()
        if cannot_be_recorded(self.volume, inode):
            raise fail(errno.EOPNOTSUPP, inode.path)
        facts.update(dirty=True, ctime=time.time_ns())
        before = {name: getattr(inode, name) for name in facts}
        _set(inode, facts)
        try:
            if inode.linked:
                log.set(inode.intent())
                if not inode.writers:
                    log.keep(inode.number)
        except OSError:
            _set(inode, before)
            raise
        inode.serial += 1
        return before

    def unrecorded(self) -> bool:
        """Whether something is still to be recorded."""
        with self.lock:
            return any(inode.dirty for inode in self.overlay.values())

    def touch_parent(self, path: bytes) -> None:
        """A name in the directory above `path` changed: that is when it was modified."""
        self._times[names.parent(path)] = time.time_ns()

    def release_busy(self) -> None:
        """Recording is done: names may change again."""
        with self.lock:
            self.busy = set()
            self._freed.notify_all()

    def _await(self, *paths: bytes) -> None:
        """Wait, holding the lock but for that time, until none of `paths` is being recorded."""
        while not self.busy.isdisjoint(paths):
            self._freed.wait()

    # --- names --------------------------------------------------------------------------------

    def free(self, path: bytes) -> None:
        """Check that something new may be made at `path`: EEXIST, ENOENT, ENOTDIR, EROFS."""
        self.writable()
        check_new(path)
        if self.find(path) is not None:
            raise fail(errno.EEXIST, path)
        above = names.parent(path)
        if above and self.need(above).kind != "directory":
            raise fail(errno.ENOTDIR, path)

    def make(self, path: bytes, kind: Kind, mode: int, target: bytes = b"") -> None:
        """A new directory or symlink."""
        with self.lock:
            self.place(self.fresh(path, kind, mode, target))

    def fresh(self, path: bytes, kind: Kind, mode: int, target: bytes = b"") -> Inode:
        """Something new for `path`, where nothing may be; nobody sees it before it is placed. The
        caller holds the lock."""
        self._await(path)
        self.free(path)
        now = time.time_ns()
        before = self.overlay.get(path)
        inode = Inode(self.next_number(), path, kind, stat.S_IMODE(mode), now, now, target=target)
        inode.replaces = before.replaces if before is not None else b""
        return inode

    def place(self, inode: Inode) -> None:
        """Show what is `fresh`."""
        before = self.overlay.get(inode.path)
        self.changed(inode)
        self._forget_intent(before)
        self.fleeting.forget(inode.path)
        self.put(inode)
        self.touch_parent(inode.path)

    def _forget_intent(self, before: Inode | None) -> None:
        """Something else takes the place of `before`, which is not to be recovered any more; if it
        is all the same, what took its place is recovered after it."""
        if before is not None and self.log is not None:
            with suppress(OSError):
                self.log.done(before.number)

    def remove(self, path: bytes, *, directory: bool) -> None:
        """`unlink` or `rmdir`."""
        with self.lock:
            self._await(path)
            self.writable()
            if self._hidden.pop(path, None) is not None:
                return
            found = self.need(path)
            if directory:
                if found.kind != "directory":
                    raise fail(errno.ENOTDIR, path)
                if not self.is_empty(path):
                    raise fail(errno.ENOTEMPTY, path)
            elif found.kind == "directory":
                raise fail(errno.EISDIR, path)
            self.keep_directory(names.parent(path))
            self._vanish(path, found)
            self._times.pop(path, None)
            self.fleeting.forget(path)
            self.touch_parent(path)

    def keep_directory(self, path: bytes) -> None:
        """A directory that only its content shows stays when that goes: make it one of its own."""
        if not path or path in self.overlay:
            return
        entry = self.recorded.entry(path)
        if entry is not None and not entry.version:
            made = self._made(entry)
            self.changed(made)
            self.put(made)

    def _vanish(self, path: bytes, found: Inode | Entry) -> None:
        """Let `path` show nothing; recorded as deleted if anything was recorded there."""
        if not isinstance(found, Inode):
            self._cover(path, self._gap(path, found.version))
            return
        gap = self._gap(path, found.replaces)
        if gap is None and self.log is not None:
            self.log.done(found.number)
        else:
            self._forget_intent(found)
        self._cover(path, gap)
        found.linked = False
        self.settle(found)

    def _gap(self, path: bytes, replaces: bytes) -> Inode | None:
        """What covers that which is recorded at `path`, so that it shows nothing from now on; None
        if nothing is."""
        if not replaces and self.recorded.entry(path) is None:
            return None
        gone = Inode(self.next_number(), path, "deleted", replaces=replaces)
        self.changed(gone)
        return gone

    def _cover(self, path: bytes, gap: Inode | None) -> None:
        if gap is not None:
            self.put(gap)
        elif path in self.overlay:
            self._uncover(path)

    def rename(self, old: bytes, new: bytes) -> None:
        """`rename(2)` of a file or symlink; a directory is moved by `recorder.rename_directory`."""
        with self.lock:
            self._await(old, new)
            self.writable()
            check_new(new)
            found = self.need(old)
            there = self.find(new)
            above = names.parent(new)
            if above and self.need(above).kind != "directory":
                raise fail(errno.ENOTDIR, new)
            if there is not None and there.kind == "directory":
                raise fail(errno.EISDIR, new)
            if old == new:
                return
            self.keep_directory(names.parent(old))
            if is_hidden(new):
                inode = self.inode(old)
                self._hidden[new] = inode
                try:
                    self._vanish(old, inode)
                except OSError:
                    del self._hidden[new]
                    raise
                self.touch_parent(old)
                return
            self._move(found, there, old, new)
            self.fleeting.move(old, new)
            self.touch_parent(old)
            self.touch_parent(new)

    def _move(
        self, found: Inode | Entry, there: Inode | Entry | None, old: bytes, new: bytes
    ) -> None:
        inode = found if isinstance(found, Inode) else self._made(found)
        before = self.overlay.get(new)
        left, number = inode.replaces, inode.number
        if before is not None:
            replaced = before.replaces
        else:
            replaced = there.version if there is not None and not isinstance(there, Inode) else b""
        facts: dict[str, object] = {"path": new, "replaces": replaced}
        if left:
            facts |= {"from_path": old, "from_id": left}
        if inode.scratch is None:  # a scratch file is found by its number
            facts["number"] = self.next_number()
        was = self.changed(inode, **facts)
        try:
            gap = self._gap(old, left)
        except OSError:
            _set(inode, was)
            raise
        # Now nothing fails any more. Who looks at `new` meanwhile finds the old file or this one.
        self.put(inode)
        self._cover(old, gap)
        with suppress(OSError):
            for done in {before.number if before is not None else number, number}:
                if done != inode.number:
                    self.writable().done(done)
        if isinstance(there, Inode):
            there.linked = False
            self.settle(there)

    def follow_hidden(self, old: bytes, new: bytes) -> None:
        """The directory `old` is called `new` now: so are its open files that lost their names."""
        for path in [path for path in self._hidden if names.is_below(path, old)]:
            self._hidden[new + path[len(old) :]] = self._hidden.pop(path)

    # --- attributes ---------------------------------------------------------------------------

    def set_mode(self, inode: Inode, mode: int) -> None:
        """`chmod(2)`."""
        with self.lock:
            self.changed(inode, mode=stat.S_IMODE(mode))

    def set_owner(self, path: bytes, uid: int | None, gid: int | None) -> None:
        """`chown(2)`: as long as this mount lives; None leaves one as it is."""
        with self.lock:
            facts = self.fleeting.of(path)
            facts.uid = facts.uid if uid is None else uid
            facts.gid = facts.gid if gid is None else gid

    def set_time(self, inode: Inode, atime: int | None, mtime: int | None) -> None:
        """`utimens(2)`; None leaves one as it is. That of access is not recorded."""
        with self.lock:
            if atime is not None and inode.linked:
                self.fleeting.of(inode.path).atime = atime
            if mtime is None:
                return
            self.changed(inode, mtime=mtime, always=True)
            if inode.kind == "directory":
                self._times.pop(inode.path, None)


def _set(inode: Inode, facts: dict[str, Any]) -> None:
    for name, value in facts.items():
        setattr(inode, name, value)


def is_hidden(path: bytes) -> bool:
    """Whether libfuse made this name for an open file that lost its own: it is in no listing, in
    nobody's way and never recorded."""
    return names.name(path).startswith(b".fuse_hidden")


def check_new(path: bytes) -> None:
    """Check that `path` can be recorded: ENAMETOOLONG, EINVAL."""
    if len(path) > PATH_BYTES or any(len(part) > NAME_BYTES for part in path.split(b"/")):
        raise fail(errno.ENAMETOOLONG, path)
    try:
        names.check_path(path)
    except BadPath as error:
        raise fail(error.errno, path) from None


def as_os_error(error: GlobofsError, path: bytes = b"") -> OSError:
    """What a system call answers where the volume raised `error`."""
    return fail(error.errno, path)
