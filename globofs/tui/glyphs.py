"""The three sets of symbols: every state has a glyph, a word and a colour, never colour alone.

All glyphs are one cell wide in every common terminal font; `nerd` needs a patched font and is
opt-in, `ascii` serves the Linux console and screen readers.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, fields
from typing import Final

_STAND_INS: Final = str.maketrans("…·−–×›↑↓←→", "~---x>^v<>")


@dataclass(frozen=True, slots=True)
class Glyphs:
    """One set. The field names say what a glyph stands for."""

    name: str
    held: str = "●"
    part: str = "◐"
    remote: str = "○"
    deleted: str = "✗"
    conflict: str = "≠"
    pinned: str = "◆"
    closed: str = "▸"
    opened: str = "▾"
    folder: str = ""
    file: str = ""
    link: str = "→"
    dot: str = "•"
    more: str = "…"
    current: str = "▶"
    mark: str = "✔"
    down: str = "↓"
    up: str = "↑"
    failed: str = "✗"
    done: str = "✓"
    paused: str = "‖"
    queued: str = "·"
    moving: str = "»"
    warning: str = "!"
    online: str = "●"
    offline: str = "○"
    stuck: str = "◌"
    readonly: str = "◒"
    wrong: str = "✗"
    clock: str = "◷"
    separator: str = "·"
    line: str = "│"
    dash: str = "─"
    minus: str = "−"
    spinner: str = "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏"
    bars: str = "▁▂▃▄▅▆▇█"
    fills: str = "╸━"  # a cell filled from the left
    bar_had: str = "═"
    bar_givers: str = "━╍┅"  # what came from the first peer, the second, all others
    bar_done: str = "━"
    bar_rest: str = "─"

    def said(self, text: str) -> str:
        """Our own sentences in these symbols: what is no ASCII in them has a stand-in."""
        return text.translate(_STAND_INS) if self.name == "ascii" else text


UNICODE: Final = Glyphs("unicode")
NERD: Final = Glyphs("nerd", folder="\uf07b ", file="\uf15b ", pinned="\uf08d")
ASCII: Final = Glyphs(
    "ascii",
    held="*",
    part="%",
    remote="o",
    deleted="x",
    conflict="#",
    pinned="^",
    closed=">",
    opened="v",
    link="->",
    dot=".",
    more="~",
    current=">",
    mark="+",
    down="v",
    up="^",
    failed="x",
    done="+",
    paused="=",
    queued=".",
    moving=">",
    online="*",
    offline="o",
    stuck="?",
    readonly="r",
    wrong="x",
    clock="@",
    separator="-",
    line="|",
    dash="-",
    minus="-",
    spinner="|/-\\",
    bars="_.-=+*%#",
    fills="=",
    bar_had="=",
    bar_givers="#%&",
    bar_done="#",
    bar_rest=".",
)
SETS: Final = {glyphs.name: glyphs for glyphs in (UNICODE, ASCII, NERD)}


def choose(name: str | None, environ: dict[str, str] | None = None) -> Glyphs:
    """The set asked for; without a wish, what this terminal can be trusted to draw."""
    if name in SETS:
        return SETS[name]
    env = dict(os.environ) if environ is None else environ
    locale = env.get("LC_ALL") or env.get("LC_CTYPE") or env.get("LANG") or "C.UTF-8"
    plain = env.get("TERM", "") in {"linux", "dumb"} or "utf" not in locale.lower()
    return ASCII if plain else UNICODE


def all_glyphs(glyphs: Glyphs) -> dict[str, str]:
    """Field name to glyph, for the legend and the test that measures their widths."""
    return {f.name: getattr(glyphs, f.name) for f in fields(glyphs) if f.name != "name"}
