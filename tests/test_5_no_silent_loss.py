"""Nothing is overwritten silently: two nodes, a folder and an open mount on each, old copies edited
and recorded in every order. A model that knows nothing of the program says who had what in hand:
a version replaces exactly what its writer had, everything else stays a head, and a path is in
conflict when its heads differ. Every content that was ever reported can be read in the end."""

from __future__ import annotations

import os
import shutil
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

from hypothesis import example, given, settings
from hypothesis import strategies as st

from globofs.store.scratch import Span
from globofs.sync.write import Change, write
from globofs.volume import Volume
from tests.test_5_world import MEMORY

NAMES = ("x", "y")
NODES = (0, 1)
WRITERS = ("edit", "unlink", "add", "watch", "open", "save", "remove", "fetch", "undo", "sync")
Step = tuple[str, int, int]  # what, on which node, of which name


@dataclass
class Made:
    """A version as the model knows it."""

    path: bytes
    content: bytes | None  # None: deleted
    had: frozenset[bytes]  # what its writer had in hand


@dataclass
class Side:
    """One node: its volume, its folder, what each of its writers has in hand."""

    volume: Volume
    folder: Path
    hand: dict[str, bytes | None] = field(default_factory=dict)  # of the folder; by name
    opened: dict[str, tuple[bytes, ...]] = field(default_factory=dict)  # in the mount

    def heads(self, name: str) -> frozenset[bytes]:
        return frozenset(one.id for one in self.volume.view().heads(path_of(name)))

    def on_disk(self, name: str) -> bytes | None:
        try:
            return (self.folder / name).read_bytes()
        except FileNotFoundError:
            return None


def path_of(name: str) -> bytes:
    return b"docs/" + name.encode()


class Schedule:
    """The real nodes and the model beside them."""

    def __init__(self, top: Path) -> None:
        self.sides: list[Side] = []
        for number in NODES:
            folder = top / f"copy{number}/docs"
            folder.mkdir(parents=True)
            self.sides.append(
                Side(Volume.init(str(top / f"vol{number}"), name=f"n{number}"), folder)
            )
        one, other = self.sides
        one.volume.peer_add("other", other.volume.directory)
        other.volume.peer_add("one", one.volume.directory)
        self.made: dict[bytes, Made] = {}
        self.count = 0

    def close(self) -> None:
        for side in self.sides:
            side.volume.close()

    def fresh(self) -> bytes:
        """A content that never was, of a length of its own."""
        self.count += 1
        return b"%d " % self.count + b"." * self.count

    def run(self, steps: list[Step]) -> None:
        for what, number, which in steps:
            getattr(self, what)(self.sides[number], NAMES[which])

    def _record(self, side: Side, key: object, had: dict[bytes, frozenset[bytes]]) -> None:
        """Take what an operation reported into the model, with what its writer had in hand."""
        if key is None:
            return
        for version in side.volume.view().versions_of_operation(key):  # type: ignore[arg-type]
            if version.path not in had:
                continue
            content = None
            if version.kind != "deleted":
                content = b"".join(side.volume.read(version))
            self.made[version.id] = Made(version.path, content, had[version.path])

    def _had(self, side: Side, name: str, base: bytes) -> frozenset[bytes]:
        """A version in hand, or the heads that say the same: an edit and its undo, for instance."""
        same = [head for head in side.heads(name) if self._alike(head, base)]
        return frozenset([base, *same])

    def _alike(self, one: bytes, other: bytes) -> bool:
        return self.made[one].content == self.made[other].content

    # --- the folder ---------------------------------------------------------------------------

    def edit(self, side: Side, name: str) -> None:
        (side.folder / name).write_bytes(self.fresh())

    def unlink(self, side: Side, name: str) -> None:
        (side.folder / name).unlink(missing_ok=True)

    def add(self, side: Side, _name: str, delete: bool = False) -> None:
        """A folder replaces what it last had; the first time, what the volume shows."""
        had = {}
        for name in NAMES:
            base = side.hand.get(name)
            had[path_of(name)] = side.heads(name) if base is None else self._had(side, name, base)
        done = side.volume.add([str(side.folder)], delete=delete)
        assert not done.problems
        self._record(side, done.operation, had)
        for name in NAMES:
            self._after_add(side, name, done.operation, delete)

    def _after_add(self, side: Side, name: str, key: object, delete: bool) -> None:
        path, disk = path_of(name), side.on_disk(name)
        ours = [] if key is None else side.volume.view().versions_of_operation(key)  # type: ignore[arg-type]
        new = [one.id for one in ours if one.path == path]
        if new:
            assert self.made[new[0]].content == disk
            side.hand[name] = new[0]
            return
        base = side.hand.get(name)
        if disk is None:
            gone = base is None or self.made[base].content is None
            assert gone or not delete, "a deletion was not recorded"
        elif base is not None:
            assert self.made[base].content == disk, "an edit was not recorded"
        else:
            (head,) = side.heads(name)
            assert self.made[head].content == disk, "a file was not recorded"
            side.hand[name] = head

    def watch(self, side: Side, name: str) -> None:
        self.add(side, name, delete=True)

    def fetch(self, side: Side, name: str) -> None:
        """Written to the folder by restore: the folder has that version in hand now."""
        version = side.volume.view().version(path_of(name))
        if version is None or version.kind == "deleted":
            return
        done = side.volume.restore([path_of(name)], to=f"{side.folder}/", force=True)
        if not done.problems:
            side.hand[name] = version.id
            assert side.on_disk(name) == self.made[version.id].content

    # --- the mount, the volume, the other node --------------------------------------------------

    def open(self, side: Side, name: str) -> None:
        version = side.volume.view().version(path_of(name))
        live = version is not None and version.kind != "deleted"
        side.opened[name] = (version.id,) if live and version is not None else ()

    def save(self, side: Side, name: str) -> None:
        """What was opened is written back, however long ago that was."""
        parents = side.opened.pop(name, None)
        if parents is None:
            return
        data, path = self.fresh(), path_of(name)
        had = self._had(side, name, *parents) if parents else side.heads(name)
        change = Change(
            path,
            "file",
            0o644,
            pieces=[Span(0, len(data))],
            read=lambda size, offset: data[offset : offset + size],
            parents=parents or None,
        )
        (done,) = write(side.volume.node, [change], verb="mount")
        self.made[done.version_id] = Made(path, data, had)

    def remove(self, side: Side, name: str) -> None:
        heads = side.heads(name)
        if side.volume.view().entry(path_of(name)) is not None:
            done = side.volume.rm([path_of(name)])
            self._record(side, done.operation, {path_of(name): heads})

    def undo(self, side: Side, _name: str) -> None:
        heads = {path_of(name): side.heads(name) for name in NAMES}
        if any(one.versions for one in side.volume.operations(limit=1)):
            done = side.volume.undo(side.volume.operations(limit=1)[0].key)
            self._record(side, done.operation, heads)

    def sync(self, side: Side, _name: str) -> None:
        side.volume.sync()

    # --- the judgement --------------------------------------------------------------------------

    def judge(self) -> None:
        for _ in range(2):
            for side in self.sides:
                side.volume.sync()
        for side in self.sides:
            for name in NAMES:
                self._judge(side, name)

    def _judge(self, side: Side, name: str) -> None:
        path = path_of(name)
        mine = {version: one for version, one in self.made.items() if one.path == path}
        replaced = {version for one in mine.values() for version in one.had}
        heads = set(mine) - replaced
        assert side.heads(name) == heads, "something was overwritten that nobody had in hand"
        differ = len({mine[version].content for version in heads}) > 1
        assert (path in {one.path for one in side.volume.conflicts()}) == differ
        known = {one.id: one for one in side.volume.view().history(path, follow=False)}
        for version, one in mine.items():
            if one.content is not None:
                assert b"".join(side.volume.read(known[version])) == one.content


def live(steps: list[Step]) -> None:
    """One schedule from beginning to judgement."""
    top = tempfile.mkdtemp(prefix="globofs-schedule-", dir=MEMORY)
    schedule = Schedule(Path(top))
    try:
        schedule.run(steps)
        schedule.judge()
    finally:
        schedule.close()
        shutil.rmtree(top, ignore_errors=True)


BOTH_HAVE_IT: list[Step] = [
    ("edit", 0, 0), ("add", 0, 0), ("sync", 0, 0), ("fetch", 1, 0), ("add", 1, 0)
]  # fmt: skip


@given(
    st.lists(
        st.tuples(st.sampled_from(WRITERS), st.sampled_from(NODES), st.sampled_from((0, 1))),
        min_size=3,
        max_size=int(os.environ.get("GLOBOFS_STEPS", "14")),
    )
)
@example([("edit", 0, 0), ("edit", 1, 0), ("edit", 0, 0), ("edit", 1, 0), ("watch", 1, 0)])
@example([("edit", 0, 0), ("open", 1, 0), ("save", 1, 0), ("remove", 0, 0), ("undo", 0, 0)])
@settings(max_examples=int(os.environ.get("GLOBOFS_EXAMPLES", "30")), deadline=None)
def test_whatever_the_order_nothing_reported_is_lost(steps: list[Step]) -> None:
    live([*BOTH_HAVE_IT, *steps, ("add", 0, 0), ("watch", 1, 0)])
