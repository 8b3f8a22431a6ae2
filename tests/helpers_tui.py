"""A volume and an engine of paper: what the UI tests look at, always the same.

Times count back from `NOW`; nodes are laptop (this one), nas and phone. `FakeVolume` answers as
`globofs.volume.Volume` does, `FakeEngine.snapshot` says what the test puts there.
"""

from __future__ import annotations

import fnmatch
import hashlib
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

from globofs.errors import ContentMissing, NothingToUndo
from globofs.events import Problem, ignore
from globofs.snapshots import Move, Overall, PeerStatus, Snapshot, Status
from globofs.store.views import Block, Entry, Operation, OperationKey, Version
from globofs.sync.results import (
    AddResult,
    Conflict,
    EditResult,
    PinResult,
    PlanItem,
    Policy,
    PruneResult,
    RestorePlan,
    RestoreResult,
    VerifyResult,
)

SECOND = 1_000_000_000
NOW = 1_795_000_000 * SECOND  # 2026-11-18 11:06:40 UTC
MINUTE, HOUR, DAY = 60 * SECOND, 3600 * SECOND, 86400 * SECOND
LAPTOP = "68d25a11-a34a-4bbb-a29e-c9bd06ff8c53"
NAS = "ea8192ee-593f-437f-af60-90d213995480"
PHONE = "0b7a3c5e-1111-4bbb-a29e-5f0c06ff8c99"
NAMES = {LAPTOP: "laptop", NAS: "nas", PHONE: "phone"}
BLOCK = 1 << 20

NOTES = [
    "# Alps 2026\n\n- meet at 9\n- bring the map\n",
    "# Alps 2026\n\n- meet at 9\n- bring the map\n- Anna drives\n",
    "# Alps 2026\n\n- meet at 10, north gate\n- bring the map and the rope\n- Anna drives\n",
    "# Alps 2026\n\n- meet at 10, north gate\n- bring the map and the rope\n- Anna drives\n\n"
    "## Huts\n\n1. Konkordia, two nights\n2. Finsteraarhorn\n",
]
ROUTE = (
    '"""Where we walk, and how long it takes."""\n\nfrom dataclasses import dataclass\n\n'
    "PACE = 4.2  # km/h on level ground\n\n\n@dataclass(frozen=True)\nclass Leg:\n"
    '    """One part of a day."""\n\n    name: str\n    km: float\n    climb: int\n\n'
    "    def hours(self) -> float:\n        return self.km / PACE + self.climb / 400\n\n\n"
    "def total(legs: list[Leg]) -> float:\n    return sum(leg.hours() for leg in legs)\n"
)


class FakeView:
    """The tree at a moment."""

    def __init__(self, volume: FakeVolume, at: int | None) -> None:
        self.volume, self.at = volume, at

    def _current(self, deleted: bool) -> dict[bytes, tuple[Version, list[Version]]]:
        found: dict[bytes, list[Version]] = {}
        for version in self.volume.versions:
            if self.at is None or version.time <= self.at:
                found.setdefault(version.path, []).append(version)
        shown = {}
        for path, versions in found.items():
            versions.sort(key=lambda v: -v.time)
            top = (
                next((v for v in versions if v.shown), versions[0])
                if self.at is None
                else versions[0]
            )
            if top.kind != "deleted" or deleted:
                shown[path] = (top, versions)
        return shown

    def _entry(self, version: Version, versions: list[Version]) -> Entry:
        heads = sum(v.head for v in versions)
        return Entry(
            version.path, version.kind, version.size, version.mode, version.mtime, version.time,
            version.node, version.id, version.row, len(versions), version.blocks, version.missing,
            heads > 1 and self.at is None, version.target, 0, 0, version.missing * BLOCK,
        )  # fmt: skip

    def _directory(self, path: bytes, inside: list[tuple[Version, list[Version]]]) -> Entry:
        live = [v for v, _ in inside if v.kind != "deleted"]
        return Entry(
            path, "directory" if live else "deleted", sum(v.size for v in live), 0o755, 0,
            max(v.time for v, _ in inside), live[0].node if live else "", b"", 0,
            sum(len(vs) for _, vs in inside), sum(v.blocks for v in live), sum(v.missing for v in live),
            False, b"", len(live), sum(sum(v.head for v in vs) > 1 for _, vs in inside),
            sum(v.missing for v in live) * BLOCK, sum(len(vs) for _, vs in inside),
        )  # fmt: skip

    def entry(self, path: bytes, deleted: bool = False) -> Entry | None:
        current = self._current(True)
        if path in current:
            found = self._entry(*current[path])
            return found if deleted or found.kind != "deleted" else None
        prefix = path + b"/" if path else b""
        inside = [pair for key, pair in current.items() if key.startswith(prefix)]
        if not inside:
            return Entry(b"", "directory", 0, 0o755, 0, 0, "", b"", 0, 0) if not path else None
        return self._directory(path, inside)

    def children(self, path: bytes = b"", deleted: bool = False) -> list[Entry]:
        if self.volume.delay:
            self.volume.delay.wait(30)
        prefix = path + b"/" if path else b""
        names: dict[bytes, list[tuple[Version, list[Version]]]] = {}
        direct: dict[bytes, Entry] = {}
        for key, pair in self._current(deleted).items():
            if not key.startswith(prefix):
                continue
            first, slash, _ = key[len(prefix) :].partition(b"/")
            if slash:
                names.setdefault(prefix + first, []).append(pair)
            else:
                direct[key] = self._entry(*pair)
        direct |= {key: self._directory(key, inside) for key, inside in names.items()}
        return [direct[key] for key in sorted(direct)]

    def walk(self, path: bytes = b"", deleted: bool = False) -> Iterator[Entry]:
        for entry in self.children(path, deleted):
            yield entry
            if entry.kind == "directory" or entry.below:
                yield from self.walk(entry.path, deleted)

    def version_by_id(self, version: bytes) -> Version | None:
        return next((v for v in self.volume.versions if v.id == version), None)

    def operations_by_key(self, keys: Any) -> dict[OperationKey, Operation]:
        return {op.key: op for op in self.volume.ops if op.key in keys}

    def newest_below(self, path: bytes) -> int:
        return max(
            (
                v.time
                for v in self.volume.versions
                if (v.path == path or v.path.startswith(path + b"/"))
                and (self.at is None or v.time <= self.at)
            ),
            default=0,
        )

    def changed_since(self, time: int, below: bytes = b"", limit: int = 0) -> list[Entry]:
        paths = {
            v.path
            for v in self.volume.versions
            if v.time > time and (self.at is None or v.time <= self.at)
            if not below or v.path.startswith(below + b"/")
        }
        found = [entry for path in sorted(paths) if (entry := self.entry(path, True)) is not None]
        return found[:limit] if limit else found


class FakeVolume:
    """Versions in memory."""

    uuid, name, directory = LAPTOP, "laptop", "/home/anna/Trips"

    def __init__(self, *, readonly: bool = False) -> None:
        self.readonly = readonly
        self.versions: list[Version] = []
        self.contents: dict[bytes, bytes] = {}
        self.ops: list[Operation] = []
        self.done: list[tuple[Any, ...]] = []
        self.pins: set[bytes] = set()
        self.delay: threading.Event | None = None
        self.undone: list[list[Version]] = []
        self.before: dict[OperationKey, list[Version]] = {}  # of a resolve, for its undo
        self.clock = NOW
        self.elsewhere = ""
        state = SimpleNamespace(
            pins=lambda: list(self.pins),
            source_keys=lambda: ["s"],
            source=lambda key: SimpleNamespace(folder=lambda: ("/home/anna/Trips", b"")),
        )
        self.node = SimpleNamespace(state=state)

    # --- making ---------------------------------------------------------------------------

    def operation(
        self, verb: str, args: tuple[str, ...], ago: int, node: str = LAPTOP, **more: Any
    ) -> OperationKey:
        key = OperationKey(node, len(self.ops) + 1)
        self.ops.append(
            Operation(key, verb, args, NOW - ago, NOW - ago, 0, 0, more.get("interrupted", False))
        )
        return key

    def put(
        self, key: OperationKey, path: str, data: bytes | None = b"", *, size: int | None = None,
        missing: int = 0, kind: str = "file", rival: bool = False, from_path: bytes | None = None,
        target: bytes = b"",
    ) -> Version:  # fmt: skip
        name = path.encode("utf-8", "surrogateescape")
        op = next(op for op in self.ops if op.key == key)
        older = [v for v in self.versions if v.path == name]
        source = [v for v in self.versions if v.path == from_path] if from_path else []
        length = len(data or b"") if size is None else size
        blocks = 0 if kind != "file" else max(1, -(-length // BLOCK)) if length else 0
        body = data if data is not None else path.encode()
        time = op.time + len([v for v in self.versions if v.operation == key])
        identity = hashlib.sha256(name + str(time).encode() + body).digest()
        heads = [v.id for v in older if v.head]
        parents = (heads[0],) if heads else ()
        if rival and older:
            parents = older[-1].parents
        for index, version in enumerate(self.versions):
            if version.path == name and version.head and not rival:
                self.versions[index] = version._replace(head=False, shown=False)
            elif version.path == name and rival:
                self.versions[index] = version._replace(shown=False)
        version = Version(
            len(self.versions) + 1, identity, name, time, key.node, kind, length, 0o644, time,  # type: ignore[arg-type]
            target, parents, from_path, source[-1].id if source else None, blocks, min(missing, blocks),
            hashlib.sha256(kind.encode() + body + str(length).encode()).digest()[:16], key, True, True, False,
        )  # fmt: skip
        self.versions.append(version)
        self.contents[identity] = body
        at = self.ops.index(op)
        self.ops[at] = replace(
            op, last=max(op.last, time), versions=op.versions + 1, bytes=op.bytes + length
        )
        return version

    # --- looking --------------------------------------------------------------------------

    def view(self, at: int | None = None) -> FakeView:
        return FakeView(self, at)

    def node_name(self, uuid: str) -> str:
        return NAMES.get(uuid, uuid[:8])

    def history(self, path: bytes, *, limit: int = 0) -> list[Version]:
        found = [v for v in self.versions if v.path == path]
        old = next((v.from_path for v in found if v.from_path), None)
        if old is not None:
            found += [v for v in self.versions if v.path == old and v.kind != "deleted"]
        return sorted(found, key=lambda v: -v.time)

    def operations(
        self, *, limit: int = 200, before: int | None = None, below: bytes = b""
    ) -> list[Operation]:
        touched = {
            v.operation
            for v in self.versions
            if not below or v.path == below or v.path.startswith(below + b"/")
        }
        found = [
            op
            for op in self.ops
            if (op.key in touched or op.verb == "resolve") and (before is None or op.last < before)
        ]
        return sorted(found, key=lambda op: -op.last)[:limit]

    def operation_versions(
        self, key: OperationKey, limit: int = 0, below: bytes = b""
    ) -> list[Version]:
        found = sorted((v for v in self.versions if v.operation == key), key=lambda v: v.path)
        found = [v for v in found if not below or (v.path + b"/").startswith(below + b"/")]
        return found[:limit] if limit else found

    def blocks(self, version: Version) -> list[tuple[Block, bool]]:
        made = []
        for number in range(version.blocks):
            size = min(BLOCK, version.size - number * BLOCK)
            seed = (
                version.content
                if number == version.blocks - 1
                else version.path + bytes([number % 256])
            )
            made.append((Block(hashlib.sha256(seed).digest(), size), number >= version.missing))
        return made

    def read_held(self, version: Version, limit: int) -> bytes | None:
        return None if version.missing else self.contents[version.id][:limit]

    def read(
        self, version: Version, *, emit: Any = ignore, cancelled: Any = None
    ) -> Iterator[bytes]:
        if version.node == PHONE and version.missing:
            raise ContentMissing(path=version.path, count=version.missing, holder="phone", why="")
        self._held(version)
        yield self.contents[version.id]

    def _held(self, version: Version) -> None:
        self.versions = [v._replace(missing=0) if v.id == version.id else v for v in self.versions]

    def find(self, pattern: str, *, limit: int = 0) -> list[Entry]:
        shell = pattern if any(c in pattern for c in "*?[") else f"*{pattern}*"
        found = []
        for entry in self.view().walk(b"", True):
            name = entry.path if "/" in pattern else entry.name
            if fnmatch.fnmatch(name.decode("utf-8", "replace").lower(), shell.lower()):
                found.append(entry)
        return found[:limit] if limit else found

    def conflicts(self) -> list[Conflict]:
        found = []
        for path in sorted({v.path for v in self.versions}):
            heads = [v for v in self.versions if v.path == path and v.head]
            if len(heads) > 1:
                heads.sort(key=lambda v: (not v.shown, -v.time))
                found.append(Conflict(path, heads[0], tuple(heads)))
        return found

    def status(self) -> Status:
        root = self.view().entry(b"")
        assert root is not None
        return Status(
            self.directory, self.uuid, self.name, root.files, len(self.versions), len(self.conflicts()),
            root.size, root.missing, root.missing_bytes, readonly="asked for" if self.readonly else "",
            elsewhere=self.elsewhere, warnings=(self.elsewhere,) if self.elsewhere else (), peers=(),
        )  # fmt: skip

    def moved(self, **_: Any) -> None:
        self.done.append(("moved",))
        self.elsewhere = ""

    def why(self, path: bytes, **_: Any) -> list[Any]:
        return [
            SimpleNamespace(
                path=path, reason="never wanted here", detail="nas wrote it and should have it"
            )
        ]

    # --- verbs ----------------------------------------------------------------------------

    def _op(self, verb: str, *args: str) -> OperationKey:
        self.clock += SECOND
        key = OperationKey(LAPTOP, len(self.ops) + 1)
        self.ops.append(Operation(key, verb, args, self.clock, self.clock, 0, 0, False))
        return key

    def add(self, sources: Any, *, to: bytes = b"", **_: Any) -> AddResult:
        key = self._op("add", *sources)
        for source in sources:
            name = source.rstrip("/").rpartition("/")[2]
            self.put(key, f"{to.decode()}/{name}/new.txt".lstrip("/"), b"hello\n")
        self.done.append(("add", tuple(sources), to))
        return AddResult(files=1, added=1, operation=key)

    def plan_restore(
        self,
        paths: Any,
        *,
        version: Version | None = None,
        at: int | None = None,
        to: str | None = None,
        **_: Any,
    ) -> RestorePlan:
        items = []
        for path in paths:
            versions = [
                v for v in self.versions if v.path == path or v.path.startswith(path + b"/")
            ]
            for one in sorted({v.path for v in versions}):
                known = sorted((v for v in versions if v.path == one), key=lambda v: -v.time)
                then = version or next(
                    (v for v in known if v.kind != "deleted" and (at is None or v.time <= at)), None
                )
                now = next((v for v in known if v.shown), known[0])
                same = then is not None and then.content == now.content and to is None
                action = (
                    "skip"
                    if then is None
                    else "same"
                    if same
                    else "create"
                    if now.kind == "deleted"
                    else "replace"
                )
                reason = "did not exist then" if then is None else ""
                items.append(PlanItem(one, action, then, to, reason))  # type: ignore[arg-type]
        real = [item for item in items if item.action in ("create", "replace")]
        fetch = sum(item.version.missing for item in real if item.version)
        return RestorePlan(
            tuple(items), len(real), sum(i.version.size for i in real if i.version), fetch, fetch * BLOCK,
            (("nas", fetch * BLOCK),) if fetch else (), 0, to,
        )  # fmt: skip

    def restore(
        self, paths: Any, *, plan: RestorePlan | None = None, to: str | None = None, **how: Any
    ) -> RestoreResult:
        assert plan is not None
        self.done.append(("restore", tuple(paths), to))
        if to is not None:
            return RestoreResult(files=plan.files, bytes=plan.bytes)
        key = self._op("restore", *(p.decode() for p in paths))
        for item in plan.items:
            if item.action in ("create", "replace") and item.version is not None:
                self.put(
                    key, item.path.decode(), self.contents[item.version.id], size=item.version.size
                )
        return RestoreResult(files=plan.files, bytes=plan.bytes, versions=plan.files, operation=key)

    def came_from(self, path: bytes) -> str | None:
        return f"/home/anna/Trips/{path.decode()}" if path.startswith(b"2026") else None

    def plan_back(self, paths: Any, **how: Any) -> RestorePlan:
        place = self.came_from(paths[0])
        assert place is not None
        plan = self.plan_restore(paths, to=place.rpartition("/")[0], **how)
        return replace(plan, outside_overwrites=plan.files)

    def restore_back(self, paths: Any, *, plan: RestorePlan, **_: Any) -> RestoreResult:
        self.done.append(("restore_back", tuple(paths), plan.to))
        return RestoreResult(files=plan.files, bytes=plan.bytes, versions=1)

    def undo(self, operation: OperationKey | None = None, **_: Any) -> EditResult:
        mine = [op for op in self.ops if op.key.node == LAPTOP and op.verb not in ("undo",)]
        target = next((op for op in self.ops if op.key == operation), mine[-1] if mine else None)
        if target is None:
            raise NothingToUndo(verb="undo")
        if target.key in self.before:
            self.versions = self.before.pop(target.key)
            self.ops.remove(target)
            self.done.append(("undo", operation))
            return EditResult(1, target.key, (target.args[0].encode(),))
        gone = [v for v in self.versions if v.operation == target.key]
        self.undone.append(gone)
        for version in gone:
            self.versions.remove(version)
            older = [v for v in self.versions if v.path == version.path]
            if older:
                at = self.versions.index(older[-1])
                self.versions[at] = older[-1]._replace(head=True, shown=True)
        self.ops = [op for op in self.ops if op.key != target.key]
        self.done.append(("undo", operation))
        return EditResult(len(gone), target.key, tuple(v.path for v in gone))

    def redo(self, **_: Any) -> EditResult:
        if not self.undone:
            raise NothingToUndo(verb="redo")
        back = self.undone.pop()
        self.versions += back
        self.done.append(("redo",))
        return EditResult(len(back), None, tuple(v.path for v in back))

    def rm(self, paths: Any, **_: Any) -> EditResult:
        key = self._op("rm", *(p.decode() for p in paths))
        for path in paths:
            self.put(key, path.decode(), b"", kind="deleted")
        self.done.append(("rm", tuple(paths)))
        return EditResult(len(paths), key, tuple(paths))

    def mv(self, old: bytes, new: bytes, **_: Any) -> EditResult:
        key = self._op("mv", old.decode(), new.decode())
        data = self.contents[[v for v in self.versions if v.path == old][-1].id]
        self.put(key, old.decode(), b"", kind="deleted")
        self.put(key, new.decode(), data, from_path=old)
        self.done.append(("mv", old, new))
        return EditResult(2, key, (old, new))

    def resolve(
        self, paths: Any, *, version: Any = None, keep_both: bool = False, **_: Any
    ) -> EditResult:
        self.done.append(("resolve", tuple(paths), version, keep_both))
        key = self._op("resolve", *(p.decode() for p in paths))
        self.before[key] = list(self.versions)
        for path in paths:
            kept = version.get(path) if isinstance(version, dict) else version
            for index, one in enumerate(self.versions):
                if one.path == path and one.head:
                    keep = one.id == kept if kept else one.shown
                    self.versions[index] = one._replace(head=keep, shown=keep)
        return EditResult(len(paths), key, tuple(paths))

    def common_version(self, sides: Any) -> Version | None:
        parents = {parent for side in sides for parent in side.parents}
        return next((v for v in self.versions if v.id in parents), None)

    def mirror(self, path: bytes = b"", **_: Any) -> Any:
        count = 0
        for version in list(self.versions):
            if (version.path == path or version.path.startswith(path + b"/")) and version.missing:
                self._held(version)
                count += version.missing
        self.done.append(("mirror", path))
        return SimpleNamespace(blocks=count, bytes=count * BLOCK, problems=())

    def pin(self, path: bytes, **_: Any) -> PinResult:
        self.pins.add(path)
        return PinResult(path, True, tuple(self.pins))

    def unpin(self, path: bytes, **_: Any) -> PinResult:
        self.pins.discard(path)
        return PinResult(path, False, tuple(self.pins))

    def prune(self, policy: Policy, dry_run: bool = False, **_: Any) -> PruneResult:
        self.done.append(("prune", policy, dry_run))
        return PruneResult(7, 18, 3, 3 * BLOCK, waiting=() if dry_run else ("nas has not agreed",))

    def verify(self, **_: Any) -> VerifyResult:
        return VerifyResult(checked=812)

    def peer_add(self, name: str, path: str, send: bool = False, **_: Any) -> PeerStatus:
        self.done.append(("peer_add", name, path, send))
        return PeerStatus(name, NAS, path)

    def peer_set(
        self, name: str, *, path: str | None = None, send: bool | None = None
    ) -> PeerStatus:
        self.done.append(("peer_set", name, path, send))
        return PeerStatus(name, NAS, path or "")

    def peer_retire(self, node: str, **_: Any) -> str:
        self.done.append(("peer_retire", node))
        return node

    def peer_remove(self, name: str) -> None:
        self.done.append(("peer_remove", name))

    def close(self) -> None:
        self.done.append(("close",))


class FakeEngine:
    """Says what the test put there."""

    def __init__(self, volume: FakeVolume) -> None:
        self.volume = volume
        self.asked: list[tuple[Any, ...]] = []
        self.serial = 1
        self.tree_serial = 1
        self.peers: tuple[PeerStatus, ...] = ()
        self.moves: tuple[Move, ...] = ()
        self.overall = Overall()
        self.error = ""
        self.later = 0  # nanoseconds that have passed since `NOW`

    def snapshot(self) -> Snapshot:
        status = replace(self.volume.status(), peers=self.peers)
        return Snapshot(
            NOW + self.later, self.serial, status, self.overall, self.moves, notification="the kernel",
            tree_serial=self.tree_serial, error=self.error,
        )  # fmt: skip

    def changed(self) -> None:
        """Something is new: draw it."""
        self.serial += 1

    def submit(self, kind: str, fn: Callable[[Any, Callable[[], bool]], Any]) -> None:
        def run() -> None:
            try:
                fn(ignore, lambda: False)
            except Exception as error:
                self.asked.append(("failed", str(error)))
            self.tree_serial += 1
            self.serial += 1

        threading.Thread(target=run, daemon=True).start()

    def why(self, path: bytes) -> list[str]:
        return []

    def close(self, timeout: float = 1.0) -> bool:
        return True

    def __getattr__(self, name: str) -> Callable[..., None]:
        if name not in ("poke", "pause", "resume", "bump", "retry", "start"):
            raise AttributeError(name)
        return lambda *args: self.asked.append((name, *args))


def png(width: int = 48, height: int = 32) -> bytes:
    """A small picture: mountains under a sky."""
    import struct
    import zlib

    rows = bytearray()
    for y in range(height):
        rows.append(0)
        for x in range(width):
            ridge = height * 0.45 + abs((x * 3) % 31 - 15) * 0.5 - abs(x - width / 2) * 0.12
            if y < ridge - 1:
                colour = (110 + 2 * y, 160 + y, 225 - y)
            elif y < ridge + 3:
                colour = (238, 242, 248)
            else:
                colour = (70 + (x * 7 + y * 3) % 18, 96 + (y * 5) % 24, 84)
            rows += bytes(min(255, c) for c in colour)

    def chunk(kind: bytes, body: bytes) -> bytes:
        return (
            struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        )

    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", head)
        + chunk(b"IDAT", zlib.compress(bytes(rows)))
        + chunk(b"IEND", b"")
    )


def full_volume(**how: Any) -> FakeVolume:
    """Trips: histories, a conflict, deleted and remote things, strange names."""
    volume = FakeVolume(**how)
    first = volume.operation("add", ("/home/anna/Trips/2025",), 64 * DAY)
    for number in range(1, 5):
        volume.put(first, f"2025/coast/IMG_{number:04}.jpg", None, size=3_400_000 + number * 71_000)
    volume.put(first, "2025/coast/log.txt", b"Left at dawn.\n")
    begun = volume.operation("add", ("/home/anna/Trips/2026",), 9 * DAY)
    volume.put(begun, "2026/alps/notes.md", NOTES[0].encode())
    volume.put(begun, "2026/alps/route.py", ROUTE.replace("4.2", "4.0").encode())
    volume.put(begun, "2026/alps/packing.txt", b"rope\nmap\n")
    volume.put(begun, "2026/alps/view.png", png())
    volume.put(begun, "2026/old plan.txt", b"the old plan\n")
    phone = volume.operation("add", ("/sdcard/DCIM",), 5 * DAY, PHONE)
    for number in range(1, 4):
        volume.put(
            phone,
            f"2026/alps/IMG_{number:04}.raw",
            None,
            size=31_000_000 + number * 111_000,
            missing=99,
        )
    second = volume.operation("add", ("/home/anna/Trips/2026",), 2 * DAY)
    volume.put(second, "2026/alps/notes.md", NOTES[1].encode())
    volume.put(second, "2026/alps/route.py", ROUTE.encode())
    nas = volume.operation("add", ("/srv/media",), 26 * HOUR, NAS)
    volume.put(nas, "2026/alps/film.mkv", None, size=912_000_000, missing=460)
    volume.put(nas, "2026/alps/notes.md", NOTES[2].encode())
    volume.put(nas, "budget.csv", b"hut,120\ntrain,88\n")
    gone = volume.operation("rm", ("2026/old plan.txt",), 5 * HOUR)
    volume.put(gone, "2026/old plan.txt", b"", kind="deleted")
    edit = volume.operation("add", ("/home/anna/Trips/2026",), 2 * MINUTE)
    volume.put(edit, "2026/alps/notes.md", NOTES[3].encode())
    volume.put(edit, "budget.csv", b"hut,120\ntrain,88\nfood,60\n")
    other = volume.operation("add", ("/sdcard/notes",), MINUTE, PHONE)
    volume.put(other, "2026/alps/packing.txt", b"rope\nmap\nstove\n")
    mine = volume.operation("add", ("/home/anna/Trips/2026",), 30 * SECOND)
    volume.put(mine, "2026/alps/packing.txt", b"rope\nmap, 1:25000\n", rival=True)
    odd = volume.operation("add", ("/home/anna/Trips/odd",), 20 * SECOND)
    volume.put(odd, "odd/[b]not markup[/b].txt", b"x\n")
    volume.put(odd, "odd/colour \x1b[31m.txt", b"x\n")
    volume.put(odd, "odd/山の地図と長い名前のファイル.txt", b"x\n")
    volume.put(odd, "odd/link", b"", kind="symlink", target=b"../2026/alps")
    return volume


HISTORY = tuple(float((i * 7919) % 13) * 1e6 for i in range(60))
PEERS = (
    PeerStatus("nas", NAS, "/mnt/nas/srv/trips", "online", "", "pulling", 0, 12, False, NOW, 12_400_000, 300_000,
               921_000_000, 12_000_000, 0.004, None, HISTORY, tuple(h / 40 for h in HISTORY)),
    PeerStatus("phone", PHONE, "/mnt/phone/trips", "offline", "nothing is mounted at /mnt/phone", "idle", 118, 0,
               True, NOW - 2 * HOUR, retry_at=NOW + 24 * SECOND),
    PeerStatus("attic", "5d1f0c2a-2222-4bbb-a29e-5f0c06ff8c42", "/net/attic/trips", "stuck",
               "its file system has not answered for 41 s", "idle", 3, 0, False, NOW - 9 * MINUTE),
)  # fmt: skip
MOVES = (
    Move("1", b"2026/alps/film.mkv", "pull", "moving", "nas", 214_000_000, 482_000_000, 430_000_000, 9_800_000,
         sources=(("nas", 214_000_000),)),
    Move("2", b"2026/alps/IMG_0001.raw", "pull", "moving", "nas, attic", 14_000_000, 31_100_000, 0, 2_600_000,
         sources=(("nas", 9_000_000), ("attic", 5_000_000))),
    Move("3", b"2026/alps/IMG_0002.raw", "pull", "queued", "nas", 0, 31_200_000),
    Move("4", b"2026/alps/IMG_0003.raw", "pull", "queued", "nas", 0, 31_300_000),
    Move("5", b"2025/coast/IMG_0009.jpg", "pull", "failed", "phone", 0, 3_900_000, 0, 0, 0,
         "block 9f3a1c: only phone holds it, and it is offline"),
    Move("6", b"2025/coast", "pull", "paused", "", 2_000_000, 9_000_000, 0, 0, 0, "paused by you"),
    Move("7", b"budget.csv", "pull", "done", "nas", 27, 27),
    Move("8", b"2026/alps/notes.md", "push", "done", "nas", 160, 160, by="mount, process 4711"),
)  # fmt: skip
OVERALL = Overall(
    228_000_000, 590_000_000, 430_000_000, 12_400_000, (28.0, 44.0), True, 2, 2, 1, 2,
    (("nas", 190_000_000), ("attic", 30_000_000)),
)  # fmt: skip


def busy_engine(volume: FakeVolume) -> FakeEngine:
    """An engine in the middle of things."""
    engine = FakeEngine(volume)
    engine.peers, engine.moves, engine.overall = PEERS, MOVES, OVERALL
    return engine


PROBLEM = Problem(b"2026/alps/film.mkv", "its file system does not answer")
