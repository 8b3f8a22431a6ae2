"""How quickly the terminal UI answers: `python -m tests.benchmarks.bench_ui [start|keys|big] ...`.

start: first paint of `globofs ui` on a terminal, from the start of the process, beside what merely
       importing Textual costs.
keys:  from key to paint while an engine in the same process records and pulls at full speed.
big:   a directory of 100,000 entries, and a volume of a million files (`--rows N`).
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import pty
import random
import select
import struct
import subprocess
import sys
import tempfile
import termios
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent.parent
RUNS = 7
KEY_SECONDS = 15.0
MEMORY = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None  # what a disk does is not the UI's
SMALL_FILES, SMALL_BYTES = 10_000, 3_000
LARGE_FILES, LARGE_BYTES = 6, 32 << 20


def spread(seconds: list[float]) -> str:
    """Milliseconds: the median, 95 and 99 of a hundred, the worst."""
    ordered = sorted(seconds) or [0.0]

    def at(share: float) -> float:
        return ordered[min(len(ordered) - 1, int(share * len(ordered)))] * 1000

    return (
        f"p50 {at(0.5):6.1f}  p95 {at(0.95):6.1f}  p99 {at(0.99):6.1f}  max {at(1):6.1f} ms"
        f"  ({len(seconds)} samples)"
    )


# --- the start --------------------------------------------------------------------------------


def painted(words: list[str], texts: list[bytes], seconds: float = 20.0) -> list[float]:
    """Start a command on a terminal of its own; seconds until each text was written to it."""
    begun = time.monotonic()
    process, master = pty.fork()
    if process == 0:
        os.execvpe(
            words[0], words, {**os.environ, "TERM": "xterm-256color", "PYTHONPATH": str(ROOT)}
        )
    fcntl.ioctl(master, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    seen, found = b"", [0.0] * len(texts)
    try:
        while not all(found) and time.monotonic() - begun < seconds:
            if select.select([master], [], [], 0.5)[0]:
                seen += os.read(master, 1 << 16)
                for number, text in enumerate(texts):
                    if not found[number] and text in seen:
                        found[number] = time.monotonic() - begun
        os.write(master, b"q")
        end = time.monotonic() + 5
        while time.monotonic() < end and select.select([master], [], [], 2.0)[0]:
            if not os.read(master, 1 << 16):
                break
    except OSError:
        pass  # the terminal ended with the process
    os.close(master)
    os.waitpid(process, 0)
    return found


def start(say: Callable[[str], None], runs: int = RUNS) -> None:
    """First paint, beside the import that nothing built on Textual gets around."""
    from globofs.volume import Volume

    with tempfile.TemporaryDirectory(dir=MEMORY) as where:
        os.environ["XDG_CONFIG_HOME"] = os.environ["XDG_STATE_HOME"] = where
        with Volume.init(os.path.join(where, "v"), name="bench") as volume:
            source = Path(where, "hello")
            source.mkdir()
            Path(source, "world.txt").write_text("hello\n")
            volume.add([str(source)])
        imports, paints, fills = [], [], []
        ui = [sys.executable, "-m", "globofs", "-C", os.path.join(where, "v"), "ui"]
        for _ in range(runs):
            begun = time.monotonic()
            subprocess.run([sys.executable, "-c", "import textual.app"], check=True)
            imports.append(time.monotonic() - begun)
            paint, fill = painted(ui, [b"Conflicts", b"hello"])
            paints.append(paint)
            fills.append(fill)
    for name, times in (("import textual.app", imports), ("first paint", paints), ("tree", fills)):
        middle = sorted(times)[len(times) // 2]
        say(f"start  {name:<20} best {min(times) * 1000:6.0f} ms   median {middle * 1000:6.0f} ms")


# --- from key to paint ------------------------------------------------------------------------


@dataclass
class Keys:
    """Presses keys from a thread, as a terminal's reader does, and waits for the paint of each."""

    app: Any
    took: list[float] = field(default_factory=list)
    lost: int = 0

    def __post_init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._painted = threading.Event()
        self._expected: Callable[[], bool] | None = None
        display = self.app._display

        def hear(screen: Any, renderable: Any) -> None:
            display(screen, renderable)
            expected = self._expected
            if expected is not None and expected():
                self._expected = None
                self._painted.set()

        self.app._display = hear

    def press(self, key: str, happened: Callable[[], bool], at: float | None = None) -> None:
        """Press at a moment (now), count until the paint after `happened()` has come true."""
        from textual import events

        at = at or time.monotonic()
        time.sleep(max(0.0, at - time.monotonic()))
        self._painted.clear()
        self._expected = happened
        character = key if len(key) == 1 else None
        asyncio.run_coroutine_threadsafe(
            self.app._post_message(events.Key(key, character)), self._loop
        )
        if self._painted.wait(10.0):
            self.took.append(time.monotonic() - at)
        else:
            self.lost += 1
            self._expected = None

    def walk(self, rows: Any, seconds: float) -> None:
        """Up and down in a list, a key every 30 to 90 ms. Call it in a thread."""
        rng = random.Random(4)
        end = time.monotonic() + seconds
        down = True
        while time.monotonic() < end:
            before = rows.cursor
            if before <= 0 or before >= rows.rows - 1:
                down = before <= 0
            self.press(
                "down" if down else "up",
                lambda before=before: rows.cursor != before,
                time.monotonic() + rng.uniform(0.03, 0.09),
            )


def _material(where: str) -> str:
    """A folder of many small files and some large ones that compress as documents do."""
    rng = random.Random(7)
    words = [
        bytes(rng.choices(b"abcdefghijklmnopqrstuvwxyz", k=rng.randint(2, 9))) for _ in range(4000)
    ]
    text = b" ".join(rng.choices(words, k=400_000))
    folder = os.path.join(where, "folder")
    for number in range(SMALL_FILES):
        place = os.path.join(folder, f"d{number // 500:03}")
        if number % 500 == 0:
            os.makedirs(place)
        at = rng.randrange(len(text) - SMALL_BYTES)
        Path(place, f"{number}.txt").write_bytes(b"%d " % number + text[at : at + SMALL_BYTES])
    for number in range(LARGE_FILES):
        with open(os.path.join(folder, f"large-{number}.bin"), "wb") as file:
            for _ in range(LARGE_BYTES >> 20):
                file.write(rng.randbytes(1 << 19) + text[: 1 << 19])
    return folder


def _nodes(where: str) -> tuple[str, str]:
    """A node `ours`, and a peer of it that has everything of another folder to pull."""
    from globofs.volume import Volume

    ours, theirs = os.path.join(where, "ours"), os.path.join(where, "theirs")
    folder = _material(os.path.join(where, "other"))
    with Volume.init(ours, name="ours") as volume, Volume.init(theirs, name="theirs") as other:
        volume.peer_add("theirs", theirs)
        other.peer_add("ours", ours)
        other.add([folder], to=b"theirs")
        other.sync()
        for name in range(60):
            Path(where, f"file-{name:02}").write_text(f"{name}\n" * 40)
        volume.add([os.path.join(where, f"file-{name:02}") for name in range(60)])
    return ours, folder


async def _ready(app: Any, pilot: Any, rows: int = 1, seconds: float = 120) -> float:
    """Seconds until the tree shows so many rows."""
    begun = time.monotonic()
    while time.monotonic() - begun < seconds:
        screen = app.screen
        if app.is_open and hasattr(screen, "tree_list") and screen.tree_list.rows >= rows:
            return time.monotonic() - begun
        await asyncio.sleep(0.005)
    raise TimeoutError("the tree did not come")


async def _keys(ours: str, folder: str, say: Callable[[str], None], seconds: float) -> None:
    from globofs.tui.app import GlobofsApp, volume_opener
    from globofs.tui.settings import Settings

    app = GlobofsApp(volume_opener(ours, False), habits=Settings())
    async with app.run_test(size=(120, 40)) as pilot:
        await _ready(app, pilot, 3)
        rows = app.screen.tree_list
        keys = Keys(app)
        await asyncio.to_thread(keys.walk, rows, 4.0)
        say(f"keys   at rest              {spread(keys.took)}")
        keys.took.clear()
        app.lags.clear()
        volume, engine = app.bridge.volume, app.bridge.engine
        adding = engine.submit(
            "add",
            lambda emit, cancelled: volume.add([folder], to=b"new", emit=emit, cancelled=cancelled),
        )
        pulling = engine.submit(
            "mirror", lambda emit, cancelled: volume.mirror(emit=emit, cancelled=cancelled)
        )
        await asyncio.to_thread(keys.walk, rows, seconds)
        busy = sum(job.running for job in (adding, pulling))
        say(f"keys   recording and pulling {spread(keys.took)}")
        say(f"keys   delay of the loop    {spread(app.lags)}")
        status = app.snapshot.status if app.snapshot else None
        say(
            f"keys   meanwhile: {busy} of 2 jobs still ran at the end, {keys.lost} keys without an"
            f" answer, {status.files if status else 0:,} files"
        )
        app.exit()
    await asyncio.to_thread(app.bridge.close, 60.0)


def _as_users_do(coroutine: Any) -> None:
    """Run it on the loop, and with the settings, that `globofs ui` has."""
    from globofs.tui import priority

    with (
        priority.spare_the_collector(),
        asyncio.Runner(loop_factory=priority.event_loop) as runner,
    ):
        runner.run(coroutine)


def keys(say: Callable[[str], None], seconds: float = KEY_SECONDS) -> None:
    """Key to paint, at rest and under full load."""
    with tempfile.TemporaryDirectory(dir=MEMORY) as where:
        ours, _ = _nodes(where)
        mine = _material(os.path.join(where, "mine"))
        _as_users_do(_keys(ours, mine, say, seconds))


# --- size -------------------------------------------------------------------------------------


def _records(rows: int) -> Iterator[Any]:
    """Records of files that nobody has stored: 100,000 in one directory, the rest in thousands."""
    from globofs.format import kinds, manifest, record
    from globofs.format.manifest import Manifest
    from globofs.store.apply import Item

    node, prev = str(uuid.UUID(int=9)), record.FIRST_PREV
    begun = 1_700_000_000 * 10**9
    for number in range(rows):
        place = b"wide" if number < 100_000 else b"deep/%03d" % (number // 1000)
        path = b"%s/file %06d.txt" % (place, number)
        m = Manifest("file", path, begun + number, node, (), 0, 0o644, begun, b"", None, None, ())
        entry = kinds.VersionRecord.of(m, manifest.encode(m))
        r = kinds.make_record(number + 1, node, prev, number // 5000 * 5000 + 1, m.version, entry)
        _, prev = record.encode_record(r)
        yield Item(r, prev)


def _fill(volume: Any, rows: int) -> None:
    from globofs.store.apply import apply_items

    batch: list[Any] = []
    for item in _records(rows):
        batch.append(item)
        if len(batch) == 20_000:
            apply_items(volume.node.index, batch)
            batch = []
    apply_items(volume.node.index, batch)


async def _big(where: str, say: Callable[[str], None]) -> None:
    from globofs.tui.app import GlobofsApp, volume_opener
    from globofs.tui.settings import Settings

    app = GlobofsApp(volume_opener(where, True), habits=Settings())
    async with app.run_test(size=(120, 40)) as pilot:
        say(f"big    opened after         {await _ready(app, pilot) * 1000:8.0f} ms")
        rows, keys = app.screen.tree_list, Keys(app)
        wide = app.screen.tree_source.find(b"wide")
        rows.go_to(wide)
        await asyncio.sleep(0.3)
        begun = time.monotonic()
        await asyncio.to_thread(keys.press, "right", lambda: rows.rows > 99_000)
        say(f"big    100,000 entries shown {(time.monotonic() - begun) * 1000:7.0f} ms")
        say(f"big    loop meanwhile       {spread(app.lags)}")
        keys.took.clear()
        for key in ("end", "home", "pagedown", "pagedown", "down", "end", "pageup", "home") * 5:
            before = rows.cursor
            await asyncio.to_thread(keys.press, key, lambda before=before: rows.cursor != before)
            await asyncio.sleep(0.05)
        say(f"big    scrolling            {spread(keys.took)}")
        begun = time.monotonic()
        keys.app.screen.wish = type(app.screen.wish)(filter="999")
        app.screen.refresh_tree()
        while not app.screen.tree_source.rows.wish.filter:
            await asyncio.sleep(0.005)
        say(f"big    filter over all      {(time.monotonic() - begun) * 1000:8.0f} ms")
        app.exit()
    await asyncio.to_thread(app.bridge.close)


def big(say: Callable[[str], None], rows: int = 1_000_000) -> None:
    """A directory of 100,000 and a volume of `rows` files."""
    from globofs.volume import Volume

    with tempfile.TemporaryDirectory(dir=MEMORY) as where:
        place = os.path.join(where, "v")
        with Volume.init(place, name="bench") as volume:
            begun = time.monotonic()
            _fill(volume, rows)
            volume.node.catch_up()  # as any command has done long before
            say(f"big    {rows:,} files into the index in {time.monotonic() - begun:.0f} s")
        _as_users_do(_big(place, say))


def main(words: list[str]) -> None:
    """Run the parts named, or all."""
    load = os.getloadavg()[0]
    print(
        f"{os.cpu_count()} processors, load {load:.1f}: {'busy' if load > 1 else 'quiet'} machine"
    )
    rows = 1_000_000
    if "--rows" in words:
        at = words.index("--rows")
        rows = int(words[at + 1])
        del words[at : at + 2]
    for part in words or ["start", "keys", "big"]:
        if part == "big":
            big(print, rows)
        else:
            {"start": start, "keys": keys}[part](print)


if __name__ == "__main__":
    main(sys.argv[1:])
