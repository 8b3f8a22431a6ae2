"""A second process for `add`: it reads small files while this one commits what was read.

Of 20,000 small files most of the work is Python's, of which one process does one thing at a time,
whatever the number of its threads. What the second process finds is only the quick way: a file
that it cannot read or that changed, and every file should it be missing or die, is read here.
"""

from __future__ import annotations

import fcntl
import marshal
import os
import select
import subprocess
import sys
import threading
import time
from contextlib import suppress
from typing import BinaryIO, Final, cast

import globofs
from globofs.limits import MIB
from globofs.sync._reading import LENGTH_BYTES, Asked, Told

_PROGRAM: Final = (
    "import sys; sys.path[:] = sys.argv[3:]; from globofs.sync._reading import serve;"
    " serve(sys.argv[1], int(sys.argv[2]))"
)
ANSWER_SECONDS: Final = 60.0
"""So long nothing at all may come of an answer; who is silent longer is ended."""
_LOOK_MILLISECONDS: Final = 100
_END_SECONDS: Final = 1.0


def worth_it() -> bool:
    """Whether this machine can run a second process at the same time."""
    return len(os.sched_getaffinity(0)) > 1 and bool(sys.executable)


class Second:
    """The second process. `read` may be called from several threads; they take turns."""

    def __init__(self, method: str, level: int) -> None:
        """Start it; it is used from the moment when it says that it is there. Raises OSError."""
        here = os.path.dirname(os.path.dirname(os.path.abspath(globofs.__file__)))
        places = [here, *(os.path.abspath(place) for place in sys.path)]
        command = [sys.executable, "-I", "-S", "-B", "-c", _PROGRAM, method, str(level), *places]
        self._process = subprocess.Popen(
            command,
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
        self._looking = select.poll()
        self._looking.register(self._answers, select.POLLIN)
        self._sending = threading.Lock()
        self._turn = threading.Condition()
        self._sent = 0
        self._received = 0
        self._there = False
        self._dead = False

    def read(self, asked: list[Asked]) -> list[Told | None] | None:
        """What each file holds, None for one to be read here; None for all of them, too."""
        if not self._ready():
            return None
        data = marshal.dumps(asked)
        try:
            with self._sending:
                number = self._sent
                self._requests.write(len(data).to_bytes(LENGTH_BYTES, "little") + data)
                self._requests.flush()
                self._sent += 1
        except (OSError, ValueError):  # ValueError: closed meanwhile
            self._dead = True
            return None
        with self._turn:
            while self._received != number:
                self._turn.wait()
        try:
            answer = self._receive()
        finally:
            with self._turn:
                self._received += 1
                self._turn.notify_all()
        return answer if answer is not None and len(answer) == len(asked) else None

    def _ready(self) -> bool:
        if self._dead or self._there:
            return not self._dead
        with self._turn:
            if not self._there and not self._dead:
                if not self._looking.poll(0):
                    return False
                self._there = self._receive() is not None
        return self._there

    def _receive(self) -> list[Told | None] | None:
        if self._dead:
            return None
        try:
            length = int.from_bytes(self._take(LENGTH_BYTES), "little")
            found: list[Told | None] = marshal.loads(self._take(length))
        except (OSError, EOFError, ValueError, TypeError):
            self.end()
            return None
        return found

    def _take(self, size: int) -> bytes:
        """So many bytes of an answer. Raises EOFError where none come any more, or not in time."""
        pieces: list[bytes] = []
        heard = time.monotonic()
        while size:
            if not self._looking.poll(_LOOK_MILLISECONDS):
                if self._dead or time.monotonic() - heard >= ANSWER_SECONDS:
                    raise EOFError
                continue
            piece = os.read(self._answers.fileno(), size)
            if not piece:
                raise EOFError
            pieces.append(piece)
            size -= len(piece)
            heard = time.monotonic()
        return b"".join(pieces)

    def end(self) -> None:
        """End it, whatever it does; who waits for an answer goes on without. From any thread."""
        self._dead = True
        self._process.kill()

    def close(self) -> None:
        """End it and let go of it. When nobody is in `read` any more."""
        self.end()
        for pipe in (self._requests, self._answers):
            with suppress(OSError):
                pipe.close()
        # One that hangs in a dead file system cannot be waited for.
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(_END_SECONDS)
