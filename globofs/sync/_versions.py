"""What verbs that write versions share: drafts, and what their parents are."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from globofs.limits import PARENTS_MAX
from globofs.store.commit import Draft
from globofs.store.query import View
from globofs.store.views import Block, Entry, Version
from globofs.sync.suggest import no_such_path


def draft_of(
    version: Version,
    blocks: Sequence[Block],
    path: bytes | None = None,
    *,
    parents: tuple[bytes, ...] | None = None,
    from_path: bytes | None = None,
    from_id: bytes | None = None,
) -> Draft:
    """A draft with the content of `version`, which are `blocks` (see `blocks_of_many`), for its
    own path or another; no data moves."""
    return Draft(
        path=version.path if path is None else path,
        kind=version.kind,
        size=version.size,
        mode=version.mode,
        mtime=version.mtime,
        target=version.target,
        blocks=tuple(blocks),
        parents=parents,
        from_path=from_path,
        from_id=from_id,
    )


def deletion(path: bytes, parents: tuple[bytes, ...] | None = None) -> Draft:
    """A draft that deletes `path`."""
    return Draft(path=path, kind="deleted", parents=parents)


def live_at(view: View, path: bytes) -> list[Entry]:
    """The entry at `path` and everything live below it that a version names, in path order.

    Raises NoSuchPath where nothing lives there.
    """
    found = list(view.walk(path))
    if path and not found:
        raise no_such_path(view, path)
    return [entry for entry in found if entry.version]


def heads_at(view: View, paths: Sequence[bytes]) -> dict[bytes, tuple[bytes, ...]]:
    """By path, what stands there now, deletions too: the parents of what is written over it."""
    infos = view.index.path_infos(paths)
    known = {path: tuple(head.id for head in info.heads) for path, info in infos.items()}
    return {path: known.get(path, ())[-PARENTS_MAX:] for path in paths}


def parents_of(view: View, entries: Iterable[Entry]) -> dict[bytes, tuple[bytes, ...]]:
    """By path, what who saw `entries` just now has in hand: the parents of what it writes next.

    Heads of equal content stand for each other, so the index is asked only where heads differ.
    """
    found: dict[bytes, tuple[bytes, ...]] = {}
    differing: list[bytes] = []
    for entry in entries:
        found[entry.path] = (entry.version,) if entry.version else ()
        if entry.conflict:
            differing.append(entry.path)
    return found | heads_at(view, differing)
