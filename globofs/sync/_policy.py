"""Which versions a policy keeps: pure, on the times of one path's versions."""

from __future__ import annotations

import datetime as _datetime
from collections.abc import Callable, Sequence
from typing import Final

from globofs.errors import UsageError
from globofs.format.kinds import Fields
from globofs.limits import SECOND_NS
from globofs.sync.results import Policy

_PERIODS: Final[tuple[tuple[str, Callable[[_datetime.datetime], tuple[int, ...]]], ...]] = (
    ("keep_hourly", lambda at: (at.year, at.month, at.day, at.hour)),
    ("keep_daily", lambda at: (at.year, at.month, at.day)),
    ("keep_weekly", lambda at: at.isocalendar()[:2]),
    ("keep_monthly", lambda at: (at.year, at.month)),
    ("keep_yearly", lambda at: (at.year,)),
)
_COUNTS: Final = ("keep_last", *(name for name, _ in _PERIODS))


def check(policy: Policy) -> None:
    """Raise UsageError for a policy that keeps nothing, or counts below zero."""
    counts = [getattr(policy, name) for name in _COUNTS]
    if min(*counts, policy.keep_within_seconds) < 0:
        raise UsageError("a policy keeps a number of versions, not less than none")
    if not any(counts) and not policy.keep_within_seconds:
        raise UsageError("an empty policy would keep nothing; say what to keep, as --keep-last 5")


def fields(policy: Policy) -> Fields:
    """The policy as a prune record names it."""
    made = [(name, str(getattr(policy, name))) for name in _COUNTS if getattr(policy, name)]
    if policy.keep_within_seconds:
        made.append(("keep_within", f"{int(policy.keep_within_seconds)}s"))
    return tuple(made)


def kept(times: Sequence[int], policy: Policy, now: int) -> set[int]:
    """The places in `times` (ns, newest first) of the versions that `policy` keeps.

    Of each hour, day, week (local time)... the newest is kept, for as many of them as are asked
    for and have any. What the policy says about one period does not use up another's.
    """
    places = set(range(min(policy.keep_last, len(times))))
    since = now - int(policy.keep_within_seconds * SECOND_NS)
    if policy.keep_within_seconds:
        places.update(place for place, time in enumerate(times) if time >= since)
    for name, period in _PERIODS:
        left = getattr(policy, name)
        before: tuple[int, ...] | None = None
        for place, time in enumerate(times):
            if left <= 0:
                break
            mark = period(_datetime.datetime.fromtimestamp(time // SECOND_NS))
            if mark != before:
                places.add(place)
                before = mark
                left -= 1
    return places
