"""Advisory locks of one node, so that any number of clients can use it at once.

A lock is flock(2) on a file in `lock/`: the kernel lets it go when its holder dies, however it
died. Each acquisition opens the file anew, so threads of one process exclude each other as
processes do; a thread that holds a lock may take it again.
"""

from __future__ import annotations

import errno
import fcntl
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Final, Literal

from globofs import errors, limits
from globofs.store import fsio

Name = Literal["journal", "apply", "tree", "adders", "sync", "host", "explode", "state"]
NAMES: Final[tuple[Name, ...]] = (
    "journal",
    "apply",
    "tree",
    "adders",
    "sync",
    "host",
    "explode",
    "state",
)
Say = Callable[[str], None]
_NO_LOCKS = {errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL}
_READ_ONLY = {errno.EROFS, errno.EACCES, errno.EPERM}
_NAP_FIRST, _NAP_MOST = 0.0005, 0.02

_open: set[int] = set()
_open_guard = threading.Lock()


def _forget_after_fork() -> None:
    """A forked child lets go of its copies: a lock must end with the process that took it."""
    for fd in _open:
        with suppress(OSError):
            os.close(fd)
    _open.clear()
    _open_guard.release()


os.register_at_fork(
    before=_open_guard.acquire,
    after_in_parent=_open_guard.release,
    after_in_child=_forget_after_fork,
)


def _let_go(fd: int) -> None:
    """End one acquisition. In a forked child, which never had it, nothing happens."""
    with _open_guard:
        if fd not in _open:
            return
        _open.discard(fd)
        # Closing is not enough while a child that was just forked has a copy.
        with suppress(OSError):
            fcntl.flock(fd, fcntl.LOCK_UN)
        os.close(fd)


def _nothing() -> None:
    """Lets go of what was not taken."""


class _Mine(threading.local):
    """What the present thread holds of one lock."""

    depth: int = 0
    shared: bool = False


class Lock:
    """One named lock of a node's directory."""

    def __init__(self, directory: str, name: Name) -> None:
        """The lock `name` of the node directory `directory`; nothing is opened yet."""
        self.name: Name = name
        self.path = os.path.join(directory, "lock", name)
        self._mine = _Mine()

    @property
    def held(self) -> bool:
        """Whether the present thread holds it."""
        return self._mine.depth > 0

    @contextmanager
    def exclusive(
        self, *, timeout: float = limits.LOCK_WAIT_SECONDS, say: Say | None = None
    ) -> Iterator[None]:
        """Hold it alone; `errors.Locked` after `timeout` seconds.

        `say` hears one sentence about who is waited for, once that has taken two seconds.
        """
        with self._held(False, timeout, say):
            yield

    @contextmanager
    def shared(
        self, *, timeout: float = limits.LOCK_WAIT_SECONDS, say: Say | None = None
    ) -> Iterator[None]:
        """Hold it together with others who share it; `errors.Locked` after `timeout` seconds."""
        with self._held(True, timeout, say):
            yield

    def hold_shared(
        self, *, timeout: float = limits.LOCK_WAIT_SECONDS, say: Say | None = None
    ) -> Callable[[], None]:
        """Share it until the function returned is called, by any thread and in any order.

        A thread that holds it alone already shares it with itself.
        """
        if self._mine.depth and not self._mine.shared:
            return _nothing
        fd = self._try(True)
        if fd is None:
            fd = self._wait(True, timeout, say)
        return lambda: _let_go(fd)

    @contextmanager
    def try_exclusive(self) -> Iterator[bool]:
        """Hold it alone if that is possible at once; yields whether it was."""
        mine = self._mine
        if mine.depth and mine.shared:
            yield False
            return
        if mine.depth:
            with self._held(False, 0.0, None):
                yield True
            return
        fd = self._try(False)
        if fd is None:
            yield False
            return
        with self._keep(fd, False):
            yield True

    def holder(self) -> str:
        """Who holds it, in words for a sentence; a guess where the lock file says nothing."""
        try:
            words = fsio.read_file(self.path, 4096).decode("utf-8", "replace").split()
            pid = int(words[0])
        except (OSError, ValueError, IndexError):
            return "another client"
        name = " ".join(words[1:]) or "another client"
        return f"{errors.printable(name)} (process {pid}{_condition(pid)})"

    @contextmanager
    def _held(self, shared: bool, timeout: float, say: Say | None) -> Iterator[None]:
        mine = self._mine
        if mine.depth:
            if mine.shared and not shared:
                raise RuntimeError(f"lock {self.name}: shared by this thread, cannot be had alone")
            mine.depth += 1
            try:
                yield
            finally:
                mine.depth -= 1
            return
        fd = self._try(shared)
        if fd is None:
            fd = self._wait(shared, timeout, say)
        with self._keep(fd, shared):
            yield

    @contextmanager
    def _keep(self, fd: int, shared: bool) -> Iterator[None]:
        mine = self._mine
        mine.depth, mine.shared = 1, shared
        try:
            yield
        finally:
            mine.depth = 0
            _let_go(fd)

    def _wait(self, shared: bool, timeout: float, say: Say | None) -> int:
        began = time.monotonic()
        said = False
        nap = _NAP_FIRST
        while True:
            waited = time.monotonic() - began
            if waited >= timeout:
                raise errors.Locked(path=self.path, holder=self.holder(), seconds=round(timeout, 1))
            if say is not None and not said and waited >= limits.LOCK_SAY_AFTER_SECONDS:
                said = True
                say(f"waiting for {self.holder()}, which holds the {self.name} lock")
            time.sleep(min(nap, max(0.0, timeout - waited)))
            nap = min(nap * 1.5, _NAP_MOST)
            fd = self._try(shared)
            if fd is not None:
                return fd

    def _try(self, shared: bool) -> int | None:
        """A descriptor that holds the lock, or None when somebody else does."""
        with _open_guard:
            fd = self._open()
            try:
                fcntl.flock(fd, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
            except BlockingIOError:
                os.close(fd)
                return None
            except OSError as error:
                os.close(fd)
                if error.errno in _NO_LOCKS:
                    raise errors.Unsupported(
                        what="using this volume from several clients",
                        reason=f"the file system of {self.path} has no locks ({error.strerror})",
                    ) from error
                raise
            if not self._current(fd):
                os.close(fd)
                return None
            _open.add(fd)
        if not shared:
            fsio.note_holder(fd, _self_description())
        return fd

    def _open(self) -> int:
        try:
            return fsio.open_lock(self.path)
        except OSError as error:
            if error.errno in _READ_ONLY:
                raise errors.ReadOnlyVolume(
                    path=self.path, reason=f"it cannot be locked: {error.strerror}"
                ) from error
            raise

    def _current(self, fd: int) -> bool:
        """Whether the file is still the one of that name: somebody may have emptied `lock/`."""
        mine = os.fstat(fd)
        try:
            there = os.stat(self.path)
        except FileNotFoundError:
            return False
        return (mine.st_ino, mine.st_dev) == (there.st_ino, there.st_dev)


def _self_description() -> bytes:
    words = [os.path.basename(word) for word in sys.argv[:1]] + sys.argv[1:2]
    name = " ".join(words)[:80].replace("\n", " ")
    return f"{os.getpid()} {name}".encode("utf-8", "surrogateescape")


def _condition(pid: int) -> str:
    """What is remarkable about a process: stopped, or gone (its child, or another machine's)."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            state = file.read(4096).rpartition(b")")[2].split()[0]
    except (OSError, IndexError):
        return ", not on this machine or gone"
    return ", stopped" if state in (b"T", b"t") else ""


class Locks:
    """The locks of one node: `locks.journal.exclusive()`.

    `journal`: append to the own journal. `apply`: change the index from records. `tree`: build
    `root/`. `adders`: shared from a batch's first block to its records, alone to evict or collect.
    `explode`: move staged blocks into `hashes/`. `state`: change a file in `state/`. `sync`: lead
    push and receive. `host`: which machine writes here.

    Who needs both takes `adders` before `journal`, and `journal` before `apply`: a collection that
    holds `adders` alone waits for the journal, so nobody may wait for it the other way round.
    """

    def __init__(self, directory: str) -> None:
        """The locks in `directory`/lock."""
        self.journal = Lock(directory, "journal")
        self.apply = Lock(directory, "apply")
        self.tree = Lock(directory, "tree")
        self.adders = Lock(directory, "adders")
        self.explode = Lock(directory, "explode")
        self.state = Lock(directory, "state")
        self.sync = Lock(directory, "sync")
        self.host = Lock(directory, "host")

    def __getitem__(self, name: Name) -> Lock:
        lock: Lock = getattr(self, name)
        return lock
