"""Several pages as one, each under its heading. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from globofs.tui import words
from globofs.tui.model.text import Half, Line, Page, Pair

EACH_MOST: Final = 60  # lines of one page that are shown


def joined(first: Page, others: Sequence[tuple[Line, Page]]) -> Page:
    """`first`, then each of `others` below its heading; its title, note and words are kept. Where
    any of them has two columns, what has none stands in the left one."""
    lines: list[Line] = []
    gutter: list[str] = []
    bases: list[str] = []
    beside: list[Pair] = []
    for heading, page in (((), first), *others):
        parts = _rows(page)
        if lines:
            parts = [((), "", ""), (heading, "", ""), *parts] if heading else parts
        lines += [line for line, _, _ in parts]
        gutter += [number for _, number, _ in parts]
        bases += [base for _, _, base in parts]
        alone = len(parts) - len(_rows(page)) if page.beside else len(parts)
        beside += [(Half(number, line, base), Half()) for line, number, base in parts[:alone]]
        beside += page.beside[:EACH_MOST]
    two = any(page.beside for _, page in others)
    return Page(
        first.title,
        tuple(lines),
        tuple(gutter),
        first.note,
        first.words,
        tuple(bases),
        tuple(beside) if two else (),
    )


def _rows(page: Page) -> list[tuple[Line, str, str]]:
    """Lines with gutter and base; what a page says in words as lines."""
    if page.words and not page.lines:
        return [(((said, "muted"),), "", "") for said in page.words if said]
    lines = page.lines[:EACH_MOST]
    rows = [
        (
            line,
            page.gutter[at] if at < len(page.gutter) else "",
            page.bases[at] if at < len(page.bases) else "",
        )
        for at, line in enumerate(lines)
    ]
    left = len(page.lines) - len(lines)
    if left:
        rows.append(((("… " + words.plural(left, "more line"), "muted"),), "", ""))
    return rows
