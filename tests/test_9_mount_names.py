"""Names of a mount: what others see while they change, and when a change fails half way."""

from __future__ import annotations

import errno
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from globofs.mount import recorded
from globofs.mount.contents import Contents
from globofs.mount.files import Files
from globofs.mount.messages import Messages
from globofs.mount.namespace import Namespace
from globofs.mount.recorder import Recorder, open_directory
from globofs.store import fsio
from globofs.store.intent import IntentLog
from globofs.volume import Volume
from tests.helpers_story import make_nodes


class Mount:
    """All of a mount but FUSE; records when it is told to."""

    def __init__(self, volume: Volume) -> None:
        self.log = IntentLog(open_directory(volume), "1-mount")
        self.space = Namespace(volume, self.log)
        messages = Messages(volume.node, "/m", print)
        self.recorder = Recorder(self.space, "/m", messages)
        self.files = Files(self.space, Contents(volume, messages), self.recorder.ready, 30)

    def write(self, path: bytes, data: bytes = b"text") -> None:
        number = self.files.create(path, 0o644, os.O_RDWR)
        self.files.write(number, data, 0)
        self.files.release(number)

    def seen(self) -> dict[bytes, tuple[object, ...]]:
        """Names at the top, with what is known of each."""
        return {name: tuple(facts) for name, facts in self.space.children(b"")}


@pytest.fixture
def mount(tmp_path: Path) -> Iterator[Mount]:
    (at,) = make_nodes(tmp_path, "node")
    with Volume.open(str(at.volume)) as volume:
        made = Mount(volume)
        yield made
        made.log.close(clean=True)


@pytest.fixture
def never_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody has time to look whether others changed something."""
    monkeypatch.setattr(recorded, "_LOOK_EVERY", 1e9)


def test_a_file_does_not_vanish_while_it_is_let_go_of(
    mount: Mount, never_looks: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever looked before it was made was told that there is none."""
    assert mount.space.find(b"new") is None
    mount.write(b"new")
    let_go = mount.space.drop
    found: list[object] = []

    def drop(inode) -> None:  # type: ignore[no-untyped-def]
        let_go(inode)
        found.append(mount.space.find(b"new"))

    monkeypatch.setattr(mount.space, "drop", drop)
    mount.recorder.flush()
    assert found
    assert None not in found


def test_an_answer_that_was_overtaken_is_not_kept(
    mount: Mount, never_looks: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    view = mount.space.volume.view

    class Late:
        def entry(self, path: bytes) -> object:
            found = view().entry(path)
            mount.write(path)
            mount.recorder.flush()
            return found

    with monkeypatch.context() as patched:
        views = iter([Late()])
        patched.setattr(mount.space.volume, "view", lambda: next(views, None) or view())
        assert mount.space.find(b"new") is None, "when it was asked there was none"
    assert mount.space.find(b"new") is not None


def test_a_name_that_is_renamed_over_is_never_gone(
    mount: Mount, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither was recorded yet."""
    mount.write(b"old")
    mount.write(b"new")
    found: list[object] = []
    for name in ("set", "done", "keep"):
        said = getattr(mount.log, name)

        def say(*args, said=said) -> None:  # type: ignore[no-untyped-def]
            found.append(mount.space.find(b"new"))
            said(*args)
            found.append(mount.space.find(b"new"))

        monkeypatch.setattr(mount.log, name, say)
    mount.space.rename(b"old", b"new")
    assert found
    assert None not in found
    assert list(mount.seen()) == [b"new"]


def test_an_open_file_without_a_name_moves_with_its_directory(mount: Mount) -> None:
    mount.space.make(b"d", "directory", 0o755)
    mount.write(b"d/file")
    number = mount.files.open(b"d/file", os.O_RDONLY)
    mount.space.rename(b"d/file", b"d/.fuse_hidden0000000100000001")
    mount.recorder.rename_directory(b"d", b"e")
    assert mount.files.read(number, 10, 0) == b"text"
    mount.space.remove(b"e/.fuse_hidden0000000100000001", directory=False)
    mount.files.release(number)
    mount.space.remove(b"e", directory=True)
    mount.recorder.flush()
    assert mount.seen() == {}


@pytest.mark.parametrize("closed", ["before", "after"])
def test_who_opens_what_lost_its_name_and_was_closed_is_told_to_look_again(
    mount: Mount, closed: str
) -> None:
    """The kernel found it while it had its name; by now another file may have that."""
    mount.write(b"file")
    number = mount.files.open(b"file", os.O_RDONLY)
    hidden = b".fuse_hidden0000000100000001"
    if closed == "before":
        mount.files.release(number)
    assert mount.space.find(hidden) is None
    mount.space.rename(b"file", hidden)
    if closed == "after":
        assert mount.files.read(mount.files.open(hidden, os.O_RDONLY), 10, 0) == b"text"
        for opened in list(mount.files._handles):
            mount.files.release(opened)
    with pytest.raises(OSError) as caught:
        mount.files.open(hidden, os.O_RDONLY)
    assert caught.value.errno == errno.ESTALE


def test_nobody_waits_for_a_directory_that_is_renamed(
    mount: Mount, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A large one takes seconds. What is written to an open file in it meanwhile is at its new
    place afterwards."""
    mount.space.make(b"d", "directory", 0o755)
    mount.write(b"d/open")
    mount.write(b"other", b"else")
    number = mount.files.open(b"d/open", os.O_RDWR)
    mv = mount.space.volume.mv
    read: list[bytes] = []

    def meanwhile() -> None:
        other = mount.files.open(b"other", os.O_RDONLY)
        read.append(bytes(mount.files.read(other, 10, 0)))
        mount.files.release(other)
        mount.files.write(number, b"late", 0)
        mount.files.release(number)

    def slow(*args: bytes) -> object:
        thread = threading.Thread(target=meanwhile, daemon=True)
        thread.start()
        thread.join(10)
        return mv(*args)

    monkeypatch.setattr(mount.space.volume, "mv", slow)
    mount.recorder.rename_directory(b"d", b"e")
    assert read == [b"else"]
    mount.recorder.flush()
    assert {entry.path for entry in mount.space.volume.view().walk(b"")} == {
        *(b"e", b"e/open", b"other")
    }
    version = mount.space.volume.view().version(b"e/open")
    assert version is not None
    assert b"".join(mount.space.volume.read(version)) == b"late"
    assert mount.space.volume.conflicts() == []


def test_syncing_a_directory_makes_its_names_durable(mount: Mount) -> None:
    heard: list[tuple[str, tuple[object, ...]]] = []
    mount.write(b"old")
    mount.space.rename(b"old", b"new")
    fsio.observer = lambda op, args: heard.append((op, args))
    try:
        mount.files.sync_names()
    finally:
        fsio.observer = None
    assert ("fsync", (f"{mount.log.directory}/log",)) in heard


OPERATIONS: dict[str, Callable[[Mount], object]] = {
    "create": lambda mount: mount.files.create(b"x", 0o644, os.O_WRONLY),
    "mkdir": lambda mount: mount.space.make(b"x", "directory", 0o755),
    "symlink": lambda mount: mount.space.make(b"x", "symlink", 0o777, b"kept"),
    "unlink what is recorded": lambda mount: mount.space.remove(b"kept", directory=False),
    "unlink what is not": lambda mount: mount.space.remove(b"new", directory=False),
    "rmdir": lambda mount: mount.space.remove(b"empty", directory=True),
    "rename": lambda mount: mount.space.rename(b"kept", b"x"),
    "rename what is not recorded": lambda mount: mount.space.rename(b"new", b"x"),
    "rename over another": lambda mount: mount.space.rename(b"kept", b"other"),
    "rename over what is not recorded": lambda mount: mount.space.rename(b"kept", b"new"),
    "chmod": lambda mount: mount.space.set_mode(mount.space.inode(b"kept"), 0o600),
    "utimens": lambda mount: mount.space.set_time(mount.space.inode(b"kept"), None, 5),
}


@pytest.mark.parametrize("what", OPERATIONS)
@pytest.mark.parametrize("lines", [0, 1, 2])
def test_what_a_full_disk_prevents_has_not_happened(
    mount: Mount, what: str, lines: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """There is room for some lines of the log, but not for all."""
    mount.space.make(b"empty", "directory", 0o755)
    mount.write(b"kept")
    mount.write(b"other", b"else")
    mount.recorder.flush()
    mount.write(b"new", b"not recorded")
    before = mount.seen()
    room = list(range(lines))
    say = mount.log._say

    def full(line: bytes) -> None:
        if not room:
            raise OSError(errno.ENOSPC, "full")
        room.pop()
        say(line)

    with monkeypatch.context() as patched:
        patched.setattr(mount.log, "_say", full)
        failed = True
        with suppress(OSError):
            OPERATIONS[what](mount)
            failed = False
    assert failed or lines, "the first line cannot be written"
    if failed:
        assert mount.seen() == before
        mount.recorder.flush()
        names = {entry.path for entry in mount.space.volume.view().walk(b"")}
        assert names == {b"empty", b"kept", b"other", b"new"}
