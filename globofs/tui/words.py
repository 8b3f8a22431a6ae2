"""Short forms for cells, on top of `globofs.speech`: no form may wobble ten times a second.

Every time shown can be typed back where a time is asked for; `now` is always handed in.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from globofs.speech import age_words, exact_time, plural, safe, short_time, shown_path, size_words

if TYPE_CHECKING:
    from globofs.store.views import Operation

SECOND: Final = 1_000_000_000
_VERBS: Final = {
    "add": "added",
    "watch": "added",
    "rm": "deleted",
    "mv": "renamed",
    "restore": "restored",
    "undo": "undid",
    "redo": "redid",
    "resolve": "settled",
    "mount": "written through the mount",
    "write": "written through the mount",
    "recover": "recovered from a mount that died",
    "prune": "pruned",
    "adopt": "found on disk",
    "config": "announced",
    "retire": "retired",
    "lost": "told what is lost",
    "back": "came back",
}

_VALUED: Final = frozenset(("--to", "--at", "--version", "--with", "--exclude", "--from"))

__all__ = [
    "age_words", "apart", "beside", "count", "eta", "exact_time", "moment", "operation", "percent", "plural", "rate",
    "safe", "short_time", "shown_path", "signed_size", "since", "size_words",
]  # fmt: skip


def signed_size(number: int, minus: str = "−") -> str:
    """`+4.1 KiB` or `−310 B`, at most 11 cells."""
    if number == 0:
        return "±0"
    return ("+" if number > 0 else minus) + size_words(abs(number))


def rate(per_second: float) -> str:
    """`12.4 MiB/s`, at most 12 cells; a still line is empty."""
    return f"{size_words(per_second)}/s" if per_second >= 1 else ""


def count(number: int) -> str:
    """Digits in groups: `48,213`."""
    return f"{number:,}"


def since(then: int | None, now: int) -> str:
    """`now`, `12s ago`, `–` where nobody here saw it: at most 8 cells."""
    return "–" if then is None else age_words(then, now)


def moment(then: int, now: int) -> str:
    """A time as short as it can be told apart: `2m ago`, `18:00:05`, `yesterday 18:00`; at most
    15 cells."""
    if 0 <= now - then < 3600 * SECOND:
        return age_words(then, now)
    return short_time(then, now)


def apart(then: int, now: int, *others: int) -> str:
    """`moment`, but with seconds where one of the `others` is less than a minute away, so that
    rows can be told apart. At most 15 cells."""
    near = any(abs(then - other) < 60 * SECOND for other in others)
    if near and now - then >= 60 * SECOND:
        return short_time(then, now, seconds=True)
    return moment(then, now)


def beside(then: int, now: int) -> str:
    """`moment` in at most 12 cells, for a time within other words: days are not named."""
    text = moment(then, now)
    return text if len(text) <= 12 else short_time(then, now, seconds=True)[:-3]


def _span(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    if seconds < 5400:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.0f} h" if seconds < 172_800 else f"{seconds / 86400:.0f} d"


def eta(span: tuple[float, float] | None) -> str:
    """`6–9 min`, `40 s – 2 min`, or `–` while it is not to be trusted; at most 17 cells."""
    if span is None:
        return "–"
    low, high = (_span(value) for value in span)
    if low == high:
        return low
    number, _, unit = low.partition(" ")
    return f"{number}–{high}" if unit == high.partition(" ")[2] else f"{low} – {high}"


def percent(done: int, total: int) -> str:
    """`47 %`: 100 only when all is done; at most 5 cells."""
    if total <= 0:
        return ""
    return "100 %" if done >= total else f"{min(99, done * 100 // total)} %"


def _things(args: Sequence[str]) -> tuple[list[str], str]:
    """Arguments without options and their values, and the value of `--to`."""
    found: list[str] = []
    to = ""
    before = ""
    for arg in args:
        if before in _VALUED:
            to = arg if before == "--to" else to
            before = ""
            continue
        if not arg.startswith("--"):
            found.append(arg)
        before = arg
    return found, to


def operation(op: Operation, count_too: bool = True, below: str = "") -> str:
    """What an operation did, in words: `added documents/notes.md`, `restored Photos · 214
    versions`. What was added is named as it is called in the volume; what lies below the
    directory `below` from there on."""
    verb = _VERBS.get(op.verb, op.verb or "changed")
    about = op.reverses
    if about is not None:
        if op.verb == "redo" and about.verb == "undo" and about.reverses is not None:
            about = about.reverses  # the undo that was taken back was of this
        return f"{verb}: {operation(about, count_too, below)}"
    names, to = _things(op.args)
    if op.verb in ("add", "watch"):
        names = [_landed(name, to.strip("/")) for name in names]
    above = "" if op.verb == "mount" else f"{below}/"  # a mount lies in no volume
    names = [safe(name.removeprefix(above)) for name in names]
    what = names[0] if names else ""
    if op.verb == "config":
        what, names = ", ".join(names), []
    if op.verb == "mv" and len(names) == 2:
        what, names = f"{names[0]} to {names[1]}", names[:1]
    if len(names) > 1:
        what += f" and {len(names) - 1} more"
    words = f"{verb} {what}".strip()
    return f"{words} · {plural(op.versions, 'version')}" if count_too and op.versions > 1 else words


def _landed(source: str, to: str) -> str:
    """What something added is called in the volume; `SRC/` lands as the directory itself."""
    if source.endswith("/") and to:
        return to
    return f"{to}/{_last(source)}".strip("/")


def _last(path: str) -> str:
    return path.rstrip("/").rpartition("/")[2] or path
