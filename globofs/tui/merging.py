"""Settling a conflict in another program: $MERGETOOL with three files, else $EDITOR with marks."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from globofs.tui import words

if TYPE_CHECKING:
    from globofs.store.views import Version
    from globofs.sync.results import Conflict
    from globofs.tui.app import GlobofsApp


def merge(app: GlobofsApp, conflict: Conflict, then: Callable[[], None]) -> None:
    """Write the sides out, run the tool, settle with what it left; nothing when unchanged."""
    volume = app.volume
    tool = os.environ.get("MERGETOOL", "")
    editor = os.environ.get("VISUAL") or os.environ.get("EDITOR") or "vi"

    def work(emit: Any, cancelled: Any) -> tuple[str, list[str]]:
        place = tempfile.mkdtemp(prefix="globofs-merge-")
        name = os.path.basename(os.fsdecode(conflict.path)) or "file"
        paths = []
        for number, side in enumerate(conflict.sides[:2]):
            node = volume.node_name(side.node).replace("/", "_")
            path = os.path.join(place, f"{number + 1}-{node}-{name}")
            _write(
                path,
                volume.read(side, emit=emit, cancelled=cancelled) if side.kind == "file" else (),
            )
            paths.append(path)
        merged = os.path.join(place, name)
        if tool:
            shutil.copyfile(paths[0], merged)
        else:
            _marked(merged, paths, [_label(volume, side) for side in conflict.sides[:2]])
        return merged, paths

    def run(found: tuple[str, list[str]]) -> None:
        merged, paths = found
        line = [*shlex.split(tool), *paths, merged] if tool else [*shlex.split(editor), merged]
        try:
            with app.suspend():
                before = os.stat(merged).st_mtime_ns
                ended = subprocess.run(line, check=False).returncode
                changed = os.stat(merged).st_mtime_ns != before
        except Exception as error:
            app.say(f"{line[0]}: {error}", "error")
            return
        if ended or not changed:
            app.say("Not settled: the merged file was left as it was", "warning")
            return
        app.verb(
            "resolve",
            "settling",
            lambda emit, cancelled: volume.resolve(
                [conflict.path], with_file=merged, emit=emit, cancelled=cancelled
            ),
            lambda _: f"Settled {words.shown_path(conflict.path)} with the merged file · z undoes",
            after=lambda _: then(),
        )

    app.verb("cat", "fetching both sides", work, lambda _: "", after=run)


def _label(volume: Any, side: Version) -> str:
    return f"{volume.node_name(side.node)}, {words.exact_time(side.time)}"


def _write(path: str, pieces: Any) -> None:
    with open(path, "wb") as file:
        for piece in pieces:
            file.write(piece)


def _marked(merged: str, paths: list[str], labels: list[str]) -> None:
    """Both texts in one file, with marks around what differs."""
    import difflib

    sides = []
    for path in paths:
        with open(path, encoding="utf-8", errors="surrogateescape") as file:
            sides.append(file.read().splitlines(keepends=True))
    left, right = sides
    out: list[str] = []
    for tag, i1, i2, j1, j2 in difflib.SequenceMatcher(
        None, left, right, autojunk=False
    ).get_opcodes():
        if tag == "equal":
            out += left[i1:i2]
            continue
        out.append(f"<<<<<<< {labels[0]}\n")
        out += left[i1:i2]
        out.append("=======\n")
        out += right[j1:j2]
        out.append(f">>>>>>> {labels[1]}\n")
    with open(merged, "w", encoding="utf-8", errors="surrogateescape") as file:
        file.writelines(out)
