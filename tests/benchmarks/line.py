"""A line with a delay and a bandwidth, for what talks over TCP on this machine.

`python -m tests.benchmarks.line SECONDS BYTES TARGET` listens on a free port of 127.0.0.1, prints
its number, and carries every connection to TARGET: a port, or a command that is started for each
one with the connection as its standard input and output. Whatever goes in comes out SECONDS
later, both ways, at most BYTES a second each way, however many connections share it. It needs
neither root nor a kernel with `netem`.
"""

from __future__ import annotations

import asyncio
import shlex
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from tests.benchmarks.measure import REPOSITORY, environment

ROUND_TRIP_SECONDS = 0.02
BYTES_A_SECOND = 25_000_000
"""The 20 ms path of the goals: 200 Mbit/s, as good home and office lines have."""
_PIECE = 32 << 10
_AHEAD_SECONDS = 0.002
"""How far the line may be booked before a sender waits: shorter sleeps are not kept."""


class Way:
    """One direction: pieces go out one behind the other, each takes its time on the wire."""

    def __init__(self, delay: float, rate: float) -> None:
        self._delay = delay
        self._rate = rate
        self._free = 0.0

    async def carry(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        """Everything from `source` to `sink`, until one of them ends."""
        clock = asyncio.get_running_loop().time
        flying: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue()
        landing = asyncio.create_task(_land(flying, sink))
        try:
            while data := await source.read(_PIECE):
                self._free = max(self._free, clock()) + len(data) / self._rate
                flying.put_nowait((self._free + self._delay, data))
                if (ahead := self._free - clock()) > _AHEAD_SECONDS:
                    await asyncio.sleep(ahead)
        except ConnectionError:
            pass  # the other side has gone, which its own end says, too
        flying.put_nowait((clock() + self._delay, b""))
        await landing


async def _land(flying: asyncio.Queue[tuple[float, bytes]], sink: asyncio.StreamWriter) -> None:
    clock = asyncio.get_running_loop().time
    try:
        while True:
            due, data = await flying.get()
            if (early := due - clock()) > 0:
                await asyncio.sleep(early)
            if not data:
                break
            sink.write(data)
            await sink.drain()
        sink.write_eof()
    except (ConnectionError, OSError):
        sink.close()


async def _far_end(target: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    if target.isdigit():
        return await asyncio.open_connection("127.0.0.1", int(target))
    ours, theirs = socket.socketpair()
    with theirs:
        subprocess.Popen(shlex.split(target), stdin=theirs, stdout=theirs)
    return await asyncio.open_connection(sock=ours)


async def _serve(delay: float, rate: float, target: str) -> None:
    out, back = Way(delay, rate), Way(delay, rate)

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        far_reader, far_writer = await _far_end(target)
        await asyncio.gather(out.carry(reader, far_writer), back.carry(far_reader, writer))
        writer.close()
        far_writer.close()

    server = await asyncio.start_server(connected, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


@contextmanager
def line(target: str, rate: float = BYTES_A_SECOND) -> Iterator[int]:
    """A line to `target` for as long as the block runs: the port that leads there."""
    words = ["-m", "tests.benchmarks.line", str(ROUND_TRIP_SECONDS / 2), str(rate), target]
    with subprocess.Popen(
        [sys.executable, *words],
        cwd=REPOSITORY,
        env=environment(),
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            yield int(process.stdout.readline() if process.stdout else "")
        finally:
            process.kill()


if __name__ == "__main__":
    asyncio.run(_serve(float(sys.argv[1]), float(sys.argv[2]), sys.argv[3]))
