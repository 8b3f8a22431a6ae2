"""Two months in the life of three nodes, in a second or two: what the demo begins with."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, field

from globofs.demo import material
from globofs.demo.stage import DAY_NS, HOUR_NS, NAMES, Site, Stage, StoryClock
from globofs.store.clock import SYSTEM

DAYS = 63
Event = tuple[float, int, Callable[[int], None]]


@dataclass
class Past:
    """The script being written: what happens how many days ago, by whom."""

    sites: dict[str, Site]
    clock: StoryClock
    now: int
    events: list[Event] = field(default_factory=list)

    def at(self, days_ago: float, what: Callable[[int], None]) -> None:
        """Something happens; it is given the time."""
        self.events.append((-days_ago, len(self.events), what))

    def put(self, days_ago: float, who: str, path: str, content: Callable[[], bytes]) -> None:
        """Somebody saves a file."""
        self.at(days_ago, lambda when: self.sites[who].put(path, content(), when))

    def play(self) -> None:
        """Let it all happen, in order."""
        for days, _, what in sorted(self.events, key=lambda event: event[:2]):
            when = self.now + int(days * DAY_NS)
            self.clock.set(when)
            what(when)


def build(stage: Stage) -> dict[str, Site]:
    """Make the nodes with their history. The sites returned live in the story's time; whoever
    goes on in the present opens the volumes anew."""
    now = SYSTEM.now_ns()
    clock = StoryClock(now - DAYS * DAY_NS)
    sites = {name: Site.make(stage.directory, name, clock) for name in NAMES}
    for site in sites.values():
        stage.at_end(site.close)
    for name, site in sites.items():
        site.meet(*(other for other in NAMES if other != name))
    past = Past(sites, clock, now)
    _code(past)
    _documents(past)
    _drafts(past)
    _pictures(past)
    _logbook(past)
    for days in (45.0, 21.0, 1.2):
        past.at(days, lambda when: _exchange(past))
    _conflict(past)
    past.play()
    _exchange(past)
    _last_touch(sites["laptop"])
    return sites


def _exchange(past: Past) -> None:
    """Everybody syncs; the laptop last, so that it has heard of everything."""
    for name in ("cabin", "nas", "laptop"):
        past.sites[name].volume.sync(rounds=1, deadline=5)


def _code(past: Past) -> None:
    laptop = past.sites["laptop"]

    def add(when: int) -> None:
        for package in material.PACKAGES_FIRST:
            for path, content in material.library(package):
                laptop.write(os.path.join("code", path), content, when)
        laptop.add("code")

    past.at(62.9, add)


def _documents(past: Past) -> None:
    notes = material.Document("Alps in autumn", 1)
    budget = material.Budget(2)
    plan = material.Document("Plan", 3, lines=4)

    def edited(document: material.Document | material.Budget) -> Callable[[], bytes]:
        def content() -> bytes:
            document.edit()
            return document.bytes()

        return content

    for number in range(24):
        past.put(60 - number * 2.45, "laptop", "documents/notes.md", edited(notes))
    for number in range(10):
        past.put(55.3 - number * 5.2, "laptop", "documents/budget.csv", edited(budget))
    for number in range(3):
        past.put(50.1 - number * 4, "laptop", "documents/plan.md", edited(plan))

    def rename(when: int) -> None:
        laptop = past.sites["laptop"]
        laptop.volume.mv(b"documents/plan.md", b"documents/alps-plan.md")
        old = os.path.join(laptop.home, "documents/plan.md")
        os.rename(old, os.path.join(laptop.home, "documents/alps-plan.md"))

    past.at(30.2, rename)
    for number in range(3):
        past.put(28.4 - number * 6, "laptop", "documents/alps-plan.md", edited(plan))
    for chapter in range(1, 4):
        novel = material.Document(f"Chapter {chapter}", 10 + chapter, lines=30)
        for number in range(5):
            path = f"novel/chapter-{chapter}.md"
            past.put(48 - chapter * 4 - number * 7.1, "laptop", path, edited(novel))


def _drafts(past: Past) -> None:
    """A folder that was deleted: it can be had back."""
    laptop = past.sites["laptop"]

    def add(when: int) -> None:
        for number in range(5):
            draft = material.Document(f"Draft {number + 1}", 40 + number)
            laptop.write(f"drafts/draft-{number + 1}.md", draft.bytes(), when)
        laptop.add("drafts")

    past.at(40, add)
    past.at(20, lambda when: _ignore(laptop.volume.rm([b"drafts"])))


def _ignore(result: object) -> None:
    """A verb's result that the story does not need."""


def _pictures(past: Past) -> None:
    nas = past.sites["nas"]

    def folder(name: str, first: int, count: int) -> Callable[[int], None]:
        def add(when: int) -> None:
            for number in range(count):
                at = when - (count - number) * HOUR_NS
                path = f"pictures/{name}/IMG_{first + number:04}.png"
                nas.write(path, material.picture(first + number), at)
            nas.add(f"pictures/{name}")

        return add

    past.at(57, folder("lake", 101, 3))
    past.at(25, folder("alps", 201, 4))

    def film(when: int) -> None:
        nas.put("film/clip-01.mov", b"".join(material.film(1, 4 << 20)), when)

    past.at(24.6, film)


def _logbook(past: Past) -> None:
    logbook = material.Document("Logbook of the cabin", 60, lines=3)

    def content() -> bytes:
        logbook.edit()
        return logbook.bytes()

    for number in range(7):
        past.put(44 - number * 6.2, "cabin", "cabin/logbook.md", content)


def _conflict(past: Past) -> None:
    """Laptop and cabin edit one table without hearing of each other."""
    laptop, cabin = past.sites["laptop"], past.sites["cabin"]
    path = "documents/budget.csv"

    def edit(site: Site, remark: str) -> Callable[[int], None]:
        def change(when: int) -> None:
            found = site.content(os.fsencode(path)) or b""
            lines = found.decode().splitlines()
            lines.insert(len(lines) - 1, f",{remark},")
            site.put(path, ("\n".join(lines) + "\n").encode(), when)

        return change

    past.at(0.9, edit(laptop, "train tickets are paid"))
    past.at(0.8, edit(cabin, "wood for the winter: ask Mara"))


def _last_touch(laptop: Site) -> None:
    """The laptop wants all pictures and films at hand; the cabin's things only when asked."""
    laptop.volume.pin(b"pictures")
    laptop.volume.pin(b"film")
