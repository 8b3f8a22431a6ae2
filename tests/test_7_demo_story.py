"""The demo: what it begins with, its story as text, and the others who go on living."""

from __future__ import annotations

import os
import struct
import subprocess
import sys
import time
import zlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from globofs.demo import live, material, run
from globofs.demo.build import build
from globofs.demo.stage import DAY_NS, Site, Stage, connect
from globofs.engine.engine import Engine
from globofs.errors import NotEmpty
from globofs.volume import Volume
from tests.helpers_engine import until


@pytest.fixture
def stage() -> Iterator[Stage]:
    with Stage() as made:
        yield made


def test_the_story_holds_and_leaves_nothing_behind() -> None:
    said: list[str] = []
    begun = time.monotonic()
    assert run(headless=True, say=said.append) == 0
    assert time.monotonic() - begun < 20
    place = said[0].split(" in ", 1)[1].split(":")[0]
    assert os.path.isabs(place)
    assert not os.path.exists(place)
    text = "\n".join(said)
    for words in ("deleted weeks ago", "conflict", "offline", "readable on the laptop", "verify"):
        assert words in text
    assert "0 damaged" in text


def test_what_is_kept_is_a_volume_to_go_on_with(tmp_path: Path) -> None:
    place = tmp_path / "kept"
    assert run(headless=True, keep=str(place), say=lambda line: None) == 0
    with Volume.open(str(place / "laptop")) as volume:
        assert volume.view().entry(b"documents/notes.md") is not None
        assert volume.verify().damaged == 0
    with pytest.raises(NotEmpty):
        run(headless=True, keep=str(place), say=lambda line: None)


def test_two_months_are_made_in_seconds_and_spread_over_days(stage: Stage) -> None:
    begun = time.monotonic()
    laptop = build(stage)["laptop"].volume
    assert time.monotonic() - begun < 6, "on a quiet machine it is one"
    times = [version.time for version in laptop.history(b"documents/notes.md")]
    assert len(times) == 24
    assert times == sorted(times, reverse=True)
    days = {when // DAY_NS for when in times}
    assert len(days) >= 22
    assert max(times) < time.time_ns(), "nothing comes from the future"
    assert max(times) - min(times) > 50 * DAY_NS
    moments = [operation.time for operation in laptop.operations(limit=1000)]
    assert len(moments) > 60
    assert all(when < time.time_ns() for when in moments)
    written_by = {laptop.node_name(v.node) for v in laptop.history_below(b"", limit=1000)}
    assert written_by == {"laptop", "nas", "cabin"}


def test_there_is_something_of_everything(stage: Stage) -> None:
    laptop = build(stage)["laptop"].volume
    view = laptop.view()
    assert [conflict.path for conflict in laptop.conflicts()] == [b"documents/budget.csv"]
    assert view.entry(b"drafts") is None
    assert view.entry(b"drafts", deleted=True) is not None
    renamed = laptop.history(b"documents/alps-plan.md")
    assert {version.path for version in renamed} == {
        b"documents/plan.md",
        b"documents/alps-plan.md",
    }
    held = {entry.path: entry.held for entry in view.children()}
    assert held[b"code"] == "all"
    assert held[b"pictures"] == held[b"film"] == "none"


def test_pictures_are_pictures_and_the_same_each_time() -> None:
    data = material.picture(7)
    assert data == material.picture(7)
    assert data != material.picture(8)
    assert data[:8] == b"\x89PNG\r\n\x1a\n"
    chunks, at = {}, 8
    while at < len(data):
        size, kind = struct.unpack(">I4s", data[at : at + 8])
        body = data[at + 8 : at + 8 + size]
        check = int.from_bytes(data[at + 8 + size : at + 12 + size], "big")
        assert check == zlib.crc32(kind + body)
        chunks[kind] = body
        at += 12 + size
    width, height = struct.unpack(">II", chunks[b"IHDR"][:8])
    assert len(zlib.decompress(chunks[b"IDAT"])) == (width + 1) * height
    assert len(chunks[b"PLTE"]) == 768
    assert 10_000 < len(data) < 100_000


def test_documents_change_with_every_edit() -> None:
    document = material.Document("Notes", 5)
    seen = {document.bytes()}
    for _ in range(40):
        document.edit()
        seen.add(document.bytes())
    assert len(seen) > 35
    again = material.Document("Notes", 5)
    for _ in range(40):
        again.edit()
    assert again.bytes() == document.bytes()


def test_the_others_go_on_living_and_the_cabin_comes_and_goes(stage: Stage, monkeypatch) -> None:
    monkeypatch.setattr(live, "FILM_BYTES", 3 << 20)
    monkeypatch.setattr(live, "OFFLINE_FIRST", 4.0)
    monkeypatch.setattr(live, "OFFLINE_SECONDS", 3.0)
    for site in build(stage).values():
        site.close()
    laptop = Site.open(stage.directory, "laptop")
    with Engine(laptop.volume, label="test") as engine:
        others = live.Live(stage.directory)
        seen: list[str] = []

        def watch() -> None:
            def both() -> bool:
                peers = engine.snapshot().status.peers
                cabin = next(peer.state for peer in peers if peer.name == "cabin")
                if not seen or seen[-1] != cabin:
                    seen.append(cabin)
                film = laptop.volume.view().entry(b"film/summit.mov")
                came_back = seen[-3:] == ["online", "offline", "online"]
                return came_back and film is not None and film.held == "all"

            assert until(both, 30), seen

        others.run(watch)
        assert len(laptop.volume.history(b"cabin/logbook.md")) > 7
        assert laptop.volume.view().entry(b"archive") is not None
    others.nas.close()
    others.cabin.close()
    laptop.close()


def test_the_company_ends_with_whoever_looks(stage: Stage) -> None:
    for site in build(stage).values():
        site.close()
    company = live.Company(stage.directory)
    company.start()
    process = company._process
    assert process is not None
    run_directory = os.path.join(stage.directory, "nas", "local", "run")
    assert until(lambda: any(n.endswith(".json") for n in os.listdir(run_directory)), 10)
    begun = time.monotonic()
    company.stop()
    assert time.monotonic() - begun < 3.5
    assert process.poll() == 0, Path(stage.directory, "others.log").read_text()


def test_the_company_ends_when_the_one_who_looks_is_killed(stage: Stage) -> None:
    for site in build(stage).values():
        site.close()
    code = (
        "import sys, time; from globofs.demo.live import Company; c = Company(sys.argv[1]);"
        " c.start(); print(c._process.pid, flush=True); time.sleep(60)"
    )
    looker = subprocess.Popen([sys.executable, "-c", code, stage.directory], stdout=subprocess.PIPE)
    assert looker.stdout is not None
    pid = int(looker.stdout.readline())
    time.sleep(1.0)
    looker.kill()
    looker.wait()

    def gone() -> bool:
        try:
            with open(f"/proc/{pid}/stat") as file:
                return file.read().rpartition(")")[2].split()[0] == "Z"
        except FileNotFoundError:
            return True

    assert until(gone, 6)


def test_pulling_the_plug_and_plugging_in_twice_is_harmless(tmp_path: Path) -> None:
    (tmp_path / "nas").mkdir()
    for up in (True, True, False, False, True):
        connect(str(tmp_path), "nas", up)
        assert (tmp_path / "network" / "nas").exists() == up
