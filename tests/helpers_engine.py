"""A scripted volume for the engine: peers that answer, hang, fail or are slow, as told."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from globofs.engine.queue import Item
from globofs.engine.work import PeerFacts, Steering
from globofs.events import BlockMoved, Emit, PeerSeen
from globofs.snapshots import Status
from globofs.store.locks import Lock

OWN = "00000000-0000-4000-8000-000000000000"


def until(check: Callable[[], object], seconds: float = 5.0) -> bool:
    """Whether `check` becomes true within `seconds`."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if check():
            return True
        time.sleep(0.01)
    return bool(check())


class FakePeer:
    """What a round with this peer does next."""

    def __init__(self, name: str, number: int) -> None:
        self.facts = PeerFacts(name, f"00000000-0000-4000-8000-{number:012d}", f"/peers/{name}")
        self.seen = PeerSeen(name, "online", at=1)
        self.error: Exception | None = None
        self.hang: threading.Event | None = None
        self.rounds: list[float] = []
        self.cancelled = False


class FakeWork:
    """`Work` on a directory with nothing but names in it."""

    def __init__(self, directory: Path, *names: str, poll: float = 0.2) -> None:
        self._directory = directory
        for name in ("upstream", "state", "run", "lock"):
            (directory / name).mkdir(parents=True, exist_ok=True)
        (directory / "config").touch()
        self.fakes = {name: FakePeer(name, at + 1) for at, name in enumerate(names)}
        self._poll = poll
        self.readonly = ""
        self.uuid = OWN
        self.gone = ""
        self.mark = 0
        self.applies = 0
        self.apply_error: Exception | None = None
        self.steer = Steering()
        self.items: list[Item] = []
        self.lock = threading.Lock()
        self.fetched: list[bytes] = []
        self.fetching = 0
        self.fetching_most = 0
        self.fetch_gate: threading.Event | None = None
        self.pace = 0.0  # seconds for each item
        self.missing: set[bytes] = set()
        self.heard: Emit | None = None

    @property
    def poll_seconds(self) -> float:
        return self._poll

    def directory(self, name: str = "") -> str:
        return str(self._directory / name) if name else str(self._directory)

    def present(self) -> str:
        return self.gone

    @contextmanager
    def lead(self) -> Iterator[bool]:
        with Lock(str(self._directory), "sync").try_exclusive() as ours:
            yield ours

    def leader(self) -> str:
        return Lock(str(self._directory), "sync").holder()

    def announce(self) -> None:
        pass

    def peers(self) -> tuple[PeerFacts, ...]:
        return tuple(peer.facts for peer in self.fakes.values())

    def reload_peers(self) -> None:
        pass

    def round(self, peer: str, emit: Emit, cancelled: Callable[[], bool]) -> PeerSeen:
        fake = self.fakes[peer]
        fake.rounds.append(time.monotonic())
        if fake.hang is not None:
            fake.hang.wait(60)
        fake.cancelled = cancelled()
        if fake.error is not None:
            raise fake.error
        return fake.seen

    def catch_up(self, emit: Emit) -> None:
        self.applies += 1
        if self.apply_error is not None:
            raise self.apply_error

    def change_mark(self) -> object:
        return self.mark

    def status(self) -> Status:
        return Status(volume=self.directory(), uuid=self.uuid, name="fake", files=self.mark)

    def steering(self) -> Steering:
        return self.steer

    def pause(self, what: str | bytes | None, paused: bool) -> None:
        peers, paths = set(self.steer.paused_peers), set(self.steer.paused_paths)
        everything = self.steer.paused_all
        change = set.add if paused else set.discard
        if what is None:
            everything = paused
        elif isinstance(what, str):
            change(peers, what)
        else:
            change(paths, what)
        self.steer = Steering(everything, frozenset(peers), frozenset(paths))

    def wanted(self, below: bytes = b"", *, fresh: bool = True) -> Iterator[Item]:
        with self.lock:
            found = [item for item in self.items if item.path.startswith(below)]
        return iter(found)

    def wanted_totals(self) -> tuple[int, int] | None:
        with self.lock:
            return len(self.items), sum(item.bytes for item in self.items)

    def fetch(
        self, items: Sequence[Item], emit: Emit, cancelled: Callable[[], bool]
    ) -> Mapping[str, str]:
        reasons: dict[str, str] = {}
        with self.lock:
            self.fetching += len(items)
            self.fetching_most = max(self.fetching_most, self.fetching)
        try:
            for item in items:
                while self.fetch_gate is not None and not self.fetch_gate.is_set():
                    if cancelled():
                        return reasons
                    time.sleep(0.005)
                time.sleep(self.pace)
                if item.path in self.missing:
                    reasons[item.key] = "nobody reachable holds it; nas should"
                    continue
                emit(BlockMoved("nas", "pull", item.bytes, item.path))
                with self.lock:
                    self.fetched.append(item.path)
                    self.items = [other for other in self.items if other.key != item.key]
        finally:
            with self.lock:
                self.fetching -= len(items)
        return reasons

    def upkeep(self, emit: Emit, cancelled: Callable[[], bool]) -> None:
        pass

    def listen(self, emit: Emit, paused: Callable[[str], bool]) -> None:
        self.heard = emit

    def want(self, *paths: bytes, size: int = 1000) -> None:
        """These become wanted and are not here."""
        with self.lock:
            self.items += [Item(f"v-{path.hex()}", path, size) for path in paths]
        self.mark += 1
