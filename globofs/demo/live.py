"""The other people of the demo, in a process of their own: `python -m globofs.demo.live DIR`.

The nas gets films from a camera and files from an old disk, somebody writes in the cabin's logbook,
and the cabin's network comes and goes. It ends when its standard input does: with whoever looks.
"""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress

import globofs
from globofs.demo import material
from globofs.demo.stage import DAY_NS, Site, StoryClock, connect
from globofs.engine.engine import Engine
from globofs.errors import GlobofsError
from globofs.store.clock import SYSTEM

FILM_BYTES = 96 << 20
CLIPS = 5
CLIP_BYTES = 6 << 20
OFFLINE_FIRST, OFFLINE_SECONDS, ONLINE_SECONDS = 14.0, 16.0, 30.0
EDITS = 400  # after that the demo rests


class Live:
    """Everybody but the laptop. `run` returns when `wait` says that it is over."""

    def __init__(self, directory: str) -> None:
        self.directory = directory
        self.nas = Site.open(directory, "nas")
        self.cabin = Site.open(directory, "cabin")
        self._nas_engine = Engine(self.nas.volume, label="nas").start()
        self._cabin_engine: Engine | None = Engine(self.cabin.volume, label="cabin").start()
        self._over = threading.Event()

    def run(self, until: Callable[[], object]) -> None:
        """Live until `until` returns."""
        parts = (self._films, self._archive, self._logbook, self._network)
        for part in parts:
            threading.Thread(target=self._guarded, args=(part,), daemon=True).start()
        until()
        self._over.set()
        self._nas_engine.close(1.0)
        if self._cabin_engine is not None:
            self._cabin_engine.close(1.0)

    def _guarded(self, part: Callable[[], None]) -> None:
        """The directory may go at any moment; the play is then simply over."""
        with suppress(GlobofsError, OSError):
            part()

    def _pause(self, seconds: float) -> bool:
        """Let time pass; False when it is over."""
        return not self._over.wait(seconds)

    def _films(self) -> None:
        """A camera's card is copied to the nas: the film of the summit, then clip by clip."""
        if not self._pause(2.0):
            return
        self._film("film/summit.mov", 100, FILM_BYTES)
        for number in range(2, CLIPS + 2):
            if not self._pause(4.0):
                return
            self._film(f"film/clip-{number:02}.mov", number, CLIP_BYTES + number * 700_000)

    def _film(self, path: str, seed: int, size: int) -> None:
        """One film; the camera's copy goes once it is recorded."""
        place = self.nas.write(path, b"")
        with open(place, "wb") as file:
            for piece in material.film(seed, size):
                file.write(piece)
        self.nas.add(path)
        os.unlink(place)

    def _archive(self) -> None:
        """Somebody found an old disk: its files come with their old times."""
        clock = StoryClock(SYSTEM.now_ns() - 58 * DAY_NS)
        past = Site.open(self.directory, "nas", clock)
        for number, package in enumerate(material.PACKAGES_LATER):
            if not self._pause(3.0):
                break
            when = SYSTEM.now_ns() - (58 - 7 * number) * DAY_NS
            clock.set(when)
            for path, content in material.library(package):
                past.write(os.path.join("archive", path), content, when)
            past.add(f"archive/{package}")
        past.close()

    def _logbook(self) -> None:
        """The cabin's people write, whether they are online or not."""
        texts = [material.Document("Logbook of the cabin", 61), material.Document("Wood", 62)]
        for number in range(EDITS):
            if not self._pause(2.5 if number < 30 else 8.0):
                return
            document = texts[number % 3 == 2]
            document.edit()
            self.cabin.put(
                ("cabin/wood.md" if number % 3 == 2 else "cabin/logbook.md"), document.bytes()
            )

    def _network(self) -> None:
        """The cabin's network comes and goes."""
        for away in self._seasons():
            connect(self.directory, "cabin", not away)
            if away and self._cabin_engine is not None:
                self._cabin_engine.close(1.0)
                self._cabin_engine = None
            elif not away and self._cabin_engine is None:
                self._cabin_engine = Engine(self.cabin.volume, label="cabin").start()

    def _seasons(self) -> Iterator[bool]:
        if not self._pause(OFFLINE_FIRST):
            return
        while True:
            yield True
            if not self._pause(OFFLINE_SECONDS):
                yield False
                return
            yield False
            if not self._pause(ONLINE_SECONDS):
                return


class Company:
    """The process of the others, as the one who looks sees it."""

    def __init__(self, directory: str) -> None:
        self._directory = directory
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Let them begin; returns at once. May be called again, to no effect."""
        if self._process is not None:
            return
        house = os.path.dirname(os.path.dirname(os.path.abspath(globofs.__file__)))
        paths = [house, *filter(None, [os.environ.get("PYTHONPATH")])]
        with open(os.path.join(self._directory, "others.log"), "wb") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "globofs.demo.live", self._directory],
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)},
                start_new_session=True,
            )

    def stop(self) -> None:
        """End them, within three seconds."""
        process = self._process
        if process is None:
            return
        if process.stdin is not None:
            process.stdin.close()
        try:
            process.wait(3)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def main(directory: str) -> int:
    """The process: live until standard input ends."""
    # A nice neighbour: what the one who looks does comes first.
    with suppress(OSError):
        os.nice(5)
    begun = time.monotonic()
    Live(directory).run(lambda: sys.stdin.buffer.read())
    sys.stderr.write(f"lived for {time.monotonic() - begun:.0f} s\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1]))
