"""What the processes of one node tell each other: `run/<pid>.json` and `run/requests/`.

Every engine publishes what it moves in a small file of its own; whoever shows it reads the files
of the others. Whatever steers (pause, bump, retry, poke) is a file dropped into `run/requests/`,
taken by the engine that leads. Nothing here is needed for correctness: a file that cannot be
written or read is as good as none.
"""

from __future__ import annotations

import itertools
import json
import os
import socket
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any, Final, Literal

from globofs.snapshots import Lag, Move, Overall, PeerStatus, Sources
from globofs.store import fsio
from globofs.store.processes import is_alive, start_of

SNAPSHOT_BYTES: Final = 1 << 20
REQUEST_BYTES: Final = 64 << 10
REQUESTS_MAX: Final = 1000
MOVES_PUBLISHED: Final = 200
STALE_SECONDS: Final = 30.0  # a living process that published nothing for so long is not believed

Verb = Literal["poke", "pause", "resume", "retry", "bump", "steered"]
VERBS: Final = frozenset(("poke", "pause", "resume", "retry", "bump", "steered"))

_numbers = itertools.count(1)


@dataclass(frozen=True, slots=True)
class Request:
    """Something asked of the engine that leads: `what` is a peer's name, a path, or nothing."""

    verb: Verb
    peer: str = ""
    path: bytes | None = None


@dataclass(frozen=True, slots=True)
class Published:
    """What another process of this node says it does."""

    pid: int
    who: str  # "mount (pid 4711)"
    leads: bool
    at: int  # ns
    tree_serial: int
    overall: Overall
    peers: tuple[PeerStatus, ...]
    moves: tuple[Move, ...]
    notification: str
    lag: Lag | None = None  # of a UI


def describe(label: str, pid: int) -> str:
    """How a process is named to users."""
    return f"{label} (pid {pid})"


def _text(path: bytes) -> str:
    return path.decode("utf-8", "surrogateescape")


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")


def _move_out(move: Move) -> dict[str, Any]:
    made = asdict(move)
    made["path"] = _text(move.path)
    return made


def _move_in(raw: dict[str, Any], who: str) -> Move:
    raw = dict(raw)
    raw["path"] = _bytes(str(raw["path"]))
    raw["by"] = str(raw.get("by") or who)
    raw["sources"] = _sources_in(raw)
    return Move(**raw)


def _overall_in(raw: dict[str, Any]) -> Overall:
    eta = raw.get("eta_seconds")
    span = None if eta is None else (eta[0], eta[1])
    return Overall(**{**raw, "eta_seconds": span, "sources": _sources_in(raw)})


def _sources_in(raw: dict[str, Any]) -> Sources:
    return tuple((str(peer), int(count)) for peer, count in raw.get("sources") or ())


def _peer_in(raw: dict[str, Any]) -> PeerStatus:
    lists = {key: tuple(raw.get(key) or ()) for key in ("history_in", "history_out")}
    return PeerStatus(**{**raw, **lists})


class RunFiles:
    """The `run/` directory of a node, as one process sees it."""

    def __init__(self, directory: str, label: str, *, readonly: bool = False) -> None:
        self.directory = directory
        self.requests = os.path.join(directory, "requests")
        self.pid = os.getpid()
        self.who = describe(label, self.pid)
        self._label = label
        self._start = start_of(self.pid)
        self._host = socket.gethostname()
        self._readonly = readonly
        self._file = os.path.join(directory, f"{self.pid}.{id(self):x}.json")

    def prepare(self) -> None:
        """Make the directories and take away what dead processes left. Errors are nobody's
        concern: on a read-only disk there is simply nothing to tell others."""
        if self._readonly:
            return
        try:
            _make(self.requests)
            for name, raw in self._files():
                if raw.get("host") == self._host and not is_alive(
                    int(raw.get("pid", 0)), str(raw.get("start", ""))
                ):
                    fsio.unlink(os.path.join(self.directory, name))
        except (OSError, ValueError):
            pass

    def publish(
        self,
        *,
        at: int,
        leads: bool,
        tree_serial: int,
        overall: Overall,
        peers: tuple[PeerStatus, ...],
        moves: tuple[Move, ...],
        notification: str,
        lag: Lag | None = None,
    ) -> bool:
        """Replace what this process says of itself; False when that is not possible."""
        if self._readonly:
            return False
        document = {
            "pid": self.pid,
            "start": self._start,
            "host": self._host,
            "label": self._label,
            "leads": leads,
            "at": at,
            "tree_serial": tree_serial,
            "overall": asdict(overall),
            "peers": [asdict(peer) for peer in peers],
            "moves": [_move_out(move) for move in moves[:MOVES_PUBLISHED]],
            "notification": notification,
            "lag": None if lag is None else asdict(lag),
        }
        try:
            fsio.write_atomic(self._file, json.dumps(document, separators=(",", ":")).encode())
        except OSError:
            return False
        return True

    def withdraw(self) -> None:
        """Take back what this process published: it ends."""
        if self._readonly:
            return
        fsio.remove(self._file)

    def _files(self) -> Iterator[tuple[str, dict[str, Any]]]:
        try:
            names = sorted(os.listdir(self.directory))
        except OSError:
            return
        for name in names:
            if not name.endswith(".json") or name.startswith("."):
                continue
            try:
                raw = json.loads(fsio.read_file(os.path.join(self.directory, name), SNAPSHOT_BYTES))
            except (OSError, ValueError):
                continue
            if isinstance(raw, dict):
                yield name, raw

    def others(self, now: int) -> list[Published]:
        """What the other living processes of this node publish, the leader first."""
        found: list[Published] = []
        mine = os.path.basename(self._file)
        for name, raw in self._files():
            if name == mine:
                continue
            try:
                pid = int(raw["pid"])
                local = raw.get("host") == self._host
                if local and not is_alive(pid, str(raw.get("start", ""))):
                    continue
                if abs(now - int(raw["at"])) > STALE_SECONDS * 1e9:
                    continue
                who = describe(str(raw["label"]), pid)
                found.append(
                    Published(
                        pid=pid,
                        who=who,
                        leads=bool(raw["leads"]),
                        at=int(raw["at"]),
                        tree_serial=int(raw["tree_serial"]),
                        overall=_overall_in(raw["overall"]),
                        peers=tuple(_peer_in(peer) for peer in raw["peers"]),
                        moves=tuple(_move_in(move, who) for move in raw["moves"]),
                        notification=str(raw["notification"]),
                        lag=Lag(**raw["lag"]) if raw.get("lag") else None,
                    )
                )
            except (KeyError, TypeError, ValueError, IndexError):
                continue  # half a file, or another version's: as good as none
        found.sort(key=lambda other: (not other.leads, other.pid))
        return found

    def ask(self, request: Request) -> bool:
        """Drop a request for the engine that leads; False when it could not be written."""
        return ask(self.directory, request)

    def take(self) -> list[Request]:
        """Take the requests that lie there, oldest first. Only the engine that leads calls it."""
        if self._readonly:
            return []
        try:
            names = sorted(name for name in os.listdir(self.requests) if name[:1] != ".")
        except OSError:
            return []
        taken: list[Request] = []
        for name in names[:REQUESTS_MAX]:
            path = os.path.join(self.requests, name)
            try:
                raw = fsio.read_file(path, REQUEST_BYTES)
                fsio.unlink(path)
            except OSError:
                continue
            request = _parse(raw)
            if request is not None:
                taken.append(request)
        return taken


def ask(directory: str, request: Request) -> bool:
    """Drop a request into the run directory `directory`; False when that is not possible."""
    document: dict[str, Any] = {"verb": request.verb, "peer": request.peer}
    if request.path is not None:
        document["path"] = _text(request.path)
    place = os.path.join(directory, "requests")
    name = f"{next(_numbers):06d}-{os.getpid()}"
    try:
        _make(place)
        fsio.write_atomic(os.path.join(place, name), json.dumps(document).encode())
    except OSError:
        return False
    return True


def _make(place: str) -> None:
    """Make `run/requests`, but nothing above: a volume that is gone is not begun anew."""
    try:
        fsio.mkdir(place)
    except FileNotFoundError:
        fsio.mkdir(os.path.dirname(place))
        fsio.mkdir(place)


def _parse(raw: bytes) -> Request | None:
    try:
        document = json.loads(raw)
        verb = document["verb"]
        if verb not in VERBS:
            return None
        path = document.get("path")
        return Request(
            verb=verb,
            peer=str(document.get("peer", "")),
            path=None if path is None else _bytes(str(path)),
        )
    except (ValueError, KeyError, TypeError, AttributeError):
        return None
