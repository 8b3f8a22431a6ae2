"""Heads and winners: which version of a path is shown, and when its heads are a conflict.

Pure functions of a set of versions, so that nodes which have seen the same records show the same
tree, whatever the order they came in (FORMAT.md 7).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Protocol, TypeVar


class Versionlike(Protocol):
    """What the rules look at; `views.Version` and the rows of a batch both have it."""

    @property
    def id(self) -> bytes: ...
    @property
    def time(self) -> int: ...
    @property
    def node(self) -> str: ...
    @property
    def kind(self) -> str: ...
    @property
    def content(self) -> bytes: ...
    @property
    def parents(self) -> tuple[bytes, ...]: ...


V = TypeVar("V", bound=Versionlike)


def heads(versions: Iterable[V]) -> list[V]:
    """The versions of one path that no other of them names as parent, in their given order."""
    known = list(versions)
    named = {parent for version in known for parent in version.parents}
    return [version for version in known if version.id not in named]


def rank(version: Versionlike) -> tuple[bool, int, str, bytes]:
    """What decides between heads: an edit beats a deletion, then later, larger node, larger id."""
    return version.kind != "deleted", version.time, version.node, version.id


def winner(candidates: Sequence[V]) -> V:
    """The head that every node shows. `candidates` must not be empty."""
    return max(candidates, key=rank)


def differ(candidates: Sequence[Versionlike]) -> bool:
    """Whether heads are a conflict: more than one, and not all of the same content.

    A version whose manifest has not arrived yet has no known content and differs from any other.
    """
    return len(candidates) > 1 and len({v.content or v.id for v in candidates}) > 1
