"""One peer of this node: every call goes through its pool, with a deadline and in its words.

What comes out is data, `None` or a `PeerError` that says in a sentence what is the matter; the
state follows from the calls made. Safe from any thread; calls wait for the peer, at most for
the deadline (10 s without progress), and fail at once while it is stuck.
"""

from __future__ import annotations

import errno
import os
import threading
from collections.abc import Callable, Iterable
from typing import Any, TypeVar

from globofs.errors import (
    FormatError,
    PeerError,
    PeerOffline,
    PeerReadOnly,
    PeerStuck,
    PeerWrong,
)
from globofs.events import PeerSeen, PeerState
from globofs.format.applied import Applied
from globofs.format.codec import decompress
from globofs.format.manifest import manifest_id
from globofs.peerio.directory import NodeFacts, PeerDirectory, decode_applied
from globofs.peerio.pool import Call, PeerPool
from globofs.store.clock import Clock
from globofs.store.node import PeerEntry

T = TypeVar("T")

_READ_ONLY = frozenset({errno.EROFS, errno.EACCES, errno.EPERM})
_EWMA = 0.2


class Peer:
    """A peer as its entry describes it, and what has been seen of it since."""

    def __init__(self, entry: PeerEntry, pool: PeerPool, clock: Clock) -> None:
        self.entry = entry
        self.name: str = entry.name
        self.uuid: str = entry.config.uuid
        self.path: str = entry.config.path
        self.send: bool = entry.config.send
        self.pool = pool
        self.clock = clock
        self.directory = PeerDirectory(self.name, self.uuid, self.path, clock.now_ns)
        self.latency_seconds: float | None = None  # of reading one block, moving average
        self.last_seen: int | None = None  # ns, when a check last succeeded
        self.bytes_in = 0
        self.bytes_out = 0
        self._state: PeerState = "offline"
        self._reason = "not looked at yet"
        self._asked = False  # something was learnt of its state
        self._readonly = ""
        self._lock = threading.Lock()

    def state(self) -> PeerSeen:
        """What is known now; never waits."""
        if self.pool.stuck:
            reason = f"its file system has been silent for {self.pool.stuck_seconds:.0f} s"
            return PeerSeen(self.name, "stuck", reason, at=self.last_seen)
        state, reason = self._state, self._reason
        if state == "online" and self._readonly:
            state, reason = "readonly", self._readonly
        return PeerSeen(self.name, state, reason, at=self.last_seen)

    @property
    def reachable(self) -> bool:
        """Whether it answered when last asked; a peer never asked counts as reachable."""
        return not self.pool.stuck and (self._state == "online" or not self._asked)

    @property
    def facts(self) -> NodeFacts | None:
        """What its config said when last read."""
        return self.directory.facts

    # --- calls ---

    def check(self) -> None:
        """Whether its directory is there and its own. Raises `PeerOffline`, `PeerWrong`, `Stuck`."""
        self._run(self.directory.check)

    def read_node_config(self) -> NodeFacts:
        """The peer's own config, freshly checked."""
        self._run(self.directory.check)
        facts = self.directory.facts
        if facts is None:
            raise PeerOffline(peer=self.name, reason="its config could not be read")
        return facts

    def read_applied_bytes(self) -> bytes:
        """Its `upstream/applied` as it lies there; equal bytes mean that nothing is new."""
        return self._run(self.directory.read_applied)

    def read_applied(self) -> Applied | None:
        """What it has acknowledged; None when it has written nothing readable yet."""
        return decode_applied(self.read_applied_bytes())

    def list_origins(self) -> list[str]:
        """Uuids of the journals it holds."""
        return self._run(self.directory.list_origins)

    def list_writers(self, origin: str) -> list[str]:
        """Uuids of the nodes that passed on the journal of `origin` to it."""
        return self._run(self.directory.list_writers, origin)

    def list_updates(self, origin: str, via: str | None = None) -> list[str]:
        """Segments of a journal there, oldest first, `latest` last."""
        return self._run(self.directory.list_updates, origin, via)

    def read_updates(
        self, origin: str, via: str | None, name: str, offset: int, limit: int
    ) -> bytes:
        """At most `limit` bytes of a segment from `offset`."""
        data = self._run(self.directory.read_updates, origin, via, name, offset, limit)
        self._count_in(len(data))
        return data

    def read_end(self, origin: str, via: str | None, count: int) -> bytes:
        """The last `count` bytes of a journal's `latest` there; `b""` when there is none."""
        return self._run(self.directory.read_end, origin, via, count)

    def append_updates(self, origin: str, via: str | None, data: bytes) -> None:
        """Append whole frames to our own file of a journal there. See `PeerDirectory`."""
        self._run(self.directory.append_updates, origin, via, data, writing=True)
        self._readonly = ""
        with self._lock:
            self.bytes_out += len(data)

    def stat_block(self, block: bytes) -> int | None:
        """Size of a block's file there, as encoded; None when it has none."""
        return self._run(self.directory.stat_block, block)

    def lacks(self, blocks: Iterable[bytes]) -> list[bytes]:
        """Those of `blocks` it has no file for."""
        return self._run(self.directory.lacks, tuple(blocks))

    def read_block(self, block: bytes, size: int) -> tuple[bytes, str, bytes] | None:
        """A block as encoded there, its suffix and its plain bytes, verified; None when absent.

        Raises `FormatError` for a wrong copy.
        """
        call = self.start_block(block, size)
        self.pool.wait(call)
        return self.finish_block(call)

    def start_block(self, block: bytes, size: int) -> Call[tuple[bytes, str, bytes] | None]:
        """Begin reading a block and return at once; `finish_block` gives the answer."""
        return self.pool.submit(self._fetch, block, size)

    def finish_block(
        self, call: Call[tuple[bytes, str, bytes] | None]
    ) -> tuple[bytes, str, bytes] | None:
        """The answer of a call of `start_block` that has ended."""
        found = self._translated(call.result, False)
        if found is not None:
            self._count_in(len(found[0]))
        return found

    def list_staged(self) -> list[tuple[str, int]]:
        """Names of its staged files, each with what a listing says of its size."""
        return self._run(self.directory.list_staged)

    def start_staged(self, name: str, offset: int, limit: int) -> Call[bytes]:
        """Begin reading a piece of a staged file and return at once."""
        return self.pool.submit(self.directory.read_staged, name, offset, limit)

    def finish_staged(self, call: Call[bytes]) -> bytes:
        """The answer of a call of `start_staged` that has ended; `b""` when there is no more."""
        data = self._translated(call.result, False)
        self._count_in(len(data))
        return data

    def write_block(self, block: bytes, data: bytes, suffix: str) -> None:
        """Put an encoded block into its `hashes/`, unless it is there."""
        self._run(self.directory.write_block, block, data, suffix, writing=True)
        with self._lock:
            self.bytes_out += len(data)

    # --- inside ---

    def _fetch(self, block: bytes, size: int) -> tuple[bytes, str, bytes] | None:
        """Runs in the pool: read, decode, verify."""
        begun = self.clock.monotonic()
        found = self.directory.read_block(block, size)
        if found is None:
            return None
        data, suffix = found
        took = self.clock.monotonic() - begun
        known = self.latency_seconds
        self.latency_seconds = took if known is None else known + _EWMA * (took - known)
        plain = decompress(data, suffix, size)
        if len(plain) != size or manifest_id(plain) != block:
            raise FormatError(what=f"block {block.hex()}", reason="its bytes are not those named")
        return data, suffix, plain

    def _count_in(self, count: int) -> None:
        with self._lock:
            self.bytes_in += count

    def _run(self, function: Callable[..., T], *args: Any, writing: bool = False) -> T:
        call = self.pool.submit(function, *args)
        self.pool.wait(call)
        return self._translated(call.result, writing)

    def _translated(self, result: Callable[[], T], writing: bool) -> T:
        """The result of a call; its failure as a `PeerError`, and the state that follows."""
        try:
            value = result()
        except PeerStuck:
            raise
        except PeerWrong as error:
            self._set("wrong", error)
            raise
        except PeerOffline as error:
            self._set("offline", error)
            raise
        except FormatError:
            self._online()  # it is there; what lies in it is no good
            raise
        except OSError as error:
            raise self._os_error(error, writing) from error
        self._online()
        return value

    def _online(self) -> None:
        self._state, self._reason, self._asked = "online", "", True
        self.last_seen = self.clock.now_ns()

    def _os_error(self, error: OSError, writing: bool) -> PeerError:
        """The directory was checked after the failure, so it is there: the peer itself fails."""
        self._online()
        reason = error.strerror or str(error)
        if writing and error.errno in _READ_ONLY:
            self._readonly = reason
            return PeerReadOnly(peer=self.name, reason=reason)
        if isinstance(error.filename, str) and error.filename.startswith(self.path):
            reason = f"{os.path.relpath(error.filename, self.path)}: {reason}"
        return PeerError(peer=self.name, reason=reason)

    def _set(self, state: PeerState, error: PeerError) -> None:
        reason = str(error.fields.get("reason", error.message))
        self._state, self._reason, self._asked = state, reason, True
