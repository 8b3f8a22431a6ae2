"""What is seen: differences in two columns, ages that go on, columns, bars."""

from __future__ import annotations

from tests.test_8_tui_screens import _utc, bench

__all__ = ["_utc"]


async def test_a_difference_has_two_columns_where_there_is_room() -> None:
    async with bench(size=(200, 60)) as b:
        await b.go_to(b"2026/alps/notes.md")
        await b.keys("d")
        detail = b.screen.detail
        rows = [detail.render_line(y).text for y in range(detail.size.height)]
        assert "nas, 2026-11-17" in rows[0]
        assert "laptop, 2026-11-18" in rows[0]
        assert any(row.count("Anna drives") == 2 for row in rows)
        assert any("7 + ## Huts" in row for row in rows)
        await b.pilot.resize_terminal(120, 40)
        await b.settle()
        rows = [detail.render_line(y).text for y in range(detail.size.height)]
        assert any(row.count("Anna drives") == 1 for row in rows)
        assert not any(row.count("Anna drives") == 2 for row in rows)


async def test_two_columns_wrap_together() -> None:
    async with bench(size=(200, 60)) as b:
        long = "one word after the other, " * 9
        key = b.volume.operation("add", ("/x",), 1)
        b.volume.put(key, "2026/alps/notes.md", f"{long}\nend\n".encode())
        await b.go_to(b"2026/alps/notes.md")
        await b.keys("d", "W")
        detail = b.screen.detail
        rows = [detail.render_line(y).text for y in range(detail.size.height)]
        first = next(at for at, row in enumerate(rows) if "one word" in row)
        last = next(at for at, row in enumerate(rows) if row.rstrip().endswith("end"))
        assert last - first >= 4  # the long line took several rows, on its side alone
