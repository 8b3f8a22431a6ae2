"""Settling a conflict in another program: $MERGETOOL with three files, else $EDITOR with marks."""

from __future__ import annotations

import difflib
import os
import shlex
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from globofs.tui import programs, words
from globofs.tui.face import Face
from globofs.tui.model import threeway

if TYPE_CHECKING:
    from globofs.store.views import Version
    from globofs.sync.results import Conflict


def merge(app: Face, conflict: Conflict, then: Callable[[], None]) -> None:
    """Write the sides out, run the tool, settle with what it left; nothing when unchanged."""
    volume = app.volume
    tool = os.environ.get("MERGETOOL", "")
    editor = os.environ.get("VISUAL") or os.environ.get("EDITOR") or "vi"

    def work(emit: Any, cancelled: Any) -> Prepared:
        place = tempfile.mkdtemp(prefix="globofs-merge-")
        name = os.path.basename(os.fsdecode(conflict.path)) or "file"
        common = volume.common_version(conflict.sides)
        sides = [*conflict.sides[:2], *([common] if common is not None else [])]
        paths = []
        for number, side in enumerate(sides):
            node = volume.node_name(side.node).replace("/", "_") if number < 2 else "common"
            path = os.path.join(place, f"{number + 1}-{node}-{name}")
            pieces = volume.read(side, emit=emit, cancelled=cancelled)
            _write(path, pieces if side.kind == "file" else ())
            paths.append(path)
        merged = os.path.join(place, name)
        if tool:
            shutil.copyfile(paths[0], merged)
            line = [*shlex.split(tool), *paths[:2], merged]
        else:
            _marked(merged, paths, [_label(volume, side) for side in sides])
            line = [*shlex.split(editor), merged]
        return Prepared(merged, line, programs.stamp(merged))

    def run(found: Prepared) -> None:
        programs.in_terminal(
            app, found.line, lambda status: _settle(app, conflict, found, status, then)
        )

    app.verb("cat", "fetching both sides", work, lambda _: "", after=run)


@dataclass(frozen=True, slots=True)
class Prepared:
    """Files on disk for a merge: where the result lies, the command, how the result looks yet."""

    merged: str
    line: list[str]
    before: tuple[int, int]


def _settle(
    app: Face,
    conflict: Conflict,
    found: Prepared,
    status: int,
    then: Callable[[], None],
) -> None:
    """The program ended: settle with what it left, unless it failed or changed nothing."""
    volume = app.volume

    def work(emit: Any, cancelled: Any) -> bool:
        settled = not status and programs.stamp(found.merged) not in (found.before, (0, 0))
        if settled:
            volume.resolve([conflict.path], with_file=found.merged, emit=emit, cancelled=cancelled)
        programs.tidy(found.merged)
        return settled

    def said(settled: bool) -> str:
        if settled:
            return f"Settled {words.shown_path(conflict.path)} with the merged file · z undoes"
        return "Not settled: the merged file was left as it was"

    app.verb("resolve", "settling", work, said, after=lambda _: then())


def _label(volume: Any, side: Version) -> str:
    return f"{volume.node_name(side.node)}, {words.exact_time(side.time)}"


def _write(path: str, pieces: Any) -> None:
    with open(path, "wb") as file:
        for piece in pieces:
            file.write(piece)


def _marked(merged: str, paths: list[str], labels: list[str]) -> None:
    """Both texts in one file: what only one side changed is taken, marks stand around the rest.
    Without a common version every difference is between marks."""
    texts = []
    for path in paths:
        with open(path, encoding="utf-8", errors="surrogateescape", newline="") as file:
            texts.append(file.read().splitlines(keepends=True))
    if len(texts) > 2:
        out, _ = threeway.merged(texts[2], texts[0], texts[1], (labels[0], labels[2], labels[1]))
    else:
        out = _all_marked(texts[0], texts[1], labels)
    with open(merged, "w", encoding="utf-8", errors="surrogateescape", newline="") as file:
        file.writelines(out)


def _all_marked(left: list[str], right: list[str], labels: list[str]) -> list[str]:
    out: list[str] = []
    matcher = difflib.SequenceMatcher(None, left, right, autojunk=False)
    for tag, i1, i2, j1, j2 in matcher.get_opcodes():
        if tag == "equal":
            out += left[i1:i2]
            continue
        out.append(f"<<<<<<< {labels[0]}\n")
        out += threeway.ended(left[i1:i2])
        out.append("=======\n")
        out += threeway.ended(right[j1:j2])
        out.append(f">>>>>>> {labels[1]}\n")
    return out
