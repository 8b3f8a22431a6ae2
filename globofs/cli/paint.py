"""Colours of the commands: only on a terminal, and not where NO_COLOR is set."""

from __future__ import annotations

import os
from typing import Final, Literal, TextIO

Style = Literal["good", "bad", "warn", "cold", "dim", "bold", "place"]

_CODES: Final[dict[Style, str]] = {
    "good": "32",
    "bad": "31",
    "warn": "33",
    "cold": "36",
    "dim": "2",
    "bold": "1",
    "place": "1;34",
}
OF_STATE: Final[dict[str, Style]] = {
    "online": "good",
    "readonly": "cold",
    "offline": "dim",
    "paused": "warn",
    "stuck": "bad",
    "wrong": "bad",
}
OF_CHANGE: Final[dict[str, Style]] = {
    "+": "good",
    "-": "bad",
    "~": "warn",
    ">": "cold",
    "@": "cold",
}


def wanted(stream: TextIO) -> bool:
    """Whether what goes to `stream` is coloured."""
    if os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb":
        return False
    try:
        return stream.isatty()
    except ValueError:  # closed
        return False


def painted(text: str, style: Style) -> str:
    """`text` between the codes of a style."""
    return f"\x1b[{_CODES[style]}m{text}\x1b[0m" if text else text


def bare(text: str) -> str:
    """`text` without the codes of styles."""
    if "\x1b" not in text:
        return text
    import re

    return re.sub(r"\x1b\[[0-9;]*m", "", text)
