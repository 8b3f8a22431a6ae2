"""A second process of this one: Python does one thing at a time, and two processes do two.

It runs `serve` of a module of ours, is asked and answers in messages (`messages`), writes nothing
to any disk, and ends with its input, so also with this process, however that ends. Whoever starts
one can do without: it may be missing, die, or hang in a dead file system.
"""

from __future__ import annotations

import fcntl
import marshal
import os
import select
import sys
import time
from contextlib import suppress
from typing import Any, BinaryIO, Final, cast

import globofs
from globofs.limits import MIB
from globofs.store.messages import LENGTH_BYTES, pack

ANSWER_SECONDS: Final = 60.0
"""So long nothing at all may go out or come of an answer; who is silent longer is ended."""
_PROGRAM: Final = (
    "import sys; from importlib import import_module; module, count, *rest = sys.argv[1:];"
    " sys.path[:] = rest[int(count) :]; import_module(module).serve(*rest[: int(count)])"
)
_LOOK_MILLISECONDS: Final = 100
_END_SECONDS: Final = 1.0


def is_worth_it() -> bool:
    """Whether this machine can run a second process at the same time."""
    return len(os.sched_getaffinity(0)) > 1 and bool(sys.executable)


class SecondProcess:
    """One thread at a time may send, and one receive; `end` and `dead` are for all."""

    def __init__(self, module: str, *words: str) -> None:
        """Start `serve(*words)` of a module. Raises OSError."""
        import subprocess  # slow to load, and few files do without

        here = os.path.dirname(os.path.dirname(os.path.abspath(globofs.__file__)))
        places = [here, *map(os.path.abspath, sys.path)]
        self._process = subprocess.Popen(
            [
                *(sys.executable, "-I", "-S", "-B", "-c", _PROGRAM),
                *(module, str(len(words)), *words, *places),
            ],
            bufsize=0,
            cwd="/",
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        self._requests = cast(BinaryIO, self._process.stdin)
        self._answers = cast(BinaryIO, self._process.stdout)
        for pipe in (self._requests, self._answers):
            with suppress(OSError):  # a limit of this user's pipes: then it is only slower
                fcntl.fcntl(pipe, fcntl.F_SETPIPE_SZ, MIB)
        os.set_blocking(self._requests.fileno(), False)
        self._room = select.poll()
        self._room.register(self._requests, select.POLLOUT)
        self._looking = select.poll()
        self._looking.register(self._answers, select.POLLIN)
        self.dead = False

    @property
    def pid(self) -> int:
        """Its number."""
        return self._process.pid

    def has_spoken(self, seconds: float = 0.0) -> bool:
        """Whether something of an answer comes within so long."""
        return bool(self._looking.poll(seconds * 1000))

    def send(self, message: Any) -> bool:
        """Ask; whether that went out. Where it did not, or not in time, it is dead from now on."""
        data = memoryview(pack(message))
        try:
            while data:
                self._wait(self._room)
                data = data[self._requests.write(data) or 0 :]
        except (OSError, EOFError, ValueError):  # ValueError: closed meanwhile
            self.end()
        return not self.dead

    def receive(self) -> Any:
        """The next answer; None where none comes any more, or not in time: it is dead then."""
        if self.dead:
            return None
        try:
            length = int.from_bytes(self._take(LENGTH_BYTES), "little")
            return marshal.loads(self._take(length))
        except (OSError, EOFError, ValueError, TypeError):
            self.end()
            return None

    def _take(self, size: int) -> bytes:
        """So many bytes of an answer. Raises EOFError where none come any more, or not in time."""
        pieces: list[bytes] = []
        while size:
            self._wait(self._looking)
            piece = os.read(self._answers.fileno(), size)
            if not piece:
                raise EOFError
            pieces.append(piece)
            size -= len(piece)
        return b"".join(pieces)

    def _wait(self, pipe: select.poll) -> None:
        """Until something can go through a pipe. Raises EOFError where nothing ever does, or not
        in time: it may be stopped, or hang in a dead file system."""
        until = time.monotonic() + ANSWER_SECONDS
        while not pipe.poll(_LOOK_MILLISECONDS):
            if self.dead or time.monotonic() >= until:
                raise EOFError

    def end(self) -> None:
        """End it, whatever it does; who waits for an answer goes on without."""
        self.dead = True
        self._process.kill()

    def close(self) -> None:
        """End it and let go of it, when nobody sends or receives any more. May be called twice."""
        import subprocess

        self.end()
        for pipe in (self._requests, self._answers):
            with suppress(OSError):
                pipe.close()
        # One that hangs in a dead file system cannot be waited for.
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(_END_SECONDS)
