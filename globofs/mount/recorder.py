"""Turns what changed in a mount into versions: in batches, each one operation of the volume."""

from __future__ import annotations

import errno
import os
import threading
import time
from contextlib import ExitStack, suppress
from typing import TYPE_CHECKING, NamedTuple

from globofs.errors import GlobofsError
from globofs.events import Emit, Note
from globofs.format import names
from globofs.mount.inode import Inode
from globofs.mount.namespace import Namespace, as_os_error, check_new, fail
from globofs.store import intent as intents
from globofs.store.scratch import Scratch
from globofs.sync.write import Change, write

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from globofs.store.commit import Committed
    from globofs.volume import Volume

_GATHER_SECONDS = 0.2
"""How long changes are gathered into one operation, and longer while there are always more."""
_BURST_SECONDS = 1.0
"""But no longer than this: who unpacks an archive is slowed down by every operation."""
_RETRY_SECONDS = 5.0
CANNOT_RECORD = "cannot record what was written"


class Recorder:
    """Records what is ready; one thread, and whoever cannot wait for it."""

    def __init__(self, space: Namespace, mountpoint: str, emit: Emit) -> None:
        self.space = space
        self.open_paths: Callable[[], list[bytes]] = list
        """What is open now, for others to see."""
        self._told: list[bytes] = []
        self._args = (mountpoint,)
        self._emit = emit
        self._ready = threading.Event()
        self._ending = False
        self._flushing = threading.RLock()
        self._thread = threading.Thread(target=self._run, name="recorder", daemon=True)

    def start(self) -> None:
        """Begin to record in the background."""
        self._thread.start()

    def ready(self) -> None:
        """Something can be recorded."""
        self._ready.set()

    def close(self) -> None:
        """Record everything that can be, then end. Raises what the recording raises."""
        self._ending = True
        self._ready.set()
        if self._thread.is_alive():
            self._thread.join()
        self.flush(everything=True)

    def _run(self) -> None:
        while not self._ending:
            self._ready.wait(timeout=1.0)
            if self._ending:
                return
            self._gather()
            self._tell_open()
            self._ready.clear()
            try:
                self.flush()
            except (OSError, GlobofsError) as error:
                # Nothing is lost: it stays in the intent log and in the scratch files.
                self._emit(Note(f"{CANNOT_RECORD}: {told_why(error)}", warning=True))
                self._ready.wait(_RETRY_SECONDS)  # what changes may have made room
                self._ready.set()

    def _gather(self) -> None:
        end = time.monotonic() + _BURST_SECONDS
        while not self._ending:
            self._ready.clear()
            time.sleep(_GATHER_SECONDS)
            if not self._ready.is_set() or time.monotonic() >= end:
                return

    def _tell_open(self) -> None:
        paths = self.open_paths()
        if paths != self._told:
            self._told = paths
            with suppress(OSError):  # a full disk: it is only news
                self.space.writable().say_open(paths)

    # --- recording ------------------------------------------------------------------------------

    def flush(self, *, everything: bool = False) -> None:
        """Record all that is closed, and what was synced long enough ago; or `everything`, when
        nobody can write any more. Raises OSError."""
        with self._flushing:
            taken = self._take(everything)
            if not taken:
                return
            try:
                with ExitStack() as frozen:
                    for inode, _, _ in taken:
                        if inode.scratch is not None:
                            frozen.enter_context(inode.scratch.frozen())
                    changes = [change for _, _, change in taken if change is not None]
                    node = self.space.volume.node
                    done = write(node, changes, verb="mount", args=self._args) if changes else []
                self._settle(taken, done)
            finally:
                self.space.release_busy()

    def _take(self, everything: bool) -> list[tuple[Inode, int, Change | None]]:
        space = self.space
        now = time.monotonic()
        with space.lock:
            taken = [
                (inode, inode.serial, change_of(inode))
                for inode in space.overlay.values()
                if inode.dirty
                and (everything or not inode.writers or (inode.synced and inode.due <= now))
            ]
            space.busy = {inode.path for inode, _, _ in taken}
        return taken

    def _settle(
        self, taken: list[tuple[Inode, int, Change | None]], done: Sequence[Committed]
    ) -> None:
        space = self.space
        made = iter(done)
        with space.lock:
            log = space.writable()
            space.recorded.forget()  # else who looks at what is let go of is told what was before
            for inode, serial, change in taken:
                if change is not None:
                    one = next(made)
                    inode.replaces = one.version_id
                    inode.from_path = inode.from_id = None
                    if inode.serial == serial and inode.kind != "deleted":
                        mtime = inode.mtime if one.skipped else None
                        space.fleeting.recorded(inode.path, one.version_id, inode.ctime, mtime)
                if inode.serial != serial:
                    log.set(inode.intent())
                    continue
                inode.dirty = inode.always = inode.synced = False
                log.done(inode.number)
                if inode.kind == "deleted":
                    space.drop(inode)
                else:
                    space.settle(inode)
            if not any(inode.dirty or inode.scratch for inode in space.overlay.values()):
                log.forget()

    # --- directories ----------------------------------------------------------------------------

    def rename_directory(self, old: bytes, new: bytes) -> None:
        """`rename(2)` of a directory with all that is in it: one operation, no data.

        That may take long, and who has to do with other files does not wait for it; what lies
        in the directory libfuse keeps everybody from meanwhile, but through files that are open.
        """
        if old == new:
            return
        space = self.space
        with self._flushing:
            with space.lock:
                self._make_way(old, new)
            self.flush()
            with space.lock:
                space.keep_directory(names.parent(old))
            try:
                space.volume.mv(old, new)
            except GlobofsError as error:
                raise as_os_error(error, old) from None
            with space.lock:
                space.recorded.forget()
                self._follow(old, new)
                space.fleeting.move(old, new)
                space.follow_hidden(old, new)
                space.touch_parent(old)
                space.touch_parent(new)

    def _make_way(self, old: bytes, new: bytes) -> None:
        """Check that the directory `old` can be called `new`; an empty one there goes."""
        space = self.space
        space.writable()
        check_new(new)
        if names.is_below(new, old):
            raise fail(errno.EINVAL, new)
        above = names.parent(new)
        if above and space.need(above).kind != "directory":
            raise fail(errno.ENOTDIR, new)
        there = space.find(new)
        if there is not None:
            if there.kind != "directory":
                raise fail(errno.ENOTDIR, new)
            space.remove(new, directory=True)

    def _follow(self, old: bytes, new: bytes) -> None:
        """Files that are open below a directory that moved have another path now."""
        space = self.space
        for inode in [i for i in space.overlay.values() if names.is_below(i.path, old)]:
            space.drop(inode)
            inode.path = new + inode.path[len(old) :]
            entry = space.recorded.entry(inode.path)
            inode.replaces = entry.version if entry is not None else b""
            space.put(inode)
            if inode.dirty:
                space.changed(inode)


def change_of(inode: Inode) -> Change | None:
    """What is to be recorded of an inode; None where nothing is."""
    parents = (inode.replaces,) if inode.replaces else None
    if inode.kind == "deleted":
        return Change(inode.path, "deleted", parents=parents) if parents else None
    scratch = inode.scratch
    return Change(
        path=inode.path,
        kind=inode.kind,
        mode=inode.mode,
        mtime=inode.mtime,
        target=inode.target,
        pieces=scratch.pieces() if scratch is not None else (),
        read=scratch.pread if scratch is not None else None,
        base=inode.base if scratch is None else b"",
        parents=parents,
        from_path=inode.from_path,
        from_id=inode.from_id,
        always=inode.always,
    )


# --- after a crash --------------------------------------------------------------------------------


def open_directory(volume: Volume) -> str:
    """Where mounts keep what they have not recorded yet."""
    return os.path.join(volume.node.directory, "state", "open")


class Recovered(NamedTuple):
    """How many paths were recorded, and of how many mounts something could not be."""

    paths: int
    failed: int


def recover(volume: Volume, emit: Emit) -> Recovered:
    """Record what mounts that died had closed or synced. What cannot be recorded now, as where
    the disk is full, stays for the next time; that is said."""
    paths = failed = 0
    for remains in intents.abandoned(open_directory(volume)):
        try:
            paths += _recover_one(volume, remains, emit)
        except (OSError, GlobofsError) as error:
            failed += 1
            emit(
                Note(
                    f"{CANNOT_RECORD}: {told_why(error)}; {kept_words(remains.directory)}",
                    warning=True,
                )
            )
    return Recovered(paths, failed)


def told_why(error: Exception) -> str:
    """The reason of an error, in words."""
    return (error.strerror if isinstance(error, OSError) else "") or str(error)


def kept_words(directory: str) -> str:
    """Where what could not be recorded lies, and when it will be."""
    return f"it lies in {directory} and is recorded at the next mount once that can be done"


def _recover_one(volume: Volume, remains: intents.Remains, emit: Emit) -> int:
    opened: list[Scratch] = []
    orphans = [intent for intent in remains.intents if _orphan(volume, intent)]
    try:
        changes = [
            change
            for intent in remains.intents
            if intent.keep
            and intent not in orphans
            and (change := _recovered(volume, remains, intent, opened))
        ]
        if changes:
            write(volume.node, changes, verb="recover")
            words = ", ".join(os.fsdecode(change.path) for change in changes[:5])
            emit(Note(f"recovered what a mount that died had not recorded: {words}"))
    finally:
        for scratch in opened:
            scratch.close(keep=True)
    for intent in orphans:
        words = f"{os.fsdecode(intent.path)}: what it was made from is not known any more; "
        words += f"what was written lies in {remains.directory}"
        emit(Note(words, warning=True))
    if orphans:
        intents.keep_only(remains, orphans)
    else:
        intents.discard(remains.directory)
    return len(changes)


def _orphan(volume: Volume, intent: intents.Intent) -> bool:
    """Whether an intent rests on a version that the volume has lost."""
    return bool(intent.keep and intent.base) and volume.view().version_by_id(intent.base) is None


def _recovered(
    volume: Volume, remains: intents.Remains, intent: intents.Intent, opened: list[Scratch]
) -> Change | None:
    base = volume.view().version_by_id(intent.base) if intent.base else None
    inode = Inode(
        intent.number,
        intent.path,
        intent.kind,
        intent.mode,
        intent.mtime,
        target=intent.target,
        base=intent.base,
        replaces=intent.replaces,
        from_path=intent.from_path or None,
        from_id=intent.from_id or None,
        always=True,
    )
    if intent.scratch:
        reader = volume.reader(base) if base is not None else None
        blocks = [block for block, _ in volume.blocks(base)] if base is not None else []
        inode.scratch = Scratch(
            remains.scratch(intent),
            blocks,
            reader.pread if reader is not None else None,
            left=intent.left,
        )
        opened.append(inode.scratch)
    return change_of(inode)
