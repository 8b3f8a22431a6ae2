"""Every screen's empty, loading, error, full, vanished and read-only state, in words."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest

from globofs.engine.engine import Engine
from globofs.errors import GlobofsError, NoVolume
from globofs.events import ignore
from globofs.store import home
from globofs.tui.app import GlobofsApp, volume_opener
from globofs.tui.face import Face
from globofs.tui.widgets.text_view import TextView
from globofs.tui.widgets.virtual_list import VirtualList
from globofs.volume import Volume
from tests import helpers_tui as fake
from tests.helpers_story import make_nodes
from tests.test_8_tui_screens import Bench, _utc, bench

__all__ = ["_utc"]


class Torn(GlobofsError):
    """the index cannot be read"""


def said(b: Bench) -> str:
    """Everything on the screen as text."""
    found = []
    for pane in (*b.screen.query(VirtualList), *b.screen.query(TextView)):
        found += [pane.render_line(y).text.rstrip() for y in range(pane.size.height)]
    return "\n".join(found)


async def shown(b: Bench, key: str) -> str:
    """A mode's screen, once it has what it shows."""
    await b.keys(key)
    await b.settle()
    return said(b)


async def test_empty() -> None:
    volume = fake.FakeVolume()
    async with bench(volume=volume) as b:
        b.engine.peers = b.engine.moves = ()
        b.engine.overall = fake.Overall()
        b.engine.changed()
        text = await shown(b, "1")
        assert "No files yet" in text
        assert "a adds a folder" in text
        text = await shown(b, "2")
        assert "Nothing to move" in text
        assert "a" in text
        text = await shown(b, "3")
        assert "No peers yet" in text
        assert "a adds one" in text
        text = await shown(b, "4")
        assert "No conflicts" in text
        assert "Nothing to settle" in text
        assert "Nothing happened yet" in await shown(b, "5")


async def test_conflicts_say_when_the_last_was_settled() -> None:
    async with bench() as b:
        await shown(b, "4")
        await b.keys("a")
        await b.until(lambda: b.volume.done)
        await b.settle()
        assert "The last one was settled" in said(b)


@pytest.mark.parametrize(
    ("key", "method", "wait"),
    [
        ("4", "conflicts", "looking for conflicts"),
        ("5", "operations", "reading the log"),
    ],
)
async def test_loading_names_what_is_waited_for_and_since_when(
    key: str, method: str, wait: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    volume, gate = fake.full_volume(), threading.Event()
    real = getattr(volume, method)

    def slow(*args: Any, **how: Any) -> Any:
        gate.wait(20)
        return real(*args, **how)

    async with bench(volume=volume) as b:
        monkeypatch.setattr(volume, method, slow)
        await b.pilot.press(key)
        await b.until(lambda: b.screen.is_ready and wait in said(b))
        await b.until(lambda: f"{wait}, 1 s" in b.app.busy_words())
        gate.set()
        await b.settle()


async def test_loading_the_tree() -> None:
    volume = fake.full_volume()
    volume.delay = threading.Event()
    engine = fake.busy_engine(volume)
    app = GlobofsApp(lambda emit: (volume, engine), now=lambda: fake.NOW)  # type: ignore[arg-type,return-value]
    async with app.run_test(size=(120, 40)) as pilot:
        b = Bench(app, pilot, volume, engine)
        await b.until(lambda: app.is_open)
        assert "reading the tree" in said(b)
        await b.until(lambda: "reading the tree, 1 s" in app.busy_words())
        volume.delay.set()
        await b.settle()
        assert "2026" in said(b)
        app._exit = True


@pytest.mark.parametrize(
    ("key", "method", "words"),
    [
        ("4", "conflicts", "The conflicts cannot be read"),
        ("5", "operations", "The log cannot be read"),
    ],
)
async def test_errors_stand_where_the_rows_would(
    key: str, method: str, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    volume = fake.full_volume()

    def broken(*args: Any, **how: Any) -> Any:
        raise Torn

    async with bench(volume=volume) as b:
        monkeypatch.setattr(volume, method, broken)
        text = await shown(b, key)
        assert words in text
        assert "the index cannot be read" in text


async def test_errors_of_tree_history_and_content(monkeypatch: pytest.MonkeyPatch) -> None:
    volume = fake.full_volume()

    def broken(*args: Any, **how: Any) -> Any:
        raise Torn

    async with bench(volume=volume) as b:
        monkeypatch.setattr(volume, "read_held", broken)
        await b.go_to(b"2026/alps/notes.md")
        assert "This cannot be shown" in said(b)
        monkeypatch.setattr(volume, "history", broken)
        await b.go_to(b"budget.csv")
        assert "This history cannot be read" in said(b)


async def test_a_side_that_is_not_here_says_who_has_it() -> None:
    volume = fake.full_volume()
    nas = volume.operation("add", ("/srv",), 9 * fake.SECOND, fake.NAS)
    volume.put(nas, "2026/alps/view.png", None, size=3 << 20, missing=3, rival=True)
    async with bench(volume=volume) as b:
        await shown(b, "4")
        await b.keys("down")
        text = said(b)
        assert "Not on this node" in text
        assert "nas wrote it and should have it" in text
        assert "b fetches it now" in text


async def test_a_peers_error_stands_in_its_row() -> None:
    async with bench() as b:
        text = await shown(b, "3")
        assert "nothing is mounted at" in text
        assert "stuck" in text


async def test_a_full_disk_is_said_and_nothing_is_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*args: Any, **how: Any) -> Any:
        raise OSError(28, "No space left on device", "/home/anna/Trips")

    async with bench() as b:
        monkeypatch.setattr(b.volume, "rm", full)
        await b.go_to(b"budget.csv")
        await b.keys("delete")
        await b.until(b.toasts)
        assert "space" in b.toasts()[-1].lower()
        assert "budget.csv" in said(b)


async def test_a_vanished_volume_dims_what_every_mode_shows() -> None:
    async with bench() as b:
        for key in "12345":
            await shown(b, key)
        b.engine.error = "/home/anna/Trips has vanished: is its disk mounted?"
        b.engine.changed()
        for key in "12345":
            await b.keys(key)
            await b.until(lambda: b.screen.banner.level == "error")
            panes = [*b.screen.query(VirtualList), *b.screen.query(TextView)]
            assert all(pane.dim for pane in panes), key
            assert "vanished" in "".join(text for text, _ in b.screen.banner.parts)
        b.engine.error = ""
        b.engine.changed()
        await b.until(lambda: not b.screen.vanished)
        assert not any(pane.dim for pane in b.screen.query(VirtualList))


async def test_a_volume_that_may_be_there_twice_says_so_and_what_to_do() -> None:
    """On every screen, but where that tells of another time; until it is said that it was moved."""

    def banner() -> str:
        return "".join(text for text, _ in b.screen.banner.parts)

    volume = fake.full_volume()
    volume.elsewhere = home.ELSEWHERE
    async with bench(volume=volume) as b:
        for key in "12345":
            await shown(b, key)
            await b.until(
                lambda: "copied, moved or restored from a backup  : Moved here" in banner()
            )
            assert len(banner()) < 80
        await b.keys("1", "[")
        assert "AS OF" in banner()
        await b.keys("T", ":", *"moved here", "enter")
        await b.until(lambda: type(b.screen).__name__ == "ChoiceDialog")
        lines = b.screen.query_one("#choice-lines")
        told = " ".join(lines.render_line(y).text.strip() for y in range(lines.size.height))
        assert "agrees to no prune" in told
        assert "say it of the other then" in told, "all of it is on the screen"
        await b.keys("n")
        assert ("moved",) not in volume.done
        await b.keys(":", *"moved here", "enter", "y")
        await b.until(lambda: ("moved",) in volume.done)
        await b.settle()
        assert "Noted: this volume is used here and nowhere else" in b.toasts()
        b.engine.changed()
        await b.until(lambda: not banner())
        await b.keys(":", *"moved here", "enter")
        await b.until(lambda: "It is where it was: there is nothing to say" in b.toasts())


@pytest.mark.parametrize(
    ("mode", "key"),
    [("1", "delete"), ("1", "a"), ("3", "a"), ("4", "a"), ("5", "u"), ("1", "z"), ("1", "B")],
)
async def test_read_only_refuses_every_write_in_words(mode: str, key: str) -> None:
    async with bench(volume=fake.full_volume(readonly=True)) as b:
        await shown(b, mode)
        await b.keys(key)
        assert "Opened read only" in b.toasts()
        assert b.screen.title_bar.title_shown.readonly
        assert not b.volume.done


async def test_a_volume_that_cannot_be_opened_leads_to_the_start_screen() -> None:
    def opener(emit: Any) -> Any:
        raise NoVolume(path="/mnt/gone")

    app = GlobofsApp(opener)
    async with app.run_test(size=(100, 30)) as pilot:
        b = Bench(app, pilot, fake.FakeVolume(), fake.FakeEngine(fake.FakeVolume()))
        await b.until(lambda: app.current_mode == "start")
        await pilot.pause(0.1)
        assert "/mnt/gone" in said(b) + app.error_words


def test_an_app_that_lacks_a_verb_cannot_be_made() -> None:
    with pytest.raises(TypeError, match="abstract"):
        Face()  # type: ignore[abstract]


def test_a_volume_whose_engine_does_not_start_is_closed_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (at,) = make_nodes(tmp_path, "node")
    closed: list[str] = []
    close = Volume.close

    def closing(volume: Volume) -> None:
        closed.append(volume.directory)
        close(volume)

    def refuse(engine: Engine) -> Engine:
        raise GlobofsError("no more threads")

    monkeypatch.setattr(Volume, "close", closing)
    monkeypatch.setattr(Engine, "start", refuse)
    with pytest.raises(GlobofsError, match="no more threads"):
        volume_opener(str(at.volume), False)(ignore)
    assert closed == [str(at.volume)]


async def test_what_was_asked_in_vain_is_said_and_may_be_asked_again() -> None:
    def gone(*_: Any, **__: Any) -> Any:
        raise GlobofsError("the index is gone")

    async with bench() as b:
        b.volume.came_from = b.volume.operations = gone  # type: ignore[assignment,method-assign]
        for key in ("A", "["):
            await b.keys(key)
            assert b.toasts().pop() == "the index is gone", key
            b.app.clear_notifications()
        del b.volume.operations
        await b.keys("5")
        log = b.screen
        log.more, b.volume.operations = True, gone  # type: ignore[method-assign]
        log._older()
        await b.settle()
        assert b.toasts() == ["the index is gone"]
        assert log.more


async def test_a_tree_that_keeps_changing_is_read_again_now_and_then() -> None:
    async with bench() as b:
        for mode in ("4", "5"):
            await b.keys(mode)
            screen, asked = b.screen, []
            screen.volume_opened = lambda asked=asked: asked.append(1)
            known = b.app.snapshot
            assert known is not None
            for step in range(1, 30):
                screen.take(fake.replace(known, tree_serial=known.tree_serial + step))
            assert not asked
            await b.until(lambda asked=asked: asked)  # type: ignore[misc]
            assert len(asked) == 1
