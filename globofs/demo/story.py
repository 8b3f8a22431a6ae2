"""The demo as text, for scripts and CI: every sentence is checked before it is said."""

from __future__ import annotations

import os
import time
from collections.abc import Callable

from globofs import speech
from globofs.demo import material
from globofs.demo.build import build
from globofs.demo.stage import DAY_NS, Site, Stage, connect
from globofs.engine.engine import Engine
from globofs.errors import GlobofsError
from globofs.store.clock import SYSTEM

Say = Callable[[str], None]
PATIENCE_SECONDS = 10.0


class StoryBroken(GlobofsError):
    """the demo's story does not hold: {what}"""


def check(holds: object, what: str) -> None:
    """Raises `StoryBroken` unless it is as told."""
    if not holds:
        raise StoryBroken(what=what)


class Teller:
    """Says what happened, with the command that does the same."""

    def __init__(self, say: Say) -> None:
        self._say = say
        self._begun = time.monotonic()

    def title(self, text: str) -> None:
        """A new part."""
        self._say(f"\n[{time.monotonic() - self._begun:5.1f} s] {text}")

    def command(self, text: str) -> None:
        """What one would type."""
        self._say(f"  $ globofs {text}")

    def line(self, text: str) -> None:
        """What comes of it."""
        self._say(f"    {text}")


def tell(stage: Stage, say: Say) -> int:
    """Build the nodes and tell the whole story; 0, or StoryBroken."""
    teller = Teller(say)
    teller.title(f"Three nodes in {stage.directory}: laptop, nas, cabin")
    past = build(stage)
    for site in past.values():
        site.close()
    sites = {name: Site.open(stage.directory, name) for name in past}
    for site in sites.values():
        stage.at_end(site.close)
    laptop = sites["laptop"]
    status = laptop.volume.status()
    operations = laptop.volume.operations(limit=1000)
    teller.command("status")
    teller.line(
        f"{status.files} files, {status.versions} versions, {len(operations)} operations, "
        f"{speech.size_words(status.bytes_missing)} not here yet"
    )
    check(len(operations) > 50, "two months of operations")
    _history(teller, laptop)
    _deleted(teller, laptop)
    _undo(teller, laptop)
    _conflict(teller, laptop)
    _together(teller, stage, sites)
    _verify(teller, laptop)
    teller.title("That was the story. `globofs demo` shows it alive.")
    return 0


def _when(ns: int) -> str:
    return speech.age_words(ns, SYSTEM.now_ns())


def _history(teller: Teller, laptop: Site) -> None:
    teller.title("Every file has a timeline")
    path = b"documents/notes.md"
    versions = laptop.volume.history(path)
    check(len(versions) == 24, "24 versions of the notes")
    teller.command("log documents/notes.md")
    for version in versions[:4]:
        who = laptop.volume.node_name(version.node)
        teller.line(f"{_when(version.time):<16} {who:<8} {speech.size_words(version.size)}")
    teller.line(f"and {len(versions) - 4} more, the first {_when(versions[-1].time)}")
    found = laptop.volume.diff(path, old=versions[1], new=versions[0])
    changed = [line for line in found.lines if line[:1] in "+-" and line[:3] not in ("+++", "---")]
    check(changed, "two versions differ")
    teller.command("diff documents/notes.md")
    for line in changed[:4]:
        teller.line(speech.safe(line.rstrip("\n")))
    plan = laptop.volume.history(b"documents/alps-plan.md")
    check({version.path for version in plan} > {b"documents/alps-plan.md"}, "a rename is followed")
    teller.line("documents/alps-plan.md was called plan.md once: its timeline goes on there")
    then = SYSTEM.now_ns() - 30 * DAY_NS
    old = {entry.path for entry in laptop.volume.view(then).children()}
    now = {entry.path for entry in laptop.volume.view().children()}
    check(b"drafts" in old - now, "the tree of a month ago had drafts")
    teller.command('ls --at "30 days ago"')
    teller.line(", ".join(speech.safe(path) for path in sorted(old)))


def _deleted(teller: Teller, laptop: Site) -> None:
    teller.title("Nothing is lost: a directory deleted weeks ago")
    teller.command("restore drafts")
    done = laptop.volume.restore([b"drafts"])
    check(done.versions >= 5 and not done.problems, "the drafts are back")
    first = laptop.content(b"drafts/draft-1.md") or b""
    check(first.startswith(b"# Draft 1"), "with their content")
    teller.line(
        f"{done.versions} files are back; the first begins {first.splitlines()[0].decode()!r}"
    )


def _undo(teller: Teller, laptop: Site) -> None:
    teller.title("Whatever one does can be undone")
    teller.command("rm novel")
    gone = laptop.volume.rm([b"novel"])
    check(laptop.volume.view().entry(b"novel") is None, "the novel is gone")
    teller.command("undo")
    back = laptop.volume.undo()
    check(laptop.content(b"novel/chapter-1.md"), "the novel is back")
    teller.line(f"{gone.versions} files deleted, {back.versions} back")


def _conflict(teller: Teller, laptop: Site) -> None:
    teller.title("Laptop and cabin edited one table at the same time: both are kept")
    [conflict] = laptop.volume.conflicts()
    teller.command("conflicts")
    for side in conflict.sides:
        who = laptop.volume.node_name(side.node)
        teller.line(f"{speech.safe(conflict.path)}: {who}, {_when(side.time)}")
    check(len(conflict.sides) == 2, "two sides")
    mine = next(side for side in conflict.sides if side.node == laptop.volume.uuid)
    teller.command(f"resolve documents/budget.csv --version {mine.id.hex()[:12]}")
    laptop.volume.resolve([conflict.path], version=mine.id)
    check(not laptop.volume.conflicts(), "the conflict is settled")
    table = laptop.content(conflict.path) or b""
    check(b"train tickets" in table, "by the side that was chosen")
    teller.line("settled: the laptop's side; the cabin's stays in the timeline")


def _until(holds: Callable[[], object], what: str) -> float:
    """Seconds until it holds."""
    begun = time.monotonic()
    while not holds():
        check(time.monotonic() - begun < PATIENCE_SECONDS, what)
        time.sleep(0.005)
    return time.monotonic() - begun


def _together(teller: Teller, stage: Stage, sites: dict[str, Site]) -> None:
    """All three at once, and one of them offline for a while."""
    teller.title("The nodes sync: no server, files only")
    laptop, nas, cabin = sites["laptop"], sites["nas"], sites["cabin"]
    engines = {name: Engine(site.volume, label=name) for name, site in sites.items()}
    for engine in engines.values():
        stage.at_end(engine.close)
        engine.start()
    teller.command("sync --watch")
    view = laptop.volume.view

    def held(path: bytes) -> bool:
        entry = view().entry(path)
        return entry is not None and entry.held == "all"

    _until(lambda: held(b"pictures") and held(b"film"), "what is pinned is pulled")
    check(engines["laptop"].wait_idle(PATIENCE_SECONDS), "then nothing is left to move")
    overall = engines["laptop"].snapshot().overall
    teller.line(
        f"pinned pictures and films came from the nas: {overall.finished} files, "
        f"{speech.size_words(overall.done)}"
    )
    _until(lambda: "change" in engines["cabin"].snapshot().notification, "changes are announced")
    engines["cabin"].wait_idle(5)
    cabin.put("cabin/logbook.md", b"# Logbook\n\nSnow up to the window.\n")
    took = _until(
        lambda: b"window" in (laptop.content(b"cabin/logbook.md") or b""), "a change arrives"
    )
    teller.line(f"a line written in the cabin is readable on the laptop {took:.2f} s later")
    _away(teller, stage, sites, engines)
    nas.put("film/clip-02.mov", b"".join(material.film(2, 24 << 20)))
    took = _until(lambda: held(b"film/clip-02.mov"), "a large file is pulled")
    teller.line(f"a film of 24 MB put on the nas is on the laptop {took:.2f} s later")
    for name, engine in engines.items():
        check(engine.close(), f"the engine of {name} ends")


def _away(teller: Teller, stage: Stage, sites: dict[str, Site], engines: dict[str, Engine]) -> None:
    """The cabin loses its network; both sides go on; it returns."""
    teller.title("The cabin goes offline, and comes back")
    laptop, cabin = sites["laptop"], sites["cabin"]
    engines["cabin"].close()
    connect(stage.directory, "cabin", False)
    engines["laptop"].poke()

    def state() -> str:
        peers = engines["laptop"].snapshot().status.peers
        return next(peer.state for peer in peers if peer.name == "cabin")

    _until(lambda: state() == "offline", "its absence is noticed")
    cabin.put("cabin/wood.md", b"# Wood\n\nEnough for two weeks.\n")
    laptop.put("documents/letter.md", b"Dear cabin, we come on Friday.\n")
    teller.line("the laptop says: cabin is offline; both go on writing")
    check(cabin.content(b"documents/letter.md") is None, "it does not know yet")
    connect(stage.directory, "cabin", True)
    engines["cabin"] = Engine(cabin.volume, label="cabin")
    stage.at_end(engines["cabin"].close)
    engines["cabin"].start()
    _until(lambda: cabin.content(b"documents/letter.md"), "the letter reaches the cabin")
    _until(lambda: laptop.content(b"cabin/wood.md"), "the cabin's news reach the laptop")
    _until(lambda: state() == "online", "its return is noticed")
    teller.line("back online: each has what the other wrote")


def _verify(teller: Teller, laptop: Site) -> None:
    teller.title("All of it checked, block by block")
    teller.command("verify")
    done = laptop.volume.verify()
    check(done.damaged == 0, "nothing is damaged")
    teller.line(f"{done.checked} checked, 0 damaged")
    home = os.path.join(laptop.directory, "out")
    teller.command(f"restore code --to {home}")
    laptop.volume.restore([b"code"], to=home)
    for package in material.PACKAGES_FIRST:
        for path, content in material.library(package):
            with open(os.path.join(home, "code", path), "rb") as file:
                check(file.read() == content, f"{path} as it was")
    teller.line("restored outside the volume, every file equal to the library's own")
