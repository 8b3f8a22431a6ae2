"""What a process of ours and a second one of it say to each other: the second one's end.

A message is its length (4 bytes, little endian) and that many bytes of `marshal`: both ends are
the same release on the same machine. Only what is needed is imported, as the second process has to
be there before the first one has done the work.
"""

from __future__ import annotations

import marshal
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, BinaryIO, Final

LENGTH_BYTES: Final = 4


def pack(message: Any) -> bytes:
    """A message as it is sent."""
    data = marshal.dumps(message)
    return len(data).to_bytes(LENGTH_BYTES, "little") + data


def read(stream: BinaryIO) -> Any:
    """The next message; None at the end."""
    head = stream.read(LENGTH_BYTES)
    if len(head) < LENGTH_BYTES:
        return None
    return marshal.loads(stream.read(int.from_bytes(head, "little")))


@contextmanager
def streams(buffering: int = -1) -> Iterator[tuple[BinaryIO, BinaryIO]]:
    """Where requests come and answers go. Whoever presses ^C means the command: that ends the
    second process with its input."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with os.fdopen(0, "rb") as requests, os.fdopen(1, "wb", buffering) as answers:
        yield requests, answers
