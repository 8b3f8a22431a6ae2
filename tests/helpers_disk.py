"""A disk that loses power: records what `fsio` does, and rebuilds what a crash would have left.

    with Recording(volume) as recording:
        ...whatever writes...
    for crash in recording.crashes(seeds=3):
        directory = crash.materialise(tmp_path / crash.name)
        with another_boot():
            ...open it, look...

The model is stricter than any file system we know: a name is durable only once its directory was
synced, content only once the file was, and in between anything may have happened or not, in any
order; only a rename happens as a whole or not at all. `syncfs` makes everything durable. What SQLite writes is not seen here, so the index is
missing afterwards (it is a cache); `run_killed` is for those who want to keep it.
"""

from __future__ import annotations

import itertools
import os
import random
import signal
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Literal, NamedTuple

from globofs.store import clock, fsio

Mode = Literal["kill", "power", "reorder"]
IGNORED = ("index.sqlite", "index.sqlite-wal", "index.sqlite-shm")


@dataclass(frozen=True)
class Op:
    """One mutating operation as the observer heard it."""

    name: str
    args: tuple[object, ...]

    def __str__(self) -> str:
        shown = (arg if not isinstance(arg, bytes) else f"<{len(arg)} bytes>" for arg in self.args)
        return f"{self.name}({', '.join(map(str, shown))})"


@dataclass
class File:
    """A file: what processes see, and what is on the disk (None: nothing yet)."""

    now: bytearray = field(default_factory=bytearray)
    durable: bytes | None = None


@dataclass
class Link:
    """A symlink; whole or not there at all."""

    target: str


@dataclass
class Directory:
    """A directory: the names processes see, and those on the disk."""

    now: dict[str, Node] = field(default_factory=dict)
    durable: dict[str, Node] = field(default_factory=dict)
    key: int = field(default_factory=itertools.count(1).__next__)


Node = File | Link | Directory


class Name(NamedTuple):
    """A name in a directory; directories are told apart by their `key`."""

    directory: int
    name: str


class Model:
    """The tree below one directory, as it is and as a power loss would leave it."""

    def __init__(self, root: str) -> None:
        """Begin with what lies below `root`, all of it durable."""
        self.root = os.path.abspath(root)
        self._below = f"{self.root}/"
        self.top = self._load(self.root) if os.path.isdir(self.root) else Directory()
        self.renames: list[set[Name]] = []
        """Names that unsynced renames tie together: on disk all are as before, or all as now."""

    def _load(self, path: str) -> Directory:
        found = Directory()
        for entry in os.scandir(path):
            if entry.name in IGNORED:
                continue
            if entry.is_symlink():
                node: Node = Link(os.readlink(entry.path))
            elif entry.is_dir():
                node = self._load(entry.path)
            elif entry.is_file():
                data = Path(entry.path).read_bytes()
                node = File(bytearray(data), data)
            else:
                continue
            found.now[entry.name] = found.durable[entry.name] = node
        return found

    # --- applying ---------------------------------------------------------------------------

    def apply(self, op: Op) -> None:
        """Do what `op` says; what lies outside of the root is ignored, what fails changes nothing."""
        handler = getattr(self, f"_do_{op.name}")
        try:
            handler(*op.args)
        except (KeyError, AssertionError):
            return  # the real call failed as well: ENOENT, EEXIST, ENOTEMPTY

    def _parts(self, path: object) -> list[str]:
        absolute = os.path.normpath(str(path))
        if absolute == self.root:
            return []
        if not absolute.startswith(self._below):
            raise KeyError(path)
        return absolute[len(self._below) :].split("/")

    def _walk(self, parts: list[str]) -> Node:
        node: Node = self.top
        for part in parts:
            assert isinstance(node, Directory)
            node = node.now[part]
        return node

    def _at(self, path: object) -> Node:
        return self._walk(self._parts(path))

    def _parent(self, path: object) -> tuple[Directory, str]:
        *above, name = self._parts(path) or [""]
        if not name:
            raise KeyError(path)  # the root itself
        node = self._walk(above)
        assert isinstance(node, Directory)
        return node, name

    def _file(self, path: object) -> File:
        node = self._at(path)
        assert isinstance(node, File)
        return node

    def _do_create(self, path: str, mode: int) -> None:
        parent, name = self._parent(path)
        parent.now.setdefault(name, File())

    def _do_write(self, path: str, offset: int, data: bytes) -> None:
        now = self._file(path).now
        now.extend(bytes(max(0, offset - len(now))))
        now[offset : offset + len(data)] = data

    def _do_truncate(self, path: str, size: int) -> None:
        now = self._file(path).now
        del now[size:]
        now.extend(bytes(size - len(now)))

    def _do_chmod(self, path: str, mode: int) -> None:
        self._at(path)

    def _do_utime(self, path: str, atime: int, mtime: int) -> None:
        self._at(path)

    def _do_fsync(self, path: str) -> None:
        file = self._file(path)
        file.durable = bytes(file.now)

    def _do_fsync_dir(self, path: str) -> None:
        node = self._at(path)
        assert isinstance(node, Directory)
        self._settle(node, set())

    def _settle(self, directory: Directory, done: set[int]) -> None:
        """Make a directory's names durable, and with them the other ends of their renames."""
        if directory.key in done:
            return
        done.add(directory.key)
        directory.durable = dict(directory.now)
        tied = {
            n.directory for group in self.renames for n in group if self._ties(group, directory)
        }
        self.renames = [group for group in self.renames if not self._ties(group, directory)]
        for other in self._directories(self.top):
            if other.key in tied:
                self._settle(other, done)

    @staticmethod
    def _ties(group: set[Name], directory: Directory) -> bool:
        return any(name.directory == directory.key for name in group)

    def _directories(self, node: Directory) -> Iterator[Directory]:
        yield node
        for child in list(node.now.values()):
            if isinstance(child, Directory):
                yield from self._directories(child)

    def _do_syncfs(self, path: str) -> None:
        self._sync(self.top)
        self.renames.clear()

    def _sync(self, node: Node) -> None:
        if isinstance(node, File):
            node.durable = bytes(node.now)
        elif isinstance(node, Directory):
            node.durable = dict(node.now)
            for child in node.now.values():
                self._sync(child)

    def _do_rename(self, old: str, new: str) -> None:
        source, was = self._parent(old)
        target, name = self._parent(new)
        node = source.now[was]
        there = target.now.get(name)
        assert not (isinstance(there, Directory) and there.now)
        del source.now[was]
        target.now[name] = node
        group = {Name(source.key, was), Name(target.key, name)}
        apart = [other for other in self.renames if not other & group]
        for other in self.renames:
            if other & group:
                group |= other
        self.renames = [*apart, group]

    def _do_unlink(self, path: str) -> None:
        parent, name = self._parent(path)
        assert not isinstance(parent.now[name], Directory)
        del parent.now[name]

    def _do_mkdir(self, path: str) -> None:
        parent, name = self._parent(path)
        parent.now.setdefault(name, Directory())

    def _do_rmdir(self, path: str) -> None:
        parent, name = self._parent(path)
        node = parent.now[name]
        assert isinstance(node, Directory)
        assert not node.now
        del parent.now[name]

    def _do_symlink(self, target: str, path: str) -> None:
        parent, name = self._parent(path)
        parent.now.setdefault(name, Link(target))

    def _do_link(self, old: str, new: str) -> None:
        parent, name = self._parent(new)
        parent.now.setdefault(name, self._at(old))

    # --- what is left -----------------------------------------------------------------------

    def write_out(self, target: str, mode: Mode, chance: random.Random, zeros: bool = True) -> None:
        """Make real files below `target`: what is there after a kill or a power loss.

        With `zeros`, a file may have its new size without its content.
        """
        self._zeros = zeros
        self._chosen: dict[Name, bool] = {}
        if mode == "reorder":
            for group in self.renames:
                self._chosen.update(dict.fromkeys(group, chance.random() < 0.5))
        self._write_directory(self.top, target, mode, chance)

    def _write_directory(
        self, node: Directory, target: str, mode: Mode, chance: random.Random
    ) -> None:
        os.makedirs(target, exist_ok=True)
        for name, child in self._names(node, mode, chance).items():
            path = os.path.join(target, name)
            if isinstance(child, Directory):
                self._write_directory(child, path, mode, chance)
            elif isinstance(child, Link):
                os.symlink(child.target, path)
            else:
                Path(path).write_bytes(_content(child, mode, chance, self._zeros))

    def _names(self, node: Directory, mode: Mode, chance: random.Random) -> dict[str, Node]:
        if mode == "kill":
            return node.now
        if mode == "power":
            return node.durable
        found: dict[str, Node] = {}
        for name in {**node.durable, **node.now}:
            happened = self._chosen.get(Name(node.key, name), chance.random() < 0.5)
            child = (node.now if happened else node.durable).get(name)
            if child is not None:
                found[name] = child
        return found


def _content(file: File, mode: Mode, chance: random.Random, zeros: bool) -> bytes:
    """What a file holds afterwards: its size and its data reach the disk separately."""
    if mode == "kill":
        return bytes(file.now)
    durable = file.durable or b""
    if mode == "power" or file.now == durable:
        return durable
    now = bytes(file.now)
    same = (at for at, (a, b) in enumerate(zip(durable, now, strict=False)) if a != b)
    common = next(same, min(len(durable), len(now)))
    cut = chance.randint(common, len(now))
    found = [durable, now, now[:cut]]
    if zeros:
        found += [now[:cut] + bytes(len(now) - cut), now[:common] + bytes(cut)]
    return chance.choice(found)


@dataclass(frozen=True)
class Crash:
    """The moment before the operation `at`, and how it ended."""

    recording: Recording
    at: int
    mode: Mode
    seed: int = 0

    @property
    def name(self) -> str:
        """A word for directories and test ids."""
        return f"{self.at}-{self.mode}-{self.seed}"

    @property
    def before(self) -> str:
        """The operation that was not done any more."""
        ops = self.recording.ops
        return str(ops[self.at]) if self.at < len(ops) else "the end"

    def materialise(self, target: str | os.PathLike[str]) -> str:
        """Make the directory as it is found afterwards; `target` must not exist."""
        model = self.recording.model_at(self.at)
        model.write_out(os.fspath(target), self.mode, random.Random(f"{self.at} {self.seed}"))
        return os.fspath(target)


class Recording:
    """Everything `fsio` does while this context is open, over what lay in `root` before."""

    def __init__(self, root: str | os.PathLike[str]) -> None:
        """Watch the directory `root`; nothing outside of it is recorded."""
        self.root = os.path.abspath(root)
        self.ops: list[Op] = []
        self._copy: Callable[[], Model] = lambda: Model(self.root)

    def __enter__(self) -> Recording:
        import copy

        model = Model(self.root)
        self._copy = lambda: copy.deepcopy(model)
        self._before = fsio.observer
        fsio.observer = self._hear
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        tb: TracebackType | None,
    ) -> None:
        fsio.observer = self._before

    def _hear(self, name: str, args: tuple[object, ...]) -> None:
        self.ops.append(Op(name, args))

    def mark(self) -> int:
        """The number of operations so far: what comes next in the test happened after them."""
        return len(self.ops)

    def model_at(self, at: int) -> Model:
        """The model after the first `at` operations."""
        model = self._copy()
        for op in self.ops[:at]:
            model.apply(op)
        return model

    def crashes(
        self,
        *,
        seeds: int = 2,
        modes: tuple[Mode, ...] = ("kill", "power", "reorder"),
        step: int = 1,
    ) -> Iterator[Crash]:
        """A crash before every `step`th operation and after the last, in every mode."""
        points = sorted({*range(0, len(self.ops), step), len(self.ops)})
        for at in points:
            for mode in modes:
                for seed in range(seeds if mode == "reorder" else 1):
                    yield Crash(self, at, mode, seed)


@contextmanager
def another_boot(number: int = 1) -> Iterator[None]:
    """Inside, the machine has been started anew: what a power loss comes with."""
    real = clock.boot_id
    users = [
        module
        for name, module in sys.modules.items()
        if name.startswith("globofs.") and getattr(module, "boot_id", None) is real
    ]
    for module in users:
        module.boot_id = lambda: f"b007{number:04x}"  # type: ignore[attr-defined]
    try:
        yield
    finally:
        for module in users:
            module.boot_id = real  # type: ignore[attr-defined]


class Fault:
    """An observer that fails chosen operations: `Fault(OSError(ENOSPC, "full"), "write")`."""

    def __init__(self, error: BaseException, *names: str, skip: int = 0, times: int = 1) -> None:
        """Raise `error` for operations called `names` (all without), after `skip` of them."""
        self.error = error
        self.names = names
        self.skip = skip
        self.times = times
        self.raised = 0

    def __call__(self, name: str, args: tuple[object, ...]) -> None:
        """Called by `fsio`."""
        if self.names and name not in self.names:
            return
        if self.skip > 0:
            self.skip -= 1
            return
        if self.raised < self.times:
            self.raised += 1
            raise self.error

    def __enter__(self) -> Fault:
        fsio.observer = self
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        tb: TracebackType | None,
    ) -> None:
        fsio.observer = None


def run_killed(work: Callable[[], object], at: int) -> bool:
    """Run `work` in a child that gets SIGKILL before its operation `at`; whether it got that far."""
    pid = os.fork()
    if pid == 0:
        count = 0

        def hear(name: str, args: tuple[object, ...]) -> None:
            nonlocal count
            if count == at:
                os.kill(os.getpid(), signal.SIGKILL)
            count += 1

        fsio.observer = hear
        try:
            work()
        except BaseException:
            traceback.print_exc()
            os._exit(1)
        os._exit(0)
    _, status = os.waitpid(pid, 0)
    if os.WIFSIGNALED(status):
        return True
    assert os.waitstatus_to_exitcode(status) == 0, "the work failed in the child"
    return False
