"""The screens, driven by keys: what they show, what they ask of the volume, what never happens."""

from __future__ import annotations

import asyncio
import os
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from textual.pilot import Pilot
from textual.widgets import Input

from globofs.errors import GlobofsError, NoVolume
from globofs.tui import words
from globofs.tui.app import GlobofsApp
from globofs.tui.screens.dialogs import PickDialog
from globofs.tui.screens.peers import standing
from globofs.tui.settings import Settings
from globofs.tui.widgets.paint import Column
from globofs.tui.widgets.virtual_list import Rows, VirtualList
from tests import helpers_tui as fake


@pytest.fixture(autouse=True)
def _utc(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("TZ", "UTC")
    monkeypatch.setenv("TEXTUAL_ANIMATIONS", "none")
    time.tzset()
    yield
    time.tzset()


class Bench:
    """An app over paper, and ways to wait for it."""

    def __init__(
        self, app: GlobofsApp, pilot: Pilot[Any], volume: fake.FakeVolume, engine: fake.FakeEngine
    ) -> None:
        self.app, self.pilot, self.volume, self.engine = app, pilot, volume, engine

    async def until(self, happened: Callable[[], object], seconds: float = 5) -> None:
        end = time.monotonic() + seconds
        while not happened():
            assert time.monotonic() < end, "it did not happen"
            await self.pilot.pause(0.02)

    async def keys(self, *keys: str) -> None:
        for key in keys:
            await self.pilot.press(key)
        await self.settle()

    async def settle(self) -> None:
        for _ in range(200):
            await self.pilot.pause(0.03)
            if not self.app.bridge.waits() and not self.app.bridge.acts:
                break
        await self.pilot.pause(0.15)
        for _ in range(200):
            if not self.app.bridge.waits() and not self.app.bridge.acts:
                return
            await self.pilot.pause(0.03)

    @property
    def screen(self) -> Any:
        return self.app.screen

    def rows(self, id: str) -> list[str]:
        pane = self.screen.query_one(f"#{id}", VirtualList)
        return [pane.render_line(y).text.rstrip() for y in range(pane.size.height)]

    def toasts(self) -> list[str]:
        return [note.message for note in self.app._notifications]

    async def go_to(self, path: bytes) -> None:
        self.screen.reveal(path)
        await self.settle()
        await self.settle()


@asynccontextmanager
async def bench(size: tuple[int, int] = (120, 40), **how: Any) -> AsyncIterator[Bench]:
    volume = how.pop("volume", None) or fake.full_volume()
    engine = fake.busy_engine(volume)
    app = GlobofsApp(lambda emit: (volume, engine), now=lambda: fake.NOW, **how)  # type: ignore[arg-type,return-value]
    async with app.run_test(size=size) as pilot:
        made = Bench(app, pilot, volume, engine)
        await made.until(lambda: app.is_open and app.snapshot is not None)
        await made.settle()
        yield made
        app._exit = True  # as leaving does: answers that are still on their way are dropped
    await asyncio.to_thread(app.bridge.close, 1.0)


async def test_the_tree_the_timeline_and_the_difference_follow_the_cursor() -> None:
    async with bench() as b:
        await b.go_to(b"2026/alps/notes.md")
        assert any("notes.md" in row and "••••" in row for row in b.rows("tree"))
        assert any("+53 B" in row and "laptop" in row for row in b.rows("versions"))
        assert b.screen.detail.page_shown.title == "Diff from the version before"
        await b.keys("p")
        assert "newest" in b.screen.detail.page_shown.title
        await b.keys("i")
        assert b.screen.detail.page_shown.title == "Preview"
        await b.keys("I")
        assert b.screen.detail.page_shown.title == "Details"


async def test_directories_open_close_and_climb() -> None:
    async with bench() as b:
        await b.keys("down", "enter")
        assert b.screen.wish.opened == {b"2026"}
        await b.keys("right", "right")
        assert b.screen.selected.path == b"2026/alps"
        await b.keys("left", "left")
        assert b.screen.selected.path == b"2026"
        await b.keys("left")
        assert b.screen.wish.opened == frozenset()


async def test_restore_undo_redo() -> None:
    async with bench() as b:
        await b.go_to(b"2026/alps/notes.md")
        assert b.app.why_not(b.screen, "restore")
        await b.keys("tab", "down", "r")
        await b.until(lambda: b.volume.done)
        await b.settle()
        assert b.volume.done[-1][0] == "restore"
        alone = "in the volume alone, R also in /home/anna/Trips/2026/alps/notes.md"
        then = "as of 1 day ago (2026-11-17 09:06)"
        assert f"Restored 1 file {then} {alone} · z undoes" in b.toasts()
        assert len(b.volume.history(b"2026/alps/notes.md")) == 5
        await b.keys("z")
        await b.until(lambda: b.volume.done[-1][0] == "undo")
        await b.settle()
        assert "Undone: 1 item · Z redoes" in b.toasts()  # directories are counted, so not "file"
        await b.keys("Z")
        await b.until(lambda: b.volume.done[-1][0] == "redo")


async def test_back_to_the_folder_it_came_from_after_a_plan() -> None:
    async with bench() as b:
        await b.go_to(b"2026/alps/notes.md")
        await b.keys("tab", "down", "R")
        await b.until(lambda: type(b.screen).__name__ == "AskDialog")
        assert b.screen.query_one(Input).value == "/home/anna/Trips/2026/alps/"
        b.screen.query_one(Input).value = "/home/anna/Trips/2026/alps"
        await b.settle()
        b.screen.dismiss("/home/anna/Trips/2026/alps/")
        await b.until(lambda: type(b.screen).__name__ == "PlanDialog")
        await b.keys("R")
        await b.until(lambda: b.volume.done)
        assert b.volume.done[-1][0] == "restore_back"
        await b.settle()
        assert "what lay there is kept as a version" in b.toasts()[-1]


async def test_a_restore_of_many_shows_a_plan_and_the_same_key_confirms() -> None:
    async with bench() as b:
        await b.go_to(b"2026")
        await b.keys("tab", "down", "down", "down", "r")
        await b.until(lambda: type(b.screen).__name__ == "PlanDialog")
        assert not b.volume.done
        await b.keys("escape")
        assert not b.volume.done
        await b.keys("r")
        await b.until(lambda: type(b.screen).__name__ == "PlanDialog")
        await b.keys("r")
        await b.until(lambda: b.volume.done and b.volume.done[-1][0] == "restore")


async def test_time_travel_keeps_the_cursor_and_says_so() -> None:
    async with bench() as b:
        await b.go_to(b"budget.csv")
        await b.keys("[", "[", "[", "[")
        assert b.screen.wish.at is not None
        assert b.screen.selected.path == b"budget.csv"
        said, keys, _ = "".join(text for text, _ in b.screen.banner.parts).partition("[ ]")
        assert "AS OF" in said
        assert " now  after: " in said
        assert keys
        assert len(said) < 80, "on 80 columns it is told what it is after"
        assert b.app.why_not(b.screen, "add").startswith("the past cannot be changed")
        before = b.screen.wish.at
        await b.keys("]")
        assert b.screen.wish.at > before
        await b.keys("T")
        assert b.screen.wish.at is None
        await b.keys("t", *"2 days ago", "enter")
        assert b.screen.wish.at == fake.NOW - 2 * fake.DAY


async def test_marks_ranges_filter_and_escape() -> None:
    async with bench() as b:
        await b.keys("space", "space")
        assert b.screen.tree_list.marks == {b"2025", b"2026"}
        sizes = [b.screen.tree_source.row(at).entry.size for at in (0, 1)]
        foot = f"2 marked, {words.size_words(sum(sizes))}"
        assert foot in b.screen._tree_foot()
        b.screen.count_marks = lambda: pytest.fail("a move adds up all that is marked")
        await b.keys("j", "k")
        assert foot in b.screen._tree_foot()
        del b.screen.count_marks
        await b.keys("escape")
        assert not b.screen.tree_list.marks
        await b.keys("slash", *"img")
        assert any("IMG_0001.raw" in row for row in b.rows("tree"))
        await b.keys("enter", "n")
        assert b.screen.wish.filter == "img"
        await b.keys("escape")
        assert b.screen.wish.filter == ""
        await b.keys("home", "v", "down", "down")
        assert len(b.screen.chosen()) == 3


async def test_find_goes_anywhere() -> None:
    async with bench() as b:
        await b.keys("f", *"rout")
        await b.settle()
        await b.keys("enter")
        await b.settle()
        assert b.screen.selected.path == b"2026/alps/route.py"


async def test_fetch_pin_delete_rename_add() -> None:
    async with bench() as b:
        await b.go_to(b"2026/alps/film.mkv")
        await b.keys("b")
        await b.until(lambda: ("mirror", b"2026/alps/film.mkv") in b.volume.done)
        await b.keys("B")
        await b.until(lambda: b.volume.pins == {b"2026/alps/film.mkv"})
        await b.keys("delete")
        await b.until(lambda: b.volume.done[-1] == ("rm", (b"2026/alps/film.mkv",)))
        await b.settle()
        await b.go_to(b"budget.csv")
        await b.keys("f2", "end", *"x", "enter")
        await b.until(lambda: b.volume.done[-1] == ("mv", b"budget.csv", b"budget.csvx"))


async def test_add_judges_the_path_while_it_is_typed(tmp_path: Any) -> None:
    async with bench() as b:
        await b.keys("a")
        box = b.screen.query_one(Input)
        box.value = str(tmp_path / "nothing")
        await b.settle()
        assert b.screen._verdict.good is False
        box.value = str(tmp_path)
        await b.settle()
        assert b.screen._verdict.good is True
        await b.keys("enter")
        await b.until(lambda: b.volume.done and b.volume.done[-1][0] == "add")


async def test_sync_shows_moves_and_steers() -> None:
    async with bench() as b:
        await b.keys("2")
        rows = b.rows("moves")
        assert any("film.mkv" in row and "70 %" in row for row in rows)
        assert any("only phone" in row for row in rows)
        await b.keys("U")
        await b.until(lambda: ("bump", b"2026/alps/film.mkv") in b.engine.asked)
        await b.keys("P")
        await b.until(lambda: ("pause", b"2026/alps/film.mkv") in b.engine.asked)
        await b.keys("exclamation_mark")
        assert len(b.screen.queue.moves) == 2
        await b.keys("f5")
        await b.until(lambda: ("retry",) in b.engine.asked)


async def test_names_of_what_is_done_have_the_room_of_the_bars() -> None:
    async with bench((80, 24)) as b:
        await b.keys("2")
        path = b"2026/alps/hut/IMG_4711.raw"
        b.engine.moves = (fake.replace(fake.MOVES[-1], path=path),)
        b.engine.changed()
        await b.until(lambda: any(path.decode() in row for row in b.rows("moves")))


async def test_the_log_fetches_and_asks_why() -> None:
    async with bench() as b:
        await b.keys("5")
        await b.until(lambda: b.screen.files)
        assert b.screen.why_not("fetch") == "its content is here"
        row = next(i for i, op in enumerate(b.screen.found) if op.args[0].endswith("media"))
        b.screen.op_list.go_to(row)
        await b.until(lambda: b.screen.files and b.screen.files[0].missing)
        await b.keys("b")
        await b.until(lambda: not b.screen.files[0].missing)
        await b.keys("w")
        await b.until(lambda: type(b.screen).__name__ == "SayDialog")


async def test_why_nothing_can_be_found_is_said() -> None:
    def find(text: str) -> Any:
        raise GlobofsError("the index is gone")

    async with bench() as b:
        await b.app.push_screen(PickDialog("Find", (Column("path", "path"),), find, slow=True))
        await b.until(lambda: any("the index is gone" in row for row in b.rows("pick-list")))


async def test_rows_move_while_it_happens() -> None:
    async with bench() as b:
        await b.keys("2")
        b.engine.moves = (fake.replace(fake.MOVES[0], done=480_000_000), *fake.MOVES[1:])
        b.engine.changed()
        await b.until(lambda: any("99 %" in row for row in b.rows("moves")))


async def test_peers_explain_themselves_and_can_be_added(tmp_path: Any) -> None:
    async with bench() as b:
        await b.keys("3", "down")
        page = b.screen.query_one("#peer-detail").page_shown
        assert any("nothing is mounted" in text for line in page.lines for text, _ in line)
        await b.keys("a", *"cellar", "tab")
        b.screen.query_one("#peer-path", Input).value = str(tmp_path)
        await b.settle()
        assert b.screen._verdict.good is False
        await b.keys("enter")
        assert any("Not added: " in toast.message for toast in b.app._notifications)
        await b.keys("escape")
        assert type(b.screen).__name__ == "PeersScreen"


async def test_conflicts_are_settled_by_side() -> None:
    async with bench() as b:
        await b.keys("4")
        await b.settle()
        assert any(
            "packing.txt" in row and "laptop and phone" in row for row in b.rows("conflicts")
        )
        await b.keys("enter", "down")
        phone = b.screen.side()
        await b.keys("enter")
        await b.until(lambda: b.volume.done and b.volume.done[-1][0] == "resolve")
        assert b.volume.done[-1][2] == phone.id
        await b.settle()
        assert any("No conflicts" in row for row in b.rows("conflicts"))


async def test_the_log_goes_to_a_moment() -> None:
    async with bench() as b:
        await b.keys("5")
        await b.settle()
        assert any("added odd" in row for row in b.rows("operations"))
        await b.keys("down", "down", "down", "enter")
        await b.settle()
        assert b.app.current_mode == "files"
        assert b.screen.wish.at is not None


async def test_help_lists_and_runs() -> None:
    async with bench() as b:
        await b.keys("question_mark", *"larger")
        await b.keys("enter")
        await b.settle()
        assert b.screen.zoomed


async def test_names_are_data() -> None:
    """Scenario 36."""
    async with bench(size=(200, 60)) as b:  # where names are not cut
        await b.keys("down", "down", "enter")
        rows = "\n".join(b.rows("tree"))
        assert "[b]not markup[" in rows
        assert "\x1b" not in rows
        assert "\\x1b[31" in rows
        assert all(len(row) <= 200 for row in b.rows("tree"))


async def test_without_a_volume_there_is_a_start_screen() -> None:
    app = GlobofsApp(None, habits=Settings(recent=("/srv/photos",)))
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.pause(0.2)
        assert app.current_mode == "start"
        pane = app.screen.query_one("#start-list", VirtualList)
        rows = [pane.render_line(y).text for y in range(pane.size.height)]
        assert "/srv/photos" in rows[0]
        assert any("demo" in row for row in rows)
        await pilot.press("q")
        await pilot.pause(0.1)
    assert app.return_value == 0


async def test_the_start_screen_says_which_recent_volume_is_not_there(tmp_path: Path) -> None:
    here = str(tmp_path / "here")
    os.mkdir(here)
    app = GlobofsApp(None, habits=Settings(recent=(here, str(tmp_path / "gone"))))
    async with app.run_test(size=(80, 24)) as pilot:
        rows = ["", ""]
        for _ in range(500):
            await pilot.pause(0.02)
            if panes := app.screen.query("#start-list"):
                rows = [panes.first(VirtualList).render_line(y).text for y in range(2)]
            if "not there now" in rows[1]:
                break
        assert "opened before" in rows[0]
        assert "not there now" in rows[1]


async def test_a_proposed_place_is_replaced_by_what_is_typed() -> None:
    app = GlobofsApp(None)
    async with app.run_test(size=(80, 24)) as pilot:
        for _ in range(500):
            await pilot.pause(0.02)
            if getattr(app.screen, "is_ready", False):
                break
        await pilot.press("n")
        await pilot.pause(0.1)
        assert app.screen.query_one(Input).value.endswith("/globofs")
        await pilot.press(*"/srv/x")
        assert app.screen.query_one(Input).value == "/srv/x"


async def test_a_long_verdict_is_read_to_its_end() -> None:
    async with bench(size=(80, 24)) as b:
        await b.keys("c", *"garbage")
        said = b.screen.query_one("#ask-verdict")
        await b.until(lambda: said.size.height > 2)
        shown = " ".join(said.render_line(y).text.strip() for y in range(said.size.height))
        assert "garbage: not a time" in shown
        assert shown.rstrip().endswith("or a version number")


async def test_a_path_begins_anew_where_one_begins_within_it() -> None:
    async with bench() as b:
        await b.keys("a")
        home = b.screen.query_one(Input).value
        assert home.endswith("/")
        await b.keys(*"~/x")
        assert b.screen.query_one(Input).value == "~/x"
        await b.keys(*"/y//srv")
        assert b.screen.query_one(Input).value == "/srv"


async def test_a_volume_that_cannot_be_opened_says_why() -> None:
    def opener(emit: Any) -> Any:
        raise NoVolume(path="/srv/x")

    app = GlobofsApp(opener)
    async with app.run_test(size=(80, 24)) as pilot:
        for _ in range(500):
            await pilot.pause(0.02)
            if app.current_mode == "start" and getattr(app.screen, "is_ready", False):
                break
        assert "/srv/x: no volume here" in app.error_words


async def test_prune_says_how_much_would_go_before_anything_does() -> None:
    async with bench() as b:
        await b.keys(":", *"prune", "enter")
        await b.keys("t")
        await b.until(lambda: bool(b.app.screen.query("#choice-lines")) and len(b.volume.done) == 1)
        policy, dry = b.volume.done[0][1:]
        assert (policy.keep_last, dry) == (10, True)
        said = b.app.screen.query_one("#choice-lines").render_line(0).text  # type: ignore[attr-defined]
        assert said.startswith("7 versions would go, 18 would stay; 3.0 MiB")
        await b.keys("n")
        assert len(b.volume.done) == 1
        await b.keys(":", *"prune", "enter", "t")
        await b.until(lambda: len(b.volume.done) == 2)
        await b.until(lambda: bool(b.app.screen.query("#choice-lines")))
        await b.keys("y")
        await b.until(lambda: len(b.volume.done) == 3)
        assert b.volume.done[2] == ("prune", policy, False)
        await b.until(lambda: any("nas has not agreed" in toast for toast in b.toasts()))
        assert b.app.commands[-1][1] == "globofs prune --keep-last 10"


async def test_a_peer_is_forgotten_or_gone_for_good() -> None:
    async with bench() as b:
        await b.keys("3", "down", "delete", "n")
        assert not b.volume.done
        await b.keys("delete", "y")
        await b.until(lambda: b.volume.done == [("peer_remove", "phone")])
        await b.keys("delete", "g")
        await b.until(lambda: len(b.volume.done) == 3)
        assert b.volume.done[1:] == [("peer_retire", fake.PHONE), ("peer_remove", "phone")]
        line = f"globofs peer retire {fake.PHONE} && globofs peer remove phone"
        assert b.app.commands[-1][1] == line


def test_of_a_peer_that_is_there_it_is_said_where_its_records_wait() -> None:
    peer = fake.PEERS[0]
    idle = {
        name: value
        for name, value, _ in standing(replace(peer, outgoing=2, activity="idle"), fake.NOW)
    }
    assert idle["it lacks"].endswith("taken in when globofs runs there")
    away = {name: value for name, value, _ in standing(fake.PEERS[1], fake.NOW)}
    assert away["it lacks"] == "118 records of ours"


async def test_read_only_greys_every_write() -> None:
    async with bench(readonly=True) as b:
        await b.keys("delete")
        assert "Opened read only" in b.toasts()
        assert not b.volume.done


async def test_a_vanished_volume_dims_the_last_state() -> None:
    async with bench() as b:
        b.engine.error = "/home/anna/Trips has vanished: is its disk mounted?"
        b.engine.changed()
        await b.until(lambda: b.screen.banner.level == "error")
        assert b.screen.tree_list.dim


async def test_a_hung_question_never_holds_up_modes() -> None:
    async with bench() as b:
        b.volume.delay = threading.Event()
        b.screen.builder.forget()
        await b.pilot.press("down", "enter")  # the tree's lane hangs in the volume
        for key, mode in (("2", "sync"), ("3", "peers"), ("1", "files")):
            await b.pilot.press(key)
            await b.until(lambda mode=mode: b.app.current_mode == mode)  # type: ignore[misc]
        b.volume.delay.set()


@pytest.mark.parametrize("size", [(60, 20), (80, 24), (40, 12), (200, 60)])
async def test_every_mode_fits_every_terminal(size: tuple[int, int]) -> None:
    async with bench(size=size) as b:
        for key in ("1", "2", "3", "4", "5"):
            await b.keys(key)
            await b.keys("tab", "down")
            for widget in b.screen.query("*"):
                assert widget.region.right <= size[0] or not widget.display


async def test_ctrl_c_quits_at_the_second_time_while_things_move() -> None:
    async with bench() as b:
        await b.pilot.press("ctrl+c")
        await b.pilot.pause(0.05)
        assert any("still moving" in toast for toast in b.toasts())
        await b.pilot.press("ctrl+c")
        await b.pilot.pause(0.05)
    assert b.app.return_value == 0


async def test_what_goes_on_without_this_screen_does_not_hold_it_open() -> None:
    async with bench() as b:
        ended = replace(b.engine.moves[0], direction="restore", state="moving", by="")
        theirs = replace(b.engine.moves[0], direction="pull", state="moving", by="sync --watch")
        b.engine.moves = (ended, theirs)
        b.engine.changed()
        await b.until(lambda: b.app.snapshot is not None and len(b.app.snapshot.moves) == 2)
        await b.pilot.press("q")
        await b.pilot.pause(0.05)
        assert not any("still moving" in toast for toast in b.toasts())
    assert b.app.return_value == 0


# --- the list ---------------------------------------------------------------------------------


class Million:
    """A source of a million rows, of which few are in memory."""

    columns = (Column("name", "name"), Column("size", "size", 8, "right", 1))
    serial = 0

    def __init__(self) -> None:
        self.asked: set[int] = set()

    def __len__(self) -> int:
        return 1_000_000

    def key(self, index: int) -> int:
        return index

    def find(self, key: Any) -> int | None:
        return key if isinstance(key, int) else None

    def base(self, index: int) -> str:
        return ""

    def cells(self, index: int) -> tuple[Any, ...] | None:
        self.asked.add(index)
        return None if index % 10 == 3 else (f"row {index}", "1 B")


async def test_a_million_rows_cost_a_screenful() -> None:
    from textual.app import App, ComposeResult

    source = Million()

    class Host(App[None]):
        CSS_PATH = None

        def compose(self) -> ComposeResult:
            yield VirtualList(source, id="list")

    app = Host()

    async with app.run_test(size=(60, 20)) as pilot:
        rows = app.query_one(VirtualList)
        await pilot.pause(0.05)
        rows.edge(True)
        await pilot.pause(0.05)
        assert rows.cursor == 999_999
        assert len(source.asked) < 100
        lines = [rows.render_line(y).text for y in range(20)]
        assert lines[-1].strip().startswith("row 999999")
        assert any(line.strip() == "…" for line in lines)
        began = time.monotonic()
        for _ in range(200):
            rows.page(-1)
            for y in range(20):
                rows.render_line(y)
        assert time.monotonic() - began < 4


async def test_the_cursor_stays_on_its_row_when_others_come() -> None:
    from textual.app import App, ComposeResult

    source = Rows((Column("name"),))
    source.replace([1, 2, 3], [("a",), ("b",), ("c",)])

    class Host(App[None]):
        def compose(self) -> ComposeResult:
            yield VirtualList(source)

    app = Host()
    async with app.run_test(size=(30, 10)) as pilot:
        rows = app.query_one(VirtualList)
        rows.go_to(1)
        source.replace([9, 1, 2, 3], [("z",), ("a",), ("b",), ("c",)])
        rows.reload()
        await pilot.pause()
        assert rows.current_key == 2
        source.replace([9], [("z",)])
        rows.reload()
        assert rows.current_key == 9
        source.replace([], [])
        rows.reload()
        assert rows.current_key is None
        rows.stick = True
        source.replace([1, 2], [("a",), ("b",)])
        rows.reload()
        source.replace([7, 1, 2], [("n",), ("a",), ("b",)])
        rows.reload()
        assert rows.current_key == 7
