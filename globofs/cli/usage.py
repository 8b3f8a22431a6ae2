"""Wrong usage in plain words: argparse's sentences, said as the other errors are."""

from __future__ import annotations

import argparse
import difflib
import re
from collections.abc import Callable, Iterable
from typing import Final

from globofs.errors import printable

_SAID: Final[tuple[tuple[str, Callable[[re.Match[str], argparse.ArgumentParser], str]], ...]] = (
    (r"unrecognized arguments: (.*)", lambda m, parser: _unknown(m[1], parser)),
    (
        r"argument (.*): invalid choice: '(.*)' \(choose from (.*)\)",
        # quoted or not, as Python's version has it
        lambda m, _: _not_one_of(m[2], [word.strip("'") for word in m[3].split(", ")]),
    ),
    (r"argument (.*): invalid int value: '(.*)'", lambda m, _: f"{m[1]} wants a number, not {m[2]}"),
    (r"argument (.*): expected one argument", lambda m, _: f"{m[1]} wants a value"),
    (r"argument (.*): expected at least one argument", lambda m, _: f"{m[1]} wants a value"),
    (r"argument (.*): not allowed with argument (.*)", lambda m, _: f"say {m[1]} or {m[2]}, not both"),
    (r"argument (.*): ignored explicit argument (.*)", lambda m, _: f"{m[1]} takes no value"),
    (r"the following arguments are required: (.*)", lambda m, _: f"{m[1]} is missing"),
    (r"one of the arguments (.*) is required", lambda m, _: f"say one of {', '.join(m[1].split())}"),
)  # fmt: skip


def in_words(message: str, parser: argparse.ArgumentParser) -> str:
    """What argparse calls `message`."""
    for pattern, words in _SAID:
        found = re.fullmatch(pattern, message, re.DOTALL)
        if found:
            return printable(words(found, parser))
    return printable(message)


def _unknown(words: str, parser: argparse.ArgumentParser) -> str:
    first = words.split(" ", 1)[0]
    if not first.startswith("-"):
        return f"{words}: too many arguments"
    flags = [flag for action in parser._actions for flag in action.option_strings]
    return f"{first}: no such option{_meant(first, flags)}"


def _not_one_of(word: str, choices: list[str]) -> str:
    return f"{word}: none of {', '.join(choices)}{_meant(word, choices)}"


def _meant(word: str, known: Iterable[str]) -> str:
    near = difflib.get_close_matches(word, list(known), 1)
    return f"; did you mean {near[0]}?" if near else ""
