"""Which files an `add` leaves out: `--exclude` and `.globofsignore`, in gitignore's syntax.

A `.globofsignore` counts for its own directory and everything below; what lies deeper decides
before what lies higher, and `--exclude` before all of them. As with git, nothing below an
ignored directory can be brought back by a later `!pattern`.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import TYPE_CHECKING, Final

from globofs.errors import UsageError
from globofs.limits import MIB
from globofs.store import fsio

if TYPE_CHECKING:
    from pathspec import GitIgnoreSpec

IGNORE_NAME: Final = ".globofsignore"
IGNORE_BYTES: Final = 1 * MIB


def excludes(patterns: Iterable[str]) -> GitIgnoreSpec | None:
    """The patterns of `--exclude`, None if there are none. Raises UsageError for a bad one."""
    given = list(patterns)
    try:
        return _spec(given) if given else None
    except ValueError as error:
        raise UsageError(f"--exclude: {error}") from None


def read_ignore_file(path: str) -> GitIgnoreSpec | None:
    """The rules in the ignore file at `path`, None where it has none.

    Raises OSError where it cannot be read, ValueError where a line is no pattern.
    """
    lines = os.fsdecode(fsio.read_file(path, IGNORE_BYTES)).splitlines()
    spec = _spec(lines)
    return spec if any(pattern.include is not None for pattern in spec.patterns) else None


def _spec(lines: Iterable[str]) -> GitIgnoreSpec:
    from pathspec import GitIgnoreSpec  # slow to load, and most sources have no rules

    return GitIgnoreSpec.from_lines(lines)


class Rules:
    """The rules in force in one directory of a source."""

    __slots__ = ("_chain", "_first")

    def __init__(
        self,
        first: GitIgnoreSpec | None = None,
        chain: tuple[tuple[int, GitIgnoreSpec], ...] = (),
    ) -> None:
        self._first = first
        self._chain = chain  # deepest first; how many characters of the path lie above each

    def below(self, relative: str, spec: GitIgnoreSpec) -> Rules:
        """These rules and `spec`, read in the directory `relative` (`""`: the source's top)."""
        above = len(relative) + 1 if relative else 0
        return Rules(self._first, ((above, spec), *self._chain))

    def __bool__(self) -> bool:
        return bool(self._chain) or self._first is not None

    def ignored(self, relative: str, directory: bool) -> bool:
        """Whether the file or directory at `relative` (from the source's top) is left out."""
        name = relative + "/" if directory else relative
        if self._first is not None and self._first.check_file(name).include:
            return True
        for above, spec in self._chain:
            verdict = spec.check_file(name[above:]).include
            if verdict is not None:
                return verdict
        return False
