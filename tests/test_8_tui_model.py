"""What the screens show, without a screen: tree, timeline, queue, differences, words."""

from __future__ import annotations

import difflib
import itertools
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from globofs import speech
from globofs.snapshots import Move
from globofs.tui import settings, words
from globofs.tui.glyphs import ASCII, UNICODE
from globofs.tui.model import detail, difference, picture, several, text, timeline
from globofs.tui.model.queue import Queue
from globofs.tui.model.tree import Builder, Wish
from globofs.tui.widgets.bars import graph, length, parts, sparkline, stacked
from globofs.tui.widgets.paint import (
    Column,
    cut,
    cut_middle,
    fit,
    lay_out,
    spans_width,
    width_of,
    wrapped,
)
from globofs.tui.widgets.rates import rate_lines, summed
from tests import helpers_tui as fake


def paths(builder: Builder, wish: Wish) -> list[bytes]:
    return [row.path for row in builder.build(wish).rows]


def test_the_tree_opens_where_it_is_opened() -> None:
    builder = Builder(fake.full_volume())  # type: ignore[arg-type]
    assert paths(builder, Wish()) == [b"2025", b"2026", b"odd", b"budget.csv"]
    rows = builder.build(Wish(opened=frozenset([b"2026", b"2026/alps"])))
    assert [row.depth for row in rows.rows][:5] == [0, 0, 1, 2, 2]
    assert rows.where[b"2026/alps/notes.md"] == next(
        i for i, row in enumerate(rows.rows) if row.path == b"2026/alps/notes.md"
    )


def test_deleted_things_are_there_when_asked_for() -> None:
    builder = Builder(fake.full_volume())  # type: ignore[arg-type]
    opened = frozenset([b"2026"])
    assert b"2026/old plan.txt" not in paths(builder, Wish(opened=opened))
    assert b"2026/old plan.txt" in paths(builder, Wish(opened=opened, deleted=True))


def test_the_tree_at_a_moment() -> None:
    builder = Builder(fake.full_volume())  # type: ignore[arg-type]
    then = paths(builder, Wish(at=fake.NOW - 30 * fake.DAY))
    assert then == [b"2025"]


def test_a_filter_keeps_matches_in_their_place() -> None:
    builder = Builder(fake.full_volume())  # type: ignore[arg-type]
    found = builder.build(Wish(filter="img_000"))
    assert b"2025/coast" in found.where
    assert b"2026/alps/IMG_0001.raw" in found.where
    assert b"budget.csv" not in found.where
    at = found.where
    assert at[b"2026"] < at[b"2026/alps"] < at[b"2026/alps/IMG_0001.raw"]
    past = builder.build(Wish(filter="img_000", at=fake.NOW - 30 * fake.DAY))
    assert b"2026" not in past.where


def test_changed_since_shows_what_differs() -> None:
    builder = Builder(fake.full_volume())  # type: ignore[arg-type]
    found = builder.build(Wish(since=fake.NOW - fake.HOUR, deleted=True))
    assert b"budget.csv" in found.where
    assert b"2026/alps/film.mkv" not in found.where


def test_orders() -> None:
    builder = Builder(fake.full_volume())  # type: ignore[arg-type]
    opened = frozenset([b"2026", b"2026/alps"])
    by_size = [
        p for p in paths(builder, Wish(opened=opened, sort="size")) if p.startswith(b"2026/alps/")
    ]
    assert by_size[0] == b"2026/alps/film.mkv"
    by_versions = [
        p
        for p in paths(builder, Wish(opened=opened, sort="versions"))
        if p.startswith(b"2026/alps/")
    ]
    assert by_versions[0] == b"2026/alps/notes.md"
    by_state = [
        p for p in paths(builder, Wish(opened=opened, sort="state")) if p.startswith(b"2026/alps/")
    ]
    assert by_state[0] == b"2026/alps/packing.txt"


def test_the_timeline_says_what_each_version_did() -> None:
    volume = fake.full_volume()
    found = timeline.read(volume, b"2026/alps/notes.md", False)  # type: ignore[arg-type]
    assert [m.change for m in found.moments] == ["+53 B", "+26 B", "+14 B", "first version"]
    assert [m.node for m in found.moments] == ["laptop", "nas", "laptop", "laptop"]
    assert found.moments[0].shown
    gone = timeline.read(volume, b"2026/old plan.txt", False)  # type: ignore[arg-type]
    assert [m.change for m in gone.moments] == ["deleted", "first version"]
    conflict = timeline.read(volume, b"2026/alps/packing.txt", False)  # type: ignore[arg-type]
    assert sum(m.rival for m in conflict.moments) == 1


def test_a_restored_version_names_the_one_it_equals() -> None:
    volume = fake.full_volume()
    old = volume.history(b"2026/alps/notes.md")[2]
    plan = volume.plan_restore([b"2026/alps/notes.md"], version=old)
    volume.restore([b"2026/alps/notes.md"], plan=plan)
    found = timeline.read(volume, b"2026/alps/notes.md", False)  # type: ignore[arg-type]
    assert (found.moments[0].change, found.moments[0].like) == ("back to", old.time)


def test_a_rename_is_followed() -> None:
    volume = fake.full_volume()
    volume.mv(b"2026/alps/route.py", b"2026/alps/walk.py")
    found = timeline.read(volume, b"2026/alps/walk.py", False)  # type: ignore[arg-type]
    assert found.moments[0].change == "renamed from route.py"
    assert len(found.moments) == 3


def test_details_never_fetch() -> None:
    volume = fake.full_volume()
    version = volume.history(b"2026/alps/IMG_0001.raw")[0]
    page = detail.preview_page(volume, version)  # type: ignore[arg-type]
    assert page.words[0] == "Not on this node"
    assert "phone wrote it" in page.words[2]
    assert volume.history(b"2026/alps/IMG_0001.raw")[0].missing


def test_a_difference_marks_words_and_counts_lines() -> None:
    page, counted = difference.diff_page(b"a\nmeet at 9\nz\n", b"a\nmeet at 10\nz\n", "Diff")
    assert (counted.added, counted.removed) == (1, 1)
    marked = [span for line in page.lines for span in line if span[1].endswith("-word")]
    assert marked == [("9", "removed-word"), ("10", "added-word")]
    assert difference.diff_page(b"", b"new\n", "Diff")[1].added == 1
    other = difference.changed_words(",wood for the winter: ask Mara,", ",train tickets are paid,")
    assert all(style == "" for line in other for _, style in line)  # commas are not much in common


def test_a_difference_has_as_much_around_it_as_there_is_room_for() -> None:
    old = [f"line {number}" for number in range(100)]
    new = [*old[:50], "changed", *old[51:]]
    texts = ["\n".join(lines).encode() for lines in (old, new)]

    def lines(rows: int) -> int:
        return len(difference.diff_page(texts[0], texts[1], "Diff", rows=rows)[0].lines)

    assert lines(0) == lines(12) == 1 + 3 + 2 + 3
    assert lines(25) == 1 + 8 + 2 + 8
    assert lines(200) == 1 + 101
    for rows in range(9, 120):
        assert 9 <= lines(rows) <= rows


LINES = st.lists(st.sampled_from("abcd"), max_size=30)


@given(LINES, LINES)
def test_changes_are_grouped_as_the_library_groups_them(old: list[str], new: list[str]) -> None:
    for context in (1, 3, 8):
        ours = difference.grouped(difflib.SequenceMatcher(None, old, new).get_opcodes(), context)
        library = difflib.SequenceMatcher(None, old, new).get_grouped_opcodes(context)
        assert ours == [group for group in library if any(code[0] != "equal" for code in group)]


def test_a_difference_side_by_side_keeps_lines_opposite() -> None:
    old, new = b"a\nb\nmeet at 9\nz\n", b"a\nmeet at 10\nz\ny\n"
    page, _ = difference.diff_page(old, new, "Diff", ("before", "after"))
    rows = [
        tuple(half.gutter.strip() + "".join(text for text, _ in half.line) for half in pair)
        for pair in page.beside
    ]
    assert rows[0] == ("before", "after")
    assert rows[2:] == [
        ("1a", "1a"), ("2 -b", "2 +meet at 10"), ("3 -meet at 9", ""), ("4z", "3z"), ("", "4 +y"),
    ]  # fmt: skip
    assert page.beside[-1][0].base == "hover"  # nothing stands there, and that is seen


def test_texts_are_highlighted_and_cannot_colour_the_terminal() -> None:
    page = text.text_page(b"def f():\n    return '\x1b[31m'\n", "x.py", 30)
    assert ("def", "kw") in page.lines[0]
    assert not any("\x1b" in part for line in page.lines for part, _ in line)
    assert page.gutter[0] == "1 "


def _shown(page: text.Page) -> list[str]:
    return ["".join(part for part, _ in line) for line in page.lines]


def test_a_small_operation_shows_what_became_of_each_file() -> None:
    volume = fake.full_volume()
    where = volume.view().entry(b"")
    assert where is not None
    found = timeline.read(volume, b"", True)  # type: ignore[arg-type]
    wanted = next(m for m in found.moments if m.operation and m.operation.versions == 3)
    asked = detail.Asked(where, wanted, "diff", "before", None, None, fake.NOW)
    page = detail.read(volume, asked)  # type: ignore[arg-type]
    lines = _shown(page)
    assert lines[1].startswith("~ 2026/alps/notes.md")
    assert "+ - meet at 10, north gate" in lines  # the difference
    assert "hut,120" in lines  # a new file is shown whole
    assert any("Not on this node" in line for line in lines)  # and nothing is fetched
    assert len(page.gutter) == len(page.bases) == len(lines)


def test_pages_are_joined_in_one_column_and_in_two() -> None:
    first = text.Page("What", ((("~ a", ""),),), note="1 changed")
    diff, _ = difference.diff_page(b"a\nb\n", b"a\nc\n", "Diff", ("old", "new"))
    made = several.joined(first, [((("a", "strong"),), diff)])
    assert (made.title, made.note) == ("What", "1 changed")
    assert _shown(made) == ["~ a", "", "a", *_shown(diff)]
    assert made.beside[3:] == diff.beside
    assert [left.line for left, _ in made.beside[:3]] == [first.lines[0], (), (("a", "strong"),)]
    alone = several.joined(first, [((), text.Page(words=("Not here", "b fetches")))])
    assert _shown(alone) == ["~ a", "Not here", "b fetches"]
    assert not alone.beside
    long = text.Page("", tuple(((str(number), ""),) for number in range(500)))
    assert _shown(several.joined(first, [((), long)]))[-1] == "… 440 more lines"


def test_two_long_names_in_one_directory_are_told_apart_by_their_ends() -> None:
    for time in ("10.42.17Z", "10.42.24Z"):
        name = f"letter (vm, 2026-11-27 {time}).txt"
        shown = fit((("      ", ""), ("  ", ""), (name, "")), 32, middle=True)
        assert spans_width(shown) == 32
        text_of_it = "".join(part for part, _ in shown)
        assert text_of_it.startswith("        letter")
        assert text_of_it.endswith(f"{time}).txt")
    deep = fit(((" " * 40, ""), ("a name that is long.txt", "")), 60, middle=True)
    assert "".join(part for part, _ in deep).startswith(" " * 40 + "a")


def test_binaries_are_described() -> None:
    assert text.describe(fake.png()) == "PNG image, 48 × 32"
    assert text.describe(b"\x00" * 100) == "all zeros"
    assert not text.is_text(b"a\0b")
    assert text.is_text("höher\n".encode() * 4000)
    page = text.binary_page(b"\x7fELF" + bytes(range(64)), "a.out", 68)
    assert page.lines[2][0][0].startswith("00000000")


def test_a_picture_is_drawn_and_a_bad_one_is_not() -> None:
    lines = list(picture.half_blocks(fake.png()))
    assert len(lines) == 16
    assert lines[0][0][1].startswith("rgb:")
    assert list(picture.half_blocks(fake.png()[:200])) == []
    assert list(picture.half_blocks(b"\x89PNG\r\n\x1a\n")) == []


def test_rows_of_the_queue_keep_their_place() -> None:
    queue = Queue()
    queue.update(fake.MOVES)
    assert [move.key for move in queue.moves] == ["1", "2", "5", "6", "3", "4", "7", "8"]
    faster = tuple(replace(m, done=m.done + 1) for m in reversed(fake.MOVES))
    queue.update(faster)
    assert [move.key for move in queue.moves][:2] == ["1", "2"]
    queue.faults_only = True
    queue.update(fake.MOVES)
    assert [move.key for move in queue.moves] == ["5", "6"]
    queue.faults_only, queue.filter = False, "FILM"
    queue.update(fake.MOVES)
    assert [move.path for move in queue.moves] == [b"2026/alps/film.mkv"]


@given(
    st.integers(0, 200),
    st.integers(0, 10**12),
    st.lists(st.integers(1, 10**12), max_size=5),
    st.integers(0, 10**12),
)
def test_a_bar_fills_exactly_its_width(width: int, had: int, gave: list[int], total: int) -> None:
    sources = tuple((f"peer {number}", count) for number, count in enumerate(gave))
    spans = stacked(width, had, sum(gave), total, UNICODE, sources)
    assert spans_width(spans) == width
    if sum(gave) < total and width:
        assert spans[-1][1] == "rest"  # never full before all is there


def test_a_bar_says_who_gave_what() -> None:
    sources = (("nas", 30), ("attic", 20))
    found = parts(40, 60, 100, sources, UNICODE)
    assert [(count, span[1]) for count, span in found] == [
        (40, "had"), (30, "first"), (20, "second"), (10, "sent"),
    ]  # fmt: skip
    assert len({span[0] for _, span in found[:3]}) == 3  # told apart without colour, too
    swapped = parts(0, 20, 20, (("attic", 20),), UNICODE, ("nas", "attic"))
    assert swapped == [(20, (UNICODE.bar_givers[1], "second"))]


@given(st.lists(st.floats(0, 1e12), max_size=90), st.integers(1, 60))
def test_a_sparkline_is_as_wide_as_asked(values: list[float], width: int) -> None:
    assert len(sparkline(values, width, UNICODE)) == width


@given(st.text(max_size=60), st.integers(1, 60))
def test_cells_are_cut_by_width_not_length(value: str, width: int) -> None:
    shown = words.safe(value)
    assert width_of(cut(shown, width)) <= width
    assert width_of(cut_middle(shown, width)) <= width
    assert spans_width(fit(((shown, ""), ("tail", "muted")), width)) == width
    assert spans_width(fit(((shown, ""), ("tail", "muted")), width, middle=True)) == width


@given(st.binary(max_size=80))
def test_names_are_one_printable_line(name: bytes) -> None:
    assert words.safe(name).isprintable()


def test_columns_drop_by_priority() -> None:
    columns = [
        Column("name", "", 0, minimum=10),
        Column("size", "", 8, "right", 3),
        Column("state", "", 8, "left", 1),
    ]
    assert [index for index, _ in lay_out(columns, 40)] == [0, 1, 2]
    assert [index for index, _ in lay_out(columns, 25)] == [0, 2]
    assert [index for index, _ in lay_out(columns, 12)] == [0]
    assert lay_out(columns, 3)


@given(st.integers(0, 2**62 - 1), st.integers(0, 2**62 - 1))
def test_times_fit_their_column(then: int, now: int) -> None:
    assert len(words.moment(then, now)) <= 15
    assert len(words.apart(then, now, then)) <= 15
    assert len(words.beside(then, now)) <= 12


def test_rows_of_one_minute_are_told_apart() -> None:
    day, second = 86_400 * words.SECOND, words.SECOND
    for ago in (1, 5, 1 / 20):
        then = fake.NOW - int(ago * day)
        near = [words.apart(then + n * second, fake.NOW, then + (1 - n) * second) for n in (0, 1)]
        assert near[0] != near[1]
        assert [speech.parse_time(text, fake.NOW) // second for text in near] == [
            (then + n * second) // second for n in (0, 1)
        ]
    assert words.apart(then, fake.NOW, then - day) == words.moment(then, fake.NOW)


def test_ranges_of_waiting() -> None:
    assert words.eta(None) == "–"
    assert words.eta((360.0, 540.0)) == "6–9 min"
    assert words.eta((40.0, 150.0)) == "40 s – 2 min"
    assert words.eta((5.0, 5.2)) == "5 s"


def test_operations_in_words() -> None:
    volume = fake.full_volume()
    said = [words.operation(op) for op in volume.operations(limit=3)]
    assert said[0] == "added odd · 4 versions"
    op = replace(
        volume.ops[0], verb="add", args=("/home/x/notes.md", "--to", "documents"), versions=1
    )
    assert words.operation(op) == "added documents/notes.md"
    assert words.operation(replace(op, verb="mv", args=("a", "b"))) == "renamed a to b"
    through = words.operation(replace(op, verb="mount", args=("/mnt/v",)))
    assert through == "written through the mount /mnt/v"
    recovered = words.operation(replace(op, verb="recover", args=()))
    assert recovered == "recovered from a mount that died"


def test_habits_survive_and_nonsense_does_not(tmp_path: Path) -> None:
    env = {"XDG_STATE_HOME": str(tmp_path)}
    assert settings.load(env) == settings.Settings()
    wanted = settings.with_recent(settings.Settings(theme="globofs-cb"), "/srv/v")
    settings.save(wanted, env)
    assert settings.load(env) == wanted
    Path(settings.state_path(env)).write_text('{"theme": 3, "recent": ["/a"], "other": 1}')
    assert settings.load(env) == settings.Settings(recent=("/a",))
    Path(settings.state_path(env)).write_text("{not json")
    assert settings.load(env) == settings.Settings()


def test_a_move_is_never_hundred_percent_before_it_is_done() -> None:
    assert words.percent(999_999, 1_000_000) == "99 %"
    assert words.percent(10, 10) == "100 %"
    assert Move("k", b"p", "pull", "moving").total == 0


def test_a_changed_tree_is_read_again_only_where_it_changed(monkeypatch: Any) -> None:
    volume = fake.full_volume()
    builder = Builder(volume)  # type: ignore[arg-type]
    wish = Wish(opened=frozenset([b"2025", b"2026"]))
    builder.build(wish)
    asked: list[bytes] = []
    real = fake.FakeView.children

    def children(view: fake.FakeView, path: bytes = b"", deleted: bool = False) -> Any:
        asked.append(path)
        return real(view, path, deleted)

    monkeypatch.setattr(fake.FakeView, "children", children)
    builder.build(wish)
    assert asked == []
    volume.rm([b"2025/coast/log.txt"])
    builder.forget()
    rows = builder.build(wish)
    assert b"2026" not in asked
    assert set(asked) == {b"", b"2025"}
    assert len(rows.rows) == len(rows.where)


@pytest.mark.parametrize("large", [True, False])
def test_a_large_tree_of_another_moment_is_not_kept(monkeypatch: Any, large: bool) -> None:
    if large:
        monkeypatch.setattr("globofs.tui.model.tree.KEPT_ENTRIES", 1)
    builder = Builder(fake.full_volume())  # type: ignore[arg-type]
    now, then = Wish(opened=frozenset([b"2025"])), Wish(at=2**62)
    builder.build(now)
    builder.build(then)
    asked: list[bytes] = []
    real = fake.FakeView.children

    def children(view: fake.FakeView, path: bytes = b"", deleted: bool = False) -> Any:
        asked.append(path)
        return real(view, path, deleted)

    monkeypatch.setattr(fake.FakeView, "children", children)
    builder.build(now)
    assert asked == ([b"", b"2025"] if large else [])


@given(st.text(st.characters(codec="utf-8"), max_size=200), st.integers(12, 80))
@example(value="\x1f...... ", width=16)
def test_sentences_wrap_within_their_width(value: str, width: int) -> None:
    shown = words.safe(value)
    lines = wrapped((("Why?  ", "strong"), (shown, "")), width)
    assert all(spans_width(line) <= width for line in lines)


def test_a_large_directory_is_not_asked_again_and_again(monkeypatch: Any) -> None:
    volume = fake.full_volume()
    builder = Builder(volume)  # type: ignore[arg-type]
    clock = iter([0.0, 2.0, 5.0, 43.0, 44.0])
    monkeypatch.setattr("globofs.tui.model.tree.time.monotonic", lambda: next(clock))
    entry = volume.view().entry(b"2026")
    assert entry is not None
    first = builder.changed(entry, None)  # it took two seconds
    volume.put(volume.operation("add", ("/x",), 0), "2026/new.txt", b"new\n")
    later = volume.view().entry(b"2026")
    assert later is not None
    assert builder.changed(later, None) == first  # three seconds later: too early
    assert builder.changed(later, None) > first


def test_a_length_shows_something_of_little_and_never_more_than_all() -> None:
    assert length(0, 10, 8, UNICODE) == ""
    assert length(1, 10**9, 8, UNICODE) == UNICODE.fills[0]
    assert length(10, 10, 8, UNICODE) == UNICODE.fills[-1] * 8
    assert length(99, 10, 8, ASCII) == "=" * 8


@given(st.lists(st.floats(0, 1e9), max_size=80), st.integers(1, 150), st.integers(1, 12))
def test_an_area_has_its_size_and_is_filled_from_below(
    values: list[float], width: int, height: int
) -> None:
    lines = graph(values, width, height, ASCII, 60)
    assert [len(line) for line in lines] == [width] * height
    full = ASCII.bars[-1]
    for upper, lower in itertools.pairwise(lines):
        assert all(above == " " or below == full for above, below in zip(upper, lower, strict=True))
    if any(values[-60:]):
        assert any(full in line for line in lines)
    else:
        assert not "".join(lines).strip()


def test_rates_say_the_latest_and_the_highest_of_each_way() -> None:
    down, up = (1024.0, 4096.0, 2048.0), (512.0,)
    lines = rate_lines(down, up, 60, 8, UNICODE)
    said = ["".join(part for part, _ in line).split() for line in lines]
    assert said[0] == ["↓", "2.0", "KiB/s", "at", "most", "4.0", "KiB/s"]
    assert said[4][:3] == ["↑", "512", "B/s"]
    assert len(lines) == 8
    assert rate_lines((), (0.0,), 60, 8, UNICODE) == []
    assert summed([(1.0, 2.0), (5.0,)]) == (1.0, 7.0)
