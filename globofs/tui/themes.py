"""GloboFS's own themes: dark, light, colour-blind safe and high contrast.

Beside Textual's variables each sets the colours of difference and of the stacked bar, which
`style.tcss` names. The colour-blind theme uses blue and orange only; every state also has a
glyph and a word.
"""

from __future__ import annotations

from typing import Final

from textual.theme import Theme

_SYNTAX_DARK: Final = {
    "syntax-kw": "#c792ea", "syntax-str": "#a5d6a7", "syntax-num": "#f6b26b",
    "syntax-com": "#6b7a90", "syntax-fn": "#82aaff", "syntax-cls": "#ffcb6b",
    "syntax-op": "#89b4c9", "syntax-tag": "#f07178",
}  # fmt: skip
_SYNTAX_LIGHT: Final = {
    "syntax-kw": "#7c3aad", "syntax-str": "#2c7a3f", "syntax-num": "#a04e00",
    "syntax-com": "#7d8594", "syntax-fn": "#1c5fb0", "syntax-cls": "#8a5a00",
    "syntax-op": "#3f6275", "syntax-tag": "#b02a37",
}  # fmt: skip

DARK: Final = Theme(
    name="globofs",
    dark=True,
    primary="#5cb3ff",
    secondary="#8fa3bf",
    accent="#ffb454",
    foreground="#d5dde8",
    background="#10141b",
    surface="#151b24",
    panel="#1e2733",
    success="#7bd88f",
    warning="#f2c14e",
    error="#ff7b80",
    variables={
        "line": "#2b3746", "line-focus": "#5cb3ff", "dim": "#8292a8", "faint": "#58677b",
        "row": "#26476b", "row-text": "#ffffff", "row-blur": "#222c3a", "row-mark": "#3a3320",
        "row-hover": "#1a222d", "bar": "#1a212c",
        "diff-add": "#16321f", "diff-add-word": "#2a6a3d", "diff-add-text": "#a8e6b5",
        "diff-del": "#3a1c22", "diff-del-word": "#7d2f3c", "diff-del-text": "#ffb3b8",
        "part-rest": "#2b3746", "part-had": "#4d7299", "part-now": "#ffb454",
        "part-second": "#c792ea", "part-third": "#8fa3bf",
        **_SYNTAX_DARK,
    },
)  # fmt: skip

LIGHT: Final = Theme(
    name="globofs-light",
    dark=False,
    primary="#1565b8",
    secondary="#52657d",
    accent="#b65a00",
    foreground="#232c38",
    background="#fbfaf7",
    surface="#f5f3ee",
    panel="#e9e6df",
    success="#23803c",
    warning="#8a6100",
    error="#b9262f",
    variables={
        "line": "#cfcac0", "line-focus": "#1565b8", "dim": "#616b79", "faint": "#98a0ab",
        "row": "#cfe3f8", "row-text": "#0b2545", "row-blur": "#e6e4de", "row-mark": "#fbeccb",
        "row-hover": "#f0eee8", "bar": "#efece5",
        "diff-add": "#e2f4e4", "diff-add-word": "#b2e2ba", "diff-add-text": "#14532d",
        "diff-del": "#fbe4e4", "diff-del-word": "#f3b9bb", "diff-del-text": "#7f1d1d",
        "part-rest": "#d9d4ca", "part-had": "#8fb0d3", "part-now": "#b65a00",
        "part-second": "#7c3aad", "part-third": "#52657d",
        **_SYNTAX_LIGHT,
    },
)  # fmt: skip

COLOUR_BLIND: Final = Theme(
    name="globofs-cb",
    dark=True,
    primary="#56b4e9",
    secondary="#9aa7b5",
    accent="#e69f00",
    foreground="#dfe3e8",
    background="#11151b",
    surface="#161b23",
    panel="#202833",
    success="#56b4e9",
    warning="#f0e442",
    error="#ff9d3b",
    variables={
        **DARK.variables,
        "line-focus": "#56b4e9", "row": "#1f4a68",
        "diff-add": "#10293d", "diff-add-word": "#1d5d8c", "diff-add-text": "#9fd6f7",
        "diff-del": "#3b2608", "diff-del-word": "#8a5a0c", "diff-del-text": "#ffc97a",
        "part-now": "#e69f00", "part-second": "#f0e442", "syntax-str": "#9fd6f7", "syntax-tag": "#ffc97a",
    },
)  # fmt: skip

CONTRAST: Final = Theme(
    name="globofs-contrast",
    dark=True,
    primary="#6cc7ff",
    secondary="#ffffff",
    accent="#ffd000",
    foreground="#ffffff",
    background="#000000",
    surface="#000000",
    panel="#1a1a1a",
    success="#50ff6e",
    warning="#ffe14d",
    error="#ff6b6b",
    variables={
        **DARK.variables,
        "line": "#8a8a8a", "line-focus": "#ffd000", "dim": "#d0d0d0", "faint": "#a8a8a8",
        "row": "#ffd000", "row-text": "#000000", "row-blur": "#4d4d4d", "row-mark": "#5c4700",
        "row-hover": "#262626", "bar": "#1a1a1a", "syntax-com": "#b0b0b0",
        "diff-add": "#003d10", "diff-add-word": "#007a20", "diff-add-text": "#d4ffdd",
        "diff-del": "#4d0000", "diff-del-word": "#990000", "diff-del-text": "#ffdede",
    },
)  # fmt: skip

OWN: Final = (DARK, LIGHT, COLOUR_BLIND, CONTRAST)


def variables(theme: Theme) -> dict[str, str]:
    """Values for our variables under any theme: its own, else mixed from its colours."""
    dark = theme.dark
    base = dict(DARK.variables if dark else LIGHT.variables)
    if theme in OWN:
        return {}
    base.update(
        {
            "line": theme.panel or base["line"],
            "line-focus": theme.primary,
            "row-blur": theme.panel or base["row-blur"],
            "row-hover": theme.surface or base["row-hover"],
            "bar": theme.surface or base["bar"],
            "part-now": theme.accent or base["part-now"],
        }
    )
    return {key: value for key, value in base.items() if key not in theme.variables}
