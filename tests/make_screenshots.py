"""Makes screenshots/*.svg from the real app on the demo's volume: `python tests/make_screenshots.py`.

The demo is built anew in a temporary directory, its other nodes live while the pictures are
taken, so numbers differ a little from run to run; places, sizes and themes do not. While a
picture shows something moving, the other nodes are behind a slow link: on one disk a film would
be here before it can be seen.
"""

from __future__ import annotations

import asyncio
import os
import re
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from textual.pilot import Pilot

    from globofs.tui.app import GlobofsApp

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))
os.environ.setdefault("TEXTUAL_ANIMATIONS", "none")

CELL = 12.2  # width of a cell in the SVG
WIDE, LOW, USUAL, HUGE = (120, 36), (120, 26), (80, 24), (200, 50)
ROWS = 2  # of what moves, for a picture of it


@dataclass(frozen=True)
class Picture:
    """One picture: keys to press (a number waits so many seconds), then what is seen."""

    name: str
    keys: tuple[str | float, ...]
    size: tuple[int, int] = WIDE
    theme: str = "globofs"
    moving: bool = False  # behind a slow link, once much of a film has come
    seconds: float = 0.0  # of that, so that there is a curve to be seen
    quiet: bool = False  # before the other nodes begin to live


NOTES = ("f", *"notes.md", 0.5, "enter", 0.9)
PICTURES = (
    Picture("conflicts", ("4", 0.6, "b", 2.0, "enter", "down", 1.0), quiet=True),
    Picture("sync-light", ("2", 0.1), LOW, theme="globofs-light", moving=True),
    Picture("sync-80x24", ("2", 0.1), USUAL, moving=True),
    Picture("sync", ("2", 0.1), WIDE, moving=True, seconds=12.0),
    Picture("sync-200x50", ("2", 0.1), HUGE, moving=True, seconds=4.0),
    Picture("peers", ("3", 0.8)),
    Picture("files", (*NOTES, "tab", "down", "down", 0.6)),
    Picture("files-light", (*NOTES, "tab", "down", "down", 0.6), theme="globofs-light"),
    Picture("files-80x24", NOTES, USUAL),
    Picture("diff-80x24", (*NOTES, "tab", "down", "d", 0.6), USUAL),
    Picture("files-200x50", (*NOTES, "tab", "down", 0.6), HUGE),
    Picture("time-travel", (*NOTES, "t", *"20 days ago", 0.3, "enter", 1.2)),
    Picture("time-choose", (*NOTES, "t", *"notes", 0.8)),
    Picture("restore-plan", (*NOTES, "left", 0.5, "tab", "down", "down", "down", "down", "r", 1.0)),
    Picture("log", ("5", 0.8, "end", "up", "up", "up", 0.9)),
    Picture("help", ("?", 0.4)),
    Picture("palette-80x24", (":", "r", "e", 0.4), USUAL),
    Picture("colour-blind", (*NOTES, "tab", "down", "down", 0.6), theme="globofs-cb"),
)


def tidy(svg: str) -> str:
    """Blanks at the ends of a text become place: some renderers drop them and shift the rest."""

    def mend(found: re.Match[str]) -> str:
        head, x, middle, length, tail, body = found.groups()
        first = last = 0
        while body.startswith("&#160;"):
            body, first = body[6:], first + 1
        while body.endswith("&#160;"):
            body, last = body[:-6], last + 1
        if not body:
            return ""
        wide = max(CELL, float(length) - (first + last) * CELL)
        return f'{head}x="{float(x) + first * CELL:.1f}"{middle}textLength="{wide:.1f}"{tail}{body}</text>'

    pattern = r'(<text [^>]*?)x="([\d.]+)"([^>]*?)textLength="([\d.]+)"([^>]*>)([^<]*)</text>'
    return re.sub(pattern, mend, svg)


async def take(where: str, picture: Picture, into: Path) -> None:
    """Open the real app, press, save."""
    from globofs.tui.app import GlobofsApp, volume_opener
    from globofs.tui.settings import Settings

    app = GlobofsApp(volume_opener(where, False), habits=Settings(theme=picture.theme))
    async with app.run_test(size=picture.size) as pilot:
        for _ in range(100):
            await pilot.pause(0.05)
            if app.snapshot is not None:
                break
        await pilot.pause(0.4)
        for key in picture.keys:
            if isinstance(key, str):
                await pilot.press(key)
                await pilot.pause(0.03)
            else:
                await pilot.pause(key)
        if picture.moving:
            await moved(app, pilot)
            await pilot.pause(picture.seconds)
        svg = app.export_screenshot(title="globofs")
        app.exit()
    await asyncio.to_thread(app.bridge.close)
    (into / f"{picture.name}.svg").write_text(tidy(svg), encoding="utf-8")


async def moved(app: GlobofsApp, pilot: Pilot[int]) -> None:
    """Wait until a part of some files has come. SystemExit when nothing moves."""
    for _ in range(3000):
        await pilot.pause(0.02)
        if app.snapshot is None:
            continue
        over, moves = app.snapshot.overall, app.snapshot.moves
        much = over.moving and over.eta_seconds and 8 * over.done > over.total
        if much and len(moves) >= ROWS:
            await pilot.pause(0.15)
            return
    raise SystemExit("nothing moved in a minute: there is no picture of a sync to take")


class Link:
    """What reads from other nodes share while it is slow."""

    BYTES_PER_SECOND = 3 << 19
    SMALL = 1 << 16  # bytes: journals, not films

    def __init__(self) -> None:
        self.slow = False
        self._lock = threading.Lock()
        self._free = 0.0  # monotonic: when the bytes asked for so far are over

    def begin(self, *, slow: bool) -> None:
        """Another picture: what an app before it asked for holds up nobody."""
        with self._lock:
            self.slow, self._free = slow, 0.0

    def install(self) -> None:
        """Have everything that is read from a peer come through here."""
        from globofs.peerio import files

        read = files._read

        def through(descriptor: int, count: int, offset: int) -> bytes:
            data = read(descriptor, count, offset)
            self._wait(len(data), files.beat)
            return data

        files._read = through

    def _wait(self, size: int, beat: Callable[[], None]) -> None:
        """Large pieces one behind the other; small ones come between them."""
        with self._lock:
            now = time.monotonic()
            large = self.slow and size > self.SMALL
            until = (max(self._free, now) if large else now) + size / self.BYTES_PER_SECOND
            self._free = until if large else self._free
        while self.slow and time.monotonic() < until:
            time.sleep(min(0.1, max(0.0, until - time.monotonic())))
            beat()


def fill_readme(readme: Path) -> bool:
    """Put the table of keys between its marks in README.md; whether there were marks."""
    from globofs.tui.keys import table_markdown

    if not readme.exists():
        return False
    text = readme.read_text(encoding="utf-8")
    pattern = r"(<!-- keys: [^\n]*-->\n).*?(<!-- end of keys -->)"
    table = table_markdown().replace("\\", "\\\\")
    filled, count = re.subn(pattern, rf"\g<1>\n{table}\n\g<2>", text, flags=re.DOTALL)
    if count and filled != text:
        readme.write_text(filled, encoding="utf-8")
    return bool(count)


def main(names: list[str]) -> None:
    """Build the demo, take the pictures named (or all)."""
    from globofs.demo.build import build
    from globofs.demo.live import Company
    from globofs.demo.stage import Stage

    fill_readme(ROOT / "README.md")
    into = ROOT / "screenshots"
    into.mkdir(exist_ok=True)
    link = Link()
    link.install()
    with Stage() as stage:
        for site in build(stage).values():
            site.close()
        company = Company(stage.directory)
        stage.at_end(company.stop)
        try:
            for picture in PICTURES:
                if names and picture.name not in names:
                    continue
                link.begin(slow=picture.moving)
                if not picture.quiet:
                    company.start()  # to no effect when they live already
                asyncio.run(take(os.path.join(stage.directory, "laptop"), picture, into))
                print(picture.name)
        finally:
            company.stop()


if __name__ == "__main__":
    main(sys.argv[1:])
