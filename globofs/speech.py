"""What all faces say alike: times, sizes, ages, states and reasons, and how they are typed in.

Pure: no disk, no volume. Times are nanoseconds since 1970, sizes bytes, spans seconds.

A time names *all of its last unit*: `18:00` is the moment just before 18:01, `2026-11-23` the end
of that day. So whatever a screen shows for a version can be typed back with `--at` and shows it.
With `start=True` (for "changed since") it is the beginning of the unit instead.
"""

from __future__ import annotations

import re
import time
from bisect import bisect_right
from collections.abc import Iterable, Sequence
from itertools import accumulate
from typing import TYPE_CHECKING

from globofs.errors import BadTime, UsageError, printable
from globofs.errors import plural as plural
from globofs.format.text import format_time
from globofs.limits import SECOND_NS, TIME_MAX_NS

if TYPE_CHECKING:
    from globofs.snapshots import Lag, PeerStatus, Status
    from globofs.store.views import Operation

_MINUTE, _HOUR, _DAY = 60, 3600, 86400
_WEEK, _MONTH, _YEAR = 7 * _DAY, 30 * _DAY, 365 * _DAY
MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_DAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")


def safe(value: bytes | str) -> str:
    """`value` on one line of a terminal: control characters and stray bytes escaped."""
    return printable(value).replace("\n", "\\x0a")


def shown_path(path: bytes) -> str:
    """A volume path as faces show it; the root is `/`."""
    return safe(path) if path else "/"


def columns(text: str) -> int:
    """How many columns of a terminal `text` takes: wide characters two, combining ones none."""
    if text.isascii():
        return len(text)
    from unicodedata import category, east_asian_width

    return sum(
        0 if category(char) in ("Mn", "Me", "Cf") else 2 if east_asian_width(char) in "WF" else 1
        for char in text
    )


def clipped(text: str, width: int) -> str:
    """As much of the beginning of `text` as `width` columns hold."""
    if text.isascii():
        return text[:width]
    used = (0, *accumulate(columns(char) for char in text))
    return text[: bisect_right(used, width) - 1]


def ljust(text: str, width: int) -> str:
    """`text` with blanks behind, `width` columns wide."""
    return text + " " * (width - columns(text))


def rjust(text: str, width: int) -> str:
    """`text` with blanks before, `width` columns wide."""
    return " " * (width - columns(text)) + text


# --- numbers ----------------------------------------------------------------------------------


def size_words(n: int | float) -> str:
    """At most ten characters: `512 B`, `1.4 KiB`, `1,023 MiB`."""
    value = float(n)
    units = ("B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB")
    steps = 0
    while abs(value) >= 1023.5 and steps < len(units) - 1:
        value /= 1024
        steps += 1
    unit = units[steps]
    if unit == "B":
        return f"{int(value)} B"
    return f"{value:.1f} {unit}" if abs(value) < 99.95 else f"{value:,.0f} {unit}"


def rate_words(bytes_per_second: float) -> str:
    """`1.4 MiB/s`; an idle line is `0 B/s`."""
    return f"{size_words(bytes_per_second)}/s"


_SIZES = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}


def parse_size(text: str) -> int:
    """`512`, `64K`, `1.5M`, `1 GiB`: bytes. Raises `UsageError`."""
    found = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([KMGT]?)(?:i?B)?\s*", text, re.IGNORECASE)
    if found is None:
        raise UsageError(f"{printable(text)}: not a size; try 64K, 1M or 1.5G")
    return int(float(found[1]) * _SIZES[found[2].upper()])


_SPANS = {"s": 1, "m": _MINUTE, "h": _HOUR, "d": _DAY, "w": _WEEK, "mo": _MONTH, "y": _YEAR}


def parse_span(text: str) -> int:
    """`30s`, `30m`, `12h`, `7d`, `4w`, `6mo`, `1y`: seconds. Raises `UsageError`."""
    found = re.fullmatch(r"\s*(\d+)\s*(s|m|h|d|w|mo|y)\s*", text)
    if found is None:
        raise UsageError(f"{printable(text)}: not a length of time; try 30m, 12h or 7d")
    return int(found[1]) * _SPANS[found[2]]


def span_words(seconds: float) -> str:
    """A length of time in two units at most: `8s`, `2m 10s`, `3h 05m`, `4d 2h`."""
    left = max(0, round(seconds))
    if left < _MINUTE:
        return f"{left}s"
    if left < _HOUR:
        return f"{left // _MINUTE}m {left % _MINUTE:02d}s"
    if left < _DAY:
        return f"{left // _HOUR}h {left % _HOUR // _MINUTE:02d}m"
    return f"{left // _DAY}d {left % _DAY // _HOUR}h"


def lag_words(lag: Lag) -> str:
    """How quickly a screen answers: `2 ms usual, 9 ms but for 5 %, 31 ms at most`."""
    usual, high, most = (f"{one * 1000:.0f} ms" for one in (lag.usual, lag.high, lag.most))
    return f"{usual} usual, {high} but for 5 %, {most} at most"


def step_words(ns: int) -> str:
    """The step of a clock, `1 ns`, `10 ms`, `2 s`."""
    for unit, size in (("s", SECOND_NS), ("ms", 1_000_000), ("us", 1_000)):
        if ns >= size:
            return f"{ns // size} {unit}"
    return f"{ns} ns"


# --- times shown ------------------------------------------------------------------------------


def age_words(ns: int, now: int) -> str:
    """`now`, `12s ago`, `2h ago`, `3d ago`, `2y ago`; rounded down, so that typing it back as a
    moment still includes what happened at `ns`. `in 5m` for a time ahead of `now`."""
    seconds = (now - ns) // SECOND_NS
    if seconds < -1:
        return f"in {_one_unit(-seconds)}"
    return "now" if seconds < 2 else f"{_one_unit(seconds)} ago"


def long_age(ns: int, now: int) -> str:
    """`just now`, `3 days ago`, `1 year and 2 months ago`, `in 2 hours`: for sentences, beside the
    exact time; in columns `age_words` is what does not wobble. Rounded down as that is."""
    seconds = (now - ns) // SECOND_NS
    if -2 < seconds < 2:
        return "just now"
    from datetime import timedelta

    from humanize import precisedelta  # only where such a sentence is said: a listing is quicker

    # Cut, not rounded, and a month of humanize is longer than ours: see `age_words`.
    left = timedelta(seconds=abs(seconds))
    unit = next((unit for unit, size in _LONG_UNITS if left.total_seconds() < size), "months")
    words = precisedelta(left, minimum_unit=unit, format="%d")
    return f"{words} ago" if seconds > 0 else f"in {words}"


_LONG_UNITS = (
    ("seconds", _MINUTE),
    ("minutes", _HOUR),
    ("hours", _DAY),
    ("days", 31 * _DAY),
)
"""The smallest unit that is said of a span shorter than so many seconds."""


def _one_unit(seconds: int) -> str:
    for unit in ("y", "mo", "w", "d", "h", "m"):
        limit = 2 * _WEEK if unit == "w" else _SPANS[unit]
        if seconds >= limit:
            return f"{seconds // _SPANS[unit]}{unit}"
    return f"{seconds}s"


def exact_time(ns: int, *, fraction: bool = False) -> str:
    """Local time, `2026-11-23 18:00:05`, with all nine digits where asked."""
    stamp = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(ns // SECOND_NS))
    return f"{stamp}.{ns % SECOND_NS:09d}" if fraction else stamp


def short_time(ns: int, now: int, *, seconds: bool = False) -> str:
    """The shortest form that is exact enough beside `now`: `18:00:05`, `yesterday 18:00`,
    `23 Nov 18:00`, `23 Nov 2025`; never over 15 characters. With `seconds` those of the two in
    the middle are `22 Nov 18:00:05`."""
    then, today = time.localtime(ns // SECOND_NS), time.localtime(now // SECOND_NS)
    if then[:3] == today[:3]:
        return time.strftime("%H:%M:%S", then)
    if not seconds and then[:3] == time.localtime(now // SECOND_NS - _DAY)[:3]:
        return time.strftime("yesterday %H:%M", then)
    day = f"{then.tm_mday:2d} {MONTHS[then.tm_mon - 1]}"
    if then.tm_year == today.tm_year:
        return day + time.strftime(" %H:%M:%S" if seconds else " %H:%M", then)
    return f"{day} {then.tm_year}"


def version_number(ns: int) -> str:
    """A version's name: seconds, a point, nine digits."""
    return format_time(ns)


def rfc3339(ns: int) -> str:
    """UTC with all nine digits, for JSON; `parse_time` reads it back exactly."""
    stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(ns // SECOND_NS))
    return f"{stamp}.{ns % SECOND_NS:09d}Z"


def moment_name(ns: int, after: int, before: int) -> str:
    """The shortest `2026-11-23T18:00:05`, local time, that means `ns` and neither of the moments
    `after` and `before` beside it: with more digits where they are in the same second, and with
    the zone where the clock showed that hour twice."""
    then = time.localtime(ns // SECOND_NS)
    text, zone = time.strftime("%Y-%m-%dT%H:%M:%S", then), time.strftime("%z", then)
    for digits in (0, 3, 6, 9):
        fraction = f".{ns % SECOND_NS:09d}"[: digits + 1] if digits else ""
        for name in (text + fraction, text + fraction + zone):
            begin, end = parse_time(name, 0, start=True), parse_time(name, 0)
            if after < begin <= ns <= end < before:
                return name
    return version_number(ns)


# --- times typed ------------------------------------------------------------------------------

# Patterns are compiled when first used: `ls` needs none of them, and start-up counts.
_NUMBER = r"(\d{1,12})\.(\d{9})(?:-[0-9a-f]{8})?"
_SPAN = r"(?:(\d+)|an?)\s*([a-z]+)"
_AND = r"(?:, | and )"
_AWAY = rf"(in )?({_SPAN}(?:{_AND}{_SPAN})*)( ago| from now)?"
_ISO = (
    r"(\d{4})-?(\d\d)-?(\d\d)"
    r"(?:[t ](\d\d)(?::?(\d\d)(?::?(\d\d)(?:[.,](\d{1,9}))?)?)?\s*(z|utc|[+-]\d\d(?::?\d\d)?)?)?"
)
_CLOCK = r"(\d{1,2}):(\d\d)(?::(\d\d)(?:\.(\d{1,9}))?)?"
_MONTH_FIRST = r"([a-z]{3,9}) (\d{1,2})(?:,)?(?= |$)"
_WORDY = r"(\d{1,2})\s+([a-z]{3,9})\.?(?:\s+(\d{4}))?(?:\s+(\S+))?"
_UNITS = {
    **dict.fromkeys(("s", "sec", "secs", "second", "seconds"), 1),
    **dict.fromkeys(("m", "min", "mins", "minute", "minutes"), _MINUTE),
    **dict.fromkeys(("h", "hr", "hrs", "hour", "hours"), _HOUR),
    **dict.fromkeys(("d", "day", "days"), _DAY),
    **dict.fromkeys(("w", "week", "weeks"), _WEEK),
    **dict.fromkeys(("mo", "month", "months"), _MONTH),
    **dict.fromkeys(("y", "year", "years"), _YEAR),
}


def parse_time(text: str, now: int, *, start: bool = False) -> int:
    """The moment `text` names: ISO 8601 (local without a zone), `yesterday 18:00`, `2h ago`,
    `in 5m`, `monday`, `5 Nov 18:00`, `last week` (seven days ago), a version's number, and every
    form the screens show. Raises `BadTime`."""
    words = " ".join(text.split())
    found = re.fullmatch(_NUMBER, words)
    if found:
        return _bounded(int(found[1]) * SECOND_NS + int(found[2]), text)
    lower = words.lower()
    try:
        moment = _parse_words(lower, now, start)
    except (ValueError, OverflowError, OSError):
        moment = None
    if moment is None:
        raise BadTime(text=text or "an empty word")
    return _bounded(moment, text)


def _bounded(ns: int, text: str) -> int:
    if not 0 <= ns < TIME_MAX_NS:
        raise BadTime(text=text)
    return ns


def _parse_words(lower: str, now: int, start: bool) -> int | None:
    if lower in ("now", "just now"):
        return now
    away = re.fullmatch(_AWAY, lower)
    if away and bool(away[1]) != bool(away[7]):
        spans = [re.fullmatch(_SPAN, one) for one in re.split(_AND, away[2])]
        if any(span is None or span[2] not in _UNITS for span in spans):
            return None
        seconds = sum(int(span[1] or 1) * _UNITS[span[2]] for span in spans if span)
        return now + (-seconds if away[7] == " ago" else seconds) * SECOND_NS
    iso = re.fullmatch(_ISO, lower)
    if iso:
        year, month, day, hour, minute, second, fraction, zone = iso.groups()
        return _moment(
            (int(year), int(month), int(day)), (hour, minute, second, fraction), zone, start
        )
    last = re.fullmatch(r"(?:last|a|one) (week|month|year)", lower)
    if last:
        return now - _UNITS[last[1]] * SECOND_NS
    head, _, rest = lower.removeprefix("last ").partition(" ")
    day = _named_day(head, now)
    if day is not None:
        return _with_clock(day, rest, start)
    if re.fullmatch(_CLOCK, lower):
        return _with_clock(_date(now, 0), lower, start)
    wordy = re.fullmatch(_WORDY, re.sub(rf"^{_MONTH_FIRST}", r"\2 \1", lower))
    if wordy and wordy[2][:3].title() in MONTHS:
        month_number = MONTHS.index(wordy[2][:3].title()) + 1
        this_year = time.localtime(now // SECOND_NS).tm_year
        date = (int(wordy[3] or this_year), month_number, int(wordy[1]))
        if not wordy[3] and (_moment(date, (None,) * 4, None, True) or 0) > now:
            date = (this_year - 1, *date[1:])
        return _with_clock(date, wordy[4] or "", start)
    return None


def _date(now: int, days_back: int) -> tuple[int, int, int]:
    today = time.localtime(now // SECOND_NS)
    noon = time.mktime((today.tm_year, today.tm_mon, today.tm_mday - days_back, 12, 0, 0, 0, 0, -1))
    year, month, day = time.localtime(noon)[:3]
    return year, month, day


def _named_day(word: str, now: int) -> tuple[int, int, int] | None:
    if word in ("today", "yesterday"):
        return _date(now, 0 if word == "today" else 1)
    if len(word) >= 3:
        for number, name in enumerate(_DAYS):
            if name.startswith(word):
                back = (time.localtime(now // SECOND_NS).tm_wday - number) % 7
                return _date(now, back or 7)
    return None


def _with_clock(date: tuple[int, int, int], clock: str, start: bool) -> int | None:
    if not clock:
        return _moment(date, (None,) * 4, None, start)
    found = re.fullmatch(_CLOCK, clock.removeprefix("at "))
    return None if found is None else _moment(date, found.groups(), None, start)


def _moment(
    date: tuple[int, int, int], clock: Sequence[str | None], zone: str | None, start: bool
) -> int:
    """Nanoseconds of a date and clock, at the start or the end of the last unit given."""
    import datetime

    hour, minute, second, fraction = clock
    moment = datetime.datetime(*date, int(hour or 0), int(minute or 0), int(second or 0))
    unit = _DAY * SECOND_NS
    if fraction is not None:
        unit = int(10 ** (9 - len(fraction)))
    elif hour is not None:
        unit = SECOND_NS * (1 if second is not None else _MINUTE if minute is not None else _HOUR)
    end = (
        moment
        if start or fraction is not None
        else moment + datetime.timedelta(seconds=unit // SECOND_NS)
    )
    if zone is None:
        ns = int(time.mktime((*end.timetuple()[:6], 0, 0, -1))) * SECOND_NS
    else:
        ns = int(end.replace(tzinfo=_zone(zone)).timestamp()) * SECOND_NS
    if fraction is not None:
        return ns + int(fraction.ljust(9, "0")) + (0 if start else unit - 1)
    return ns if start else ns - 1


def _zone(text: str) -> datetime.tzinfo:
    import datetime

    if text.lower() in ("z", "utc"):
        return datetime.UTC
    digits = text[1:].replace(":", "").ljust(4, "0")
    offset = datetime.timedelta(hours=int(digits[:2]), minutes=int(digits[2:]))
    return datetime.timezone(-offset if text[0] == "-" else offset)


if TYPE_CHECKING:
    import datetime

# --- states and reasons -----------------------------------------------------------------------


def state_words(peer: PeerStatus) -> str:
    """A peer's state in a sentence: what it is, why, and what is left to do."""
    if peer.state != "online" and peer.state != "readonly":
        if peer.reason.startswith(peer.state):
            return safe(peer.reason)
        return f"{peer.state}: {safe(peer.reason)}" if peer.reason else peer.state
    word = peer.state if peer.activity == "idle" else peer.activity
    behind = []
    if peer.outgoing:
        behind.append(f"{plural(peer.outgoing, 'record')} not acknowledged yet")
    if peer.incoming:
        behind.append(f"{plural(peer.incoming, 'record')} to receive")
    rest = "failing" if peer.reason and peer.state == "online" else "up to date"
    text = f"{word}, {' and '.join(behind) or rest}"
    return f"{text} ({safe(peer.reason)})" if peer.reason else text


def status_words(status: Status) -> str:
    """The volume in one line."""
    parts = [plural(status.files, "file"), plural(status.versions, "version")]
    if status.conflicts:
        parts.append(plural(status.conflicts, "conflict"))
    if status.blocks_missing:
        missing = plural(status.blocks_missing, "block")
        parts.append(f"{missing} not here ({size_words(status.bytes_missing)})")
    return ", ".join(parts)


def where_words(nodes: Iterable[str]) -> str:
    """`a`, `a and b`, `a, b and c`; `nobody` for none."""
    names = [safe(name) for name in nodes]
    if len(names) < 2:
        return names[0] if names else "nobody"
    return f"{', '.join(names[:-1])} and {names[-1]}"


# --- the equivalent command -------------------------------------------------------------------


def command(verb: str, *words: bytes | str, **options: str | bool | None) -> str:
    """The line to type at a shell: `globofs restore --at '2h ago' Photos`. Options that are
    None or False are left out; a path that is no text is quoted as the shell's `$'..'`."""
    line = ["globofs", *verb.split()]
    for name, value in options.items():
        if value is None or value is False:
            continue
        line.append("--" + name.replace("_", "-"))
        if value is not True:
            line.append(_quoted(value))
    shown = [_quoted(word) for word in words]
    if any(word.startswith("-") for word in shown):
        line.append("--")
    return " ".join(line + shown)


def _quoted(word: bytes | str) -> str:
    import os
    import shlex

    raw = word if isinstance(word, bytes) else os.fsencode(word)
    text = os.fsdecode(raw)
    if text.isprintable():
        return shlex.quote(text)
    kept = b"".join(
        bytes((b,)) if 0x20 <= b < 0x7F and b not in b"'\\" else b"\\x%02x" % b for b in raw
    )
    return f"$'{kept.decode('ascii')}'"


_BY_NO_COMMAND = {
    "config": "made itself known",
    "mount": "written through the mount",
    "recover": "recovered from a mount that died",
}


def equivalent(operation: Operation) -> str:
    """The command that does what `operation` did; in brackets, what no command does."""
    if operation.verb in _BY_NO_COMMAND:
        return f"({' '.join((_BY_NO_COMMAND[operation.verb], *operation.args))})"
    words = [_quoted(word) for word in operation.args]
    return " ".join(["globofs", *operation.verb.split(), *words])
