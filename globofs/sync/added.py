"""What `add` hands back. Apart from the other results: those take as long to load as a small add."""

from __future__ import annotations

from dataclasses import dataclass

from globofs.events import Problem
from globofs.store.views import OperationKey


@dataclass(frozen=True, slots=True)
class AddResult:
    """What an `add` found and recorded. `files` counts what was looked at."""

    files: int = 0
    added: int = 0
    changed: int = 0
    unchanged: int = 0
    deleted: int = 0
    renamed: int = 0  # of `added`: the content was here under another name of the same source
    directories: int = 0  # new, or with another mode
    skipped: int = 0  # special files, excluded ones, the volume itself
    bytes: int = 0  # of everything looked at
    new_bytes: int = 0  # of blocks that were not held before, uncompressed
    stored_bytes: int = 0  # of those, as they lie on disk
    operation: OperationKey | None = None
    interrupted: bool = False
    problems: tuple[Problem, ...] = ()

    @property
    def versions(self) -> int:
        """New versions recorded."""
        return self.added + self.changed + self.deleted + self.directories
