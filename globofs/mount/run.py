"""Mounting and unmounting: the checks before, the threads meanwhile, the tidy end."""

from __future__ import annotations

import errno
import os
import secrets
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING

from globofs.errors import GlobofsError, UsageError
from globofs.events import Emit, Note, ignore
from globofs.mount import libfuse
from globofs.mount.holders import holders
from globofs.mount.place import MountError, check_place, globofs_mounts
from globofs.store import home
from globofs.store import intent as intents
from globofs.store.libc import keep_freed, share_heaps

if TYPE_CHECKING:
    from globofs.mount.fuse import VolumeFuse
    from globofs.mount.messages import Messages
    from globofs.mount.recorder import Recorder
    from globofs.volume import Volume

_UMOUNT_SECONDS = 60.0
_SAY_AFTER_SECONDS = 2.0


class UnmountError(GlobofsError):
    """{path}: cannot be unmounted: {reason}"""

    errno = errno.EBUSY


def mount(
    volume: Volume,
    mountpoint: str,
    *,
    emit: Emit = ignore,
    on_ready: Callable[[], None] | None = None,
    sync: bool = True,
    allow_other: bool = False,
) -> None:
    """Mount `volume` and serve it until it is unmounted or this process is told to end.

    `on_ready` is called, from another thread, once the mount answers; `sync` False: peers are
    only asked for missing blocks. Returns when everything written is recorded. Raises MountError,
    Unsupported.
    """
    libfuse.need()
    place = check_place(volume, mountpoint)
    if os.listdir(place):
        words = f"{mountpoint} is not empty: what lies in it is hidden until the mount ends"
        emit(Note(words, warning=True))
    if not volume.node.at_home():
        emit(Note(home.ELSEWHERE, warning=True))
    share_heaps()
    keep_freed()
    from globofs.mount.contents import Contents
    from globofs.mount.files import Files
    from globofs.mount.fuse import VolumeFuse
    from globofs.mount.messages import Messages
    from globofs.mount.namespace import Namespace
    from globofs.mount.past import Past
    from globofs.mount.recorder import Recorder, open_directory, recover

    messages = Messages(volume.node, place, emit)
    log: intents.IntentLog | None = None
    if not volume.readonly:
        recover(volume, messages)
        log = intents.IntentLog(open_directory(volume), f"{os.getpid()}-{secrets.token_hex(3)}")
        log.say_where(place)
    space = Namespace(volume, log)
    recorder = Recorder(space, place, messages)
    contents = Contents(volume, messages)
    files = Files(space, contents, recorder.ready, volume.node.config.commit_seconds)
    recorder.open_paths = files.open_paths
    face = VolumeFuse(space, files, recorder, Past(volume))
    clean = False
    try:
        _serve(volume, face, recorder, place, messages if sync else None, on_ready, allow_other)
        if log is not None:
            _record_the_rest(recorder, log, messages)
        clean = True
    finally:
        if log is not None:
            log.close(clean=clean and not space.unrecorded())


def _record_the_rest(recorder: Recorder, log: intents.IntentLog, messages: Messages) -> None:
    """Nobody can write any more. Raises what the recording raises; nothing is lost by that."""
    from globofs.mount.recorder import CANNOT_RECORD, kept_words, told_why

    try:
        recorder.close()
    except (OSError, GlobofsError) as error:
        messages.warn(f"{CANNOT_RECORD}: {told_why(error)}; {kept_words(log.directory)}")
        raise


def _serve(
    volume: Volume,
    face: VolumeFuse,
    recorder: Recorder,
    place: str,
    messages: Messages | None,
    on_ready: Callable[[], None] | None,
    allow_other: bool,
) -> None:
    """Without `messages`, which hears what the engine has to say, there is no engine."""
    from globofs.engine.engine import Engine
    from globofs.mount.binding import VolumeBinding

    engine = Engine(volume, label="mount") if messages is not None else None

    def mounted() -> None:
        threading.Thread(target=libfuse.read_further, args=(place,), daemon=True).start()
        if on_ready is not None:
            on_ready()

    face.on_mounted = mounted
    if engine is not None and messages is not None:
        engine.subscribe(messages.follow)
        engine.start()
    if not volume.readonly:
        recorder.start()
    # libfuse ends its loop at these only where nobody else handles them.
    before = {sign: signal.signal(sign, signal.SIG_DFL) for sign in (signal.SIGTERM, signal.SIGHUP)}
    try:
        VolumeBinding(
            face,
            place,
            foreground=True,
            fsname=f"globofs:{volume.directory}".replace(",", "\\,"),
            subtype="globofs",
            default_permissions=True,
            allow_other=allow_other,
            ro=volume.readonly,
            **libfuse.thread_options(),
        )
    except RuntimeError as error:
        # Once it is mounted this only says that a signal ended the loop.
        if not face.was_mounted:
            raise MountError(path=place, reason=f"libfuse refused (status {error})") from None
    finally:
        for sign, handler in before.items():
            signal.signal(sign, handler)
        if engine is not None:
            engine.close(2.0)


def into_background() -> int | Callable[[], None]:
    """Go on in a child with a session of its own; must be called before any thread is started.

    The child gets the `on_ready` to call. The parent gets the status to end with: 0 once the
    child is ready, else what the child ended with. Until it is ready the child's messages are
    seen; then it lets go of the terminal.
    """
    reading, writing = os.pipe()
    child = os.fork()
    if child:
        os.close(writing)
        with os.fdopen(reading, "rb") as pipe:
            if pipe.read(1):
                return 0
        _, status = os.waitpid(child, 0)
        return os.waitstatus_to_exitcode(status) or 1
    os.close(reading)
    os.setsid()

    def ready() -> None:
        null = os.open(os.devnull, os.O_RDWR)
        for stream in (0, 1, 2):
            os.dup2(null, stream)
        os.write(writing, b"1")
        os.close(writing)

    return ready


# --- unmounting -----------------------------------------------------------------------------------


def umount(mountpoint: str, *, emit: Emit = ignore) -> None:
    """Unmount, and wait until everything written is recorded; what a mount that died had not
    recorded is recorded now. Raises UnmountError, UsageError."""
    place = os.path.abspath(mountpoint)
    mounts = globofs_mounts()
    source = mounts.get(place) or mounts.get(os.path.realpath(place))
    if not source:
        raise UsageError(f"{mountpoint}: no volume is mounted there")
    directory = source.removeprefix("globofs:")
    serving = _serving(directory, place)
    tool = shutil.which("fusermount3") or shutil.which("fusermount")
    words = [tool, "-u", place] if tool else ["umount", place]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    if done.returncode:
        reason = done.stderr.strip().rpartition(": ")[2].lower()
        if reason in ("", "device or resource busy", "target is busy."):
            reason = holders(place) or (
                "a program has a file open there, or is in it (a shell that did `cd`)"
            )
        raise UnmountError(path=mountpoint, reason=reason)
    if serving:
        _await_end(serving, mountpoint, emit)
    if not serving or os.path.isdir(serving):  # it left something
        _recover_dead(directory, place, mountpoint, emit)


def _await_end(serving: str, mountpoint: str, emit: Emit) -> None:
    began = time.monotonic()
    said = False
    while intents.serves(serving):
        waited = time.monotonic() - began
        if waited > _UMOUNT_SECONDS:
            pid = os.path.basename(serving).partition("-")[0]
            raise GlobofsError(
                f"{mountpoint}: unmounted, but process {pid} still serves it: it is recording what "
                "was written, or another mount namespace (a container) shows it; SIGTERM ends it"
            )
        if not said and waited > _SAY_AFTER_SECONDS:
            said = True
            emit(Note("recording what was written"))
        time.sleep(0.02)


def _recover_dead(directory: str, place: str, mountpoint: str, emit: Emit) -> None:
    from globofs.mount.messages import Messages
    from globofs.mount.recorder import recover
    from globofs.volume import Volume

    failed = 0
    with suppress(GlobofsError), Volume.open(directory) as volume:  # else the next mount does it
        if not volume.readonly:
            failed = recover(volume, Messages(volume.node, place, emit)).failed
    if failed:
        raise GlobofsError(f"{mountpoint}: unmounted, but not all that was written is recorded")


def _serving(volume: str, place: str) -> str:
    """The directory of the living mount that serves `place`; "" if there is none."""
    from globofs.store.node import find_node_directory

    try:
        parent = os.path.join(find_node_directory(volume), "state", "open")
        for name in os.listdir(parent):
            found = os.path.join(parent, name)
            if intents.where(found) == place and intents.serves(found):
                return found
    except (OSError, GlobofsError):
        pass
    return ""
