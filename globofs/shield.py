"""A process that may hang in a dead mount, kept away from the shell.

A thread that waits for a network or FUSE file system cannot be killed, and keeps its process from
ending, `os._exit` included. So where a peer lies on one, the command forks before its first
thread: the child works, the parent only waits, and ends as soon as the child has *reported* its
status through a pipe, whatever hangs in the child. Before it reports, the child lets go of stdin,
stdout and stderr: whoever reads them would wait for the last holder to be gone.

On Ctrl-C the parent gives the child 1.5 s and then goes without it; a child whose main thread
itself hangs in a dead mount is left as soon as it gave no sign of life for the deadline. A child
dies with its parent.
"""

from __future__ import annotations

import os
import re
import select
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Any, Final, NoReturn

from globofs.limits import PEER_COMMAND_SECONDS

AFTER_INTERRUPT_SECONDS: Final = 1.5
BEAT_SECONDS: Final = 1.0
INTERRUPTED: Final = 130
GAVE_UP: Final = 1
_PR_SET_PDEATHSIG: Final = 1
_BEAT: Final = b"\xff"
_LET_GO: Final = b"\xfe"
_LET_GO_SECONDS: Final = 0.3
_POLL_SECONDS: Final = 0.25

_WAITS: Final = re.compile(
    rb"fuse|request_wait|rpc_|nfs|cifs|smb|ceph|p9_|autofs|lustre|gluster|afs_"
)
"""In the name of the kernel function a thread hangs in: it waits for such a file system."""

# --- is it needed? ----------------------------------------------------------------------------


def needed(paths: Iterable[str]) -> bool:
    """Whether touching any of `paths` may hang, as the kernel's table of mounts tells: nothing
    that may hang is touched to find out."""
    from globofs.store.mounts import on_network

    return any(on_network(path) for path in paths)


# --- the child --------------------------------------------------------------------------------


class Reporter:
    """The child's end of the pipe: signs of life, and at last the status."""

    def __init__(self, pipe: int) -> None:
        self._pipe = pipe
        self._beaten = 0.0

    def beat(self) -> None:
        """The work goes on. Costs nothing more often than once a second."""
        now = time.monotonic()
        if now - self._beaten >= BEAT_SECONDS:
            self._beaten = now
            self._write(_BEAT)

    def done(self, status: int) -> None:
        """The work ended with `status`, 0 to 253; the parent returns to the shell now."""
        let_go()
        self._write(bytes((min(status & 0xFF, 0xFD),)))

    def leash(self, pipe: int) -> None:
        """In a thread of its own: when the parent goes without us, let go of the terminal and
        end. Python threads run on while another one hangs in a system call."""
        with suppress(OSError):
            os.read(pipe, 1)
        let_go()
        self._write(_LET_GO)
        os._exit(INTERRUPTED)

    def _write(self, data: bytes) -> None:
        with suppress(OSError):  # the parent is gone, and soon this process with it
            os.write(self._pipe, data)


def let_go() -> None:
    """Put /dev/null in the place of stdin, stdout and stderr."""
    with suppress(OSError):
        nowhere = os.open(os.devnull, os.O_RDWR)
        for stream in (0, 1, 2):
            os.dup2(nowhere, stream)


def _die_with(parent: int) -> None:
    """Have the kernel end this process when its parent is killed."""
    try:
        import ctypes  # only a shielded child needs it

        libc: Any = ctypes.CDLL(None, use_errno=True)
        libc.prctl(_PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0)
    except (OSError, AttributeError):
        return  # not Linux: the parent still ends the child whenever it ends by itself
    if os.getppid() != parent:
        os._exit(INTERRUPTED)


def _work(work: Callable[[Callable[[], None]], int], pipe: int, leash: int) -> NoReturn:
    reporter = Reporter(pipe)
    threading.Thread(target=reporter.leash, args=(leash,), name="leash", daemon=True).start()
    status = GAVE_UP
    try:
        status = work(reporter.beat)
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
    except BrokenPipeError:
        status = 0
    except BaseException as error:  # the parent must hear of the end, whatever it was
        if isinstance(error, KeyboardInterrupt):
            status = INTERRUPTED
        else:
            sys.excepthook(type(error), error, error.__traceback__)
    finally:
        reporter.done(status)
        os._exit(status)


# --- the parent -------------------------------------------------------------------------------


def run(
    work: Callable[[Callable[[], None]], int],
    *,
    deadline: float = PEER_COMMAND_SECONDS,
    screen: bool = False,
) -> int:
    """Fork, have the child do `work(beat)`, and return its status as soon as it is known.

    `deadline`: seconds without a sign of life after which a child that hangs in a file system is
    left. `screen`: the child draws on the whole terminal, which is put right if it is left.
    """
    if threading.active_count() > 1:
        raise RuntimeError("shield.run wants to fork before the first thread")
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    reading, writing = os.pipe()
    leash, held = os.pipe()
    parent = os.getpid()
    child = os.fork()
    if child == 0:
        os.close(reading)
        os.close(held)
        _die_with(parent)
        _work(work, writing, leash)
    os.close(writing)
    os.close(leash)
    return _Parent(child, reading, held, deadline, screen).wait()


class _Parent:
    """Waits for the child, forwards signals, and knows when to go without it."""

    def __init__(self, child: int, pipe: int, leash: int, deadline: float, screen: bool) -> None:
        self._child = child
        self._pipe = pipe
        self._leash = leash
        self._deadline = deadline
        self._screen = screen
        self._terminal = _terminal_state()
        self._leave_at: float | None = None
        self._heard = time.monotonic()

    def wait(self) -> int:
        before = {
            number: signal.signal(number, self._forward)
            for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
        }
        try:
            while True:
                status = self._look()
                if status is not None:
                    return status
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
            os.close(self._pipe)

    def _forward(self, number: int, _frame: object) -> None:
        """Runs in the parent's only thread, between two system calls."""
        self._signal(number)
        if self._leave_at is None:
            self._leave_at = time.monotonic() + AFTER_INTERRUPT_SECONDS

    def _signal(self, number: int) -> None:
        with suppress(ProcessLookupError):
            os.kill(self._child, number)

    def _look(self) -> int | None:
        """Wait a moment; the status to end with, or None while there is none."""
        if select.select([self._pipe], [], [], _POLL_SECONDS)[0]:
            data = os.read(self._pipe, 4096)
            told = data.replace(_BEAT, b"")
            if told:
                return told[-1]
            if not data:  # ended without a word
                return self._ended()
            self._heard = time.monotonic()
        now = time.monotonic()
        if self._leave_at is not None and now >= self._leave_at:
            return self._leave(INTERRUPTED)
        if now - self._heard > self._deadline and _hangs(self._child):
            told_why = (
                f"globofs: no answer for {now - self._heard:.0f} s from a file system; gave up"
            )
            status = self._leave(GAVE_UP)
            print(told_why, file=sys.stderr)
            return status
        self._follow_stop()
        return None

    def _follow_stop(self) -> None:
        """When the child was stopped (Ctrl-Z in the UI), stop as well, so that the shell sees
        it; when the shell continues this process, continue the child."""
        pid, status = os.waitpid(self._child, os.WNOHANG | os.WUNTRACED)
        if pid and os.WIFSTOPPED(status):
            os.kill(os.getpid(), signal.SIGSTOP)
            self._heard = time.monotonic()
            self._signal(signal.SIGCONT)

    def _ended(self) -> int:
        try:
            _, status = os.waitpid(self._child, 0)
        except ChildProcessError:
            return GAVE_UP
        code = os.waitstatus_to_exitcode(status)
        if code == -signal.SIGINT:
            return INTERRUPTED
        if code < 0:
            self._restore_terminal()
            print(f"globofs: ended by {signal.Signals(-code).name}", file=sys.stderr)
            return GAVE_UP
        return code

    def _leave(self, status: int) -> int:
        """End the child, as soon as the kernel lets it, and do not wait for that."""
        os.close(self._leash)
        end = time.monotonic() + _LET_GO_SECONDS
        while (left := end - time.monotonic()) > 0:
            if select.select([self._pipe], [], [], left)[0]:
                data = os.read(self._pipe, 4096)
                if not data or _LET_GO in data:
                    break
        self._signal(signal.SIGKILL)
        self._restore_terminal()
        return status

    def _restore_terminal(self) -> None:
        if self._terminal is None:
            return
        import termios

        try:
            termios.tcsetattr(0, termios.TCSANOW, self._terminal)
            if self._screen:  # mouse and paste modes off, cursor on, main screen
                os.write(1, b"\x1b[?1000l\x1b[?1003l\x1b[?1006l\x1b[?2004l\x1b[?25h\x1b[?1049l")
        except (OSError, termios.error):
            pass


def _terminal_state() -> list[Any] | None:
    """How the terminal is set; None where stdin is none, or is closed."""
    if not os.isatty(0):
        return None
    import termios

    try:
        return termios.tcgetattr(0)
    except termios.error:
        return None


def _hangs(pid: int) -> bool:
    """Whether the main thread of `pid` waits for a file system, as the kernel tells. Where it
    does not tell, a process that is not even runnable after its deadline is taken to hang."""
    try:
        with open(f"/proc/{pid}/wchan", "rb") as file:
            place = file.read(200).strip()
        if place not in (b"", b"0"):
            return _WAITS.search(place) is not None
        with open(f"/proc/{pid}/stat", "rb") as file:
            return file.read(4096).rpartition(b")")[2].split()[0] == b"D"
    except OSError:
        return False
