"""`watch FOLDER`: what changes is recorded, what is dangerous waits and says so."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from globofs import errors
from globofs.engine import folder as module
from globofs.engine.folder import FolderWatch
from globofs.events import Event, Note
from globofs.volume import Volume
from tests.helpers_engine import until
from tests.helpers_inotify import Queue, short_queue


class Watched:
    """A folder, a volume, and a watch between them in a thread."""

    def __init__(self, top: Path, **options: object) -> None:
        self.folder = top / "folder"
        self.folder.mkdir(exist_ok=True)
        self.volume = Volume.init(str(top / "volume"), name="a")
        self.events: list[Event] = []
        self._over = threading.Event()
        self.watch = FolderWatch(
            self.volume,
            str(self.folder),
            volume_directory=self.volume.directory,
            run_directory=self.volume.node.run(),
            emit=self.events.append,
            **options,  # type: ignore[arg-type]
        )
        self._thread = threading.Thread(target=self.watch.run, args=(self._over.is_set,))

    def start(self) -> Watched:
        self._thread.start()
        assert until(lambda: self.watch.totals.scans)
        return self

    def paths(self) -> list[bytes]:
        return [entry.path for entry in self.volume.view().walk() if entry.kind == "file"]

    def notes(self) -> list[str]:
        return [event.text for event in self.events if isinstance(event, Note)]

    def close(self) -> None:
        self._over.set()
        self._thread.join(5)
        assert not self._thread.is_alive()
        self.volume.close()


@pytest.fixture
def watched(tmp_path: Path) -> Iterator[Watched]:
    made = Watched(tmp_path)
    yield made
    made.close()


def test_what_comes_changes_and_goes_is_recorded(watched: Watched) -> None:
    (watched.folder / "before").write_text("was here")
    watched.start()
    assert watched.paths() == [b"folder/before"]
    assert "change notification" in watched.notes()[0]
    begun = time.monotonic()
    (watched.folder / "new").write_text("1")
    assert until(lambda: watched.paths() == [b"folder/before", b"folder/new"])
    assert time.monotonic() - begun < 1.5
    (watched.folder / "new").write_text("2 and more")
    assert until(lambda: len(watched.volume.history(b"folder/new")) == 2)
    (watched.folder / "before").unlink()
    assert until(lambda: watched.paths() == [b"folder/new"])
    assert until(lambda: watched.watch.totals.deleted == 1)


def test_a_burst_is_one_operation(watched: Watched) -> None:
    watched.start()
    for number in range(200):
        (watched.folder / f"{number:03}").write_text(str(number))
    assert until(lambda: len(watched.paths()) == 200)
    assert len(watched.volume.operations()) <= 2


def test_a_change_of_the_same_size_within_the_same_moment_is_found(watched: Watched) -> None:
    """The scan may see the first content with the times that the second has as well."""
    file = watched.folder / "racy"
    file.write_text("first")
    watched.start()
    stamp = file.stat().st_mtime_ns
    file.write_text("other")
    os.utime(file, ns=(stamp, stamp))

    def shown() -> bytes:
        version = watched.volume.view().version(b"folder/racy")
        return b"".join(watched.volume.read(version)) if version else b""

    assert until(lambda: shown() == b"other")


def test_most_of_a_folder_vanishing_waits_and_says_so(watched: Watched, monkeypatch) -> None:
    monkeypatch.setattr(module, "RETRY_SECONDS", 0.3)
    for number in range(30):
        (watched.folder / f"{number:02}").write_text("x")
    watched.start()
    assert len(watched.paths()) == 30
    moved = watched.folder.parent / "elsewhere"
    moved.mkdir()
    for number in range(25):
        os.rename(watched.folder / f"{number:02}", moved / f"{number:02}")
    assert until(lambda: watched.watch.waiting)
    time.sleep(0.8)
    assert len(watched.paths()) == 30, "nothing was recorded as deleted"
    said = [text for text in watched.notes() if "--yes" in text]
    assert len(said) == 1, "said once, not again with every look"
    for number in range(25):
        os.rename(moved / f"{number:02}", watched.folder / f"{number:02}")
    assert until(lambda: not watched.watch.waiting)


def test_an_unmounted_folder_is_not_a_deleted_one(watched: Watched, monkeypatch) -> None:
    monkeypatch.setattr(module, "RETRY_SECONDS", 0.3)
    (watched.folder / "a").write_text("x")
    watched.start()
    away = watched.folder.parent / "away"
    os.rename(watched.folder, away)
    watched.watch.poke()
    assert until(lambda: "is not there" in watched.watch.waiting)
    assert watched.paths() == [b"folder/a"]
    os.rename(away, watched.folder)
    assert until(lambda: not watched.watch.waiting)


def test_polling_where_events_are_absent(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(module, "RECHECK_SECONDS", 0.1)
    watched = Watched(tmp_path, force_polling=True, poll_seconds=0.2).start()
    assert "polling every 0.2 s: asked for" in watched.notes()[0]
    (watched.folder / "new").write_text("1")
    assert until(lambda: watched.paths() == [b"folder/new"])
    watched.close()


def test_what_was_announced_in_vain_is_found_by_the_next_look(tmp_path: Path, monkeypatch) -> None:
    """The kernel's queue of notifications was full, and what is lost of it nobody hears of: the
    watch goes on believing in notifications, and looks itself all the same now and then."""
    monkeypatch.setattr(module, "RECHECK_SECONDS", 0.1)
    watched = Watched(tmp_path, rescan_seconds=0.4).start()
    assert until(lambda: watched.watch._watcher.notified)
    watched.watch._watcher._ignored = lambda path: True
    (watched.folder / "lost").mkdir()
    (watched.folder / "lost/new").write_text("1")
    assert until(lambda: watched.paths() == [b"folder/lost/new"])
    assert "change notification" in watched.watch.words
    watched.close()


def test_an_error_of_the_volume_is_said_and_tried_again(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(module, "RETRY_SECONDS", 0.2)
    watched = Watched(tmp_path)
    add, full = watched.volume.add, [True]

    def failing(*args: object, **options: object) -> object:
        if full[0]:
            raise errors.DiskError(path="/v", reason="No space left on device")
        return add(*args, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(watched.volume, "add", failing)
    (watched.folder / "a").write_text("x")
    watched._thread.start()
    assert until(lambda: "No space left" in watched.watch.waiting)
    full[0] = False
    assert until(lambda: watched.paths() == [b"folder/a"])
    watched.close()


def test_the_volume_itself_is_no_folder_to_watch(tmp_path: Path) -> None:
    volume = Volume.init(str(tmp_path / "volume"), name="a")
    for place in (volume.directory, volume.node.directory, str(tmp_path / "missing")):
        with pytest.raises(errors.UsageError):
            FolderWatch(
                volume, place, volume_directory=volume.directory, run_directory=volume.node.run()
            )
    volume.close()


WATCHING = """
import sys
from globofs.engine import folder
from globofs.volume import Volume
folder.RECHECK_SECONDS = 0.2
volume = Volume.open(sys.argv[1])
watch = folder.FolderWatch(
    volume, sys.argv[2], volume_directory=volume.directory, run_directory=volume.node.run(),
    rescan_seconds=0.3, emit=lambda event: None,
)
print(watch.words, flush=True)
watch.run(lambda: False)
"""


def test_a_queue_of_notifications_that_ran_over(tmp_path: Path) -> None:
    """More changed than the kernel keeps for one that does not listen: real inotify, a real
    overflow. What was dropped then is found by a scan, and later changes below a directory whose
    making was dropped (it has no watch at all) by the scan now and then."""
    folder = tmp_path / "folder"
    (folder / "here").mkdir(parents=True)
    (folder / "here/goes").write_text("goes")
    with Volume.init(str(tmp_path / "volume"), name="a") as volume, short_queue(16) as limit:
        command = [sys.executable, "-c", WATCHING, volume.directory, str(folder)]
        with subprocess.Popen(command, stdout=subprocess.PIPE) as watching:
            try:
                assert until(lambda: volume.view().entry(b"folder/here/goes") is not None)
                queue = Queue(folder)
                watching.send_signal(signal.SIGSTOP)
                for _ in range(limit + 1):
                    (folder / "passing").touch()
                    (folder / "passing").unlink()
                (folder / "new/below").mkdir(parents=True)
                (folder / "new/below/file").write_text("one")
                (folder / "here/goes").unlink()
                assert queue.ran_over()
                watching.send_signal(signal.SIGCONT)

                def files() -> list[bytes]:
                    volume.node.catch_up()
                    return [entry.path for entry in volume.view().walk() if entry.kind == "file"]

                assert until(lambda: files() == [b"folder/new/below/file"])
                (folder / "new/below/file").write_text("another")
                assert until(
                    lambda: (
                        volume.node.catch_up() or len(volume.history(b"folder/new/below/file")) == 2
                    )
                )
                assert volume.view().entry(b"folder/here/goes") is None
            finally:
                watching.kill()
