"""Time as the store sees it: one object to replace in tests and simulations."""

from __future__ import annotations

import time
from functools import cache
from typing import Final, Protocol


class Clock(Protocol):
    """Where the time comes from."""

    def now_ns(self) -> int:
        """Nanoseconds since 1970 (may jump, forwards and back)."""

    def monotonic(self) -> float:
        """Seconds since some moment; never goes back. For deadlines and rates only."""

    def sleep(self, seconds: float) -> None:
        """Let at least `seconds` pass."""


class SystemClock:
    """The machine's own clock."""

    def now_ns(self) -> int:
        """Nanoseconds since 1970."""
        return time.time_ns()

    def monotonic(self) -> float:
        """Seconds since boot, or thereabouts."""
        return time.monotonic()

    def sleep(self, seconds: float) -> None:
        """Sleep `seconds`."""
        time.sleep(seconds)


SYSTEM: Final[Clock] = SystemClock()


@cache
def boot_id() -> str:
    """Eight hex digits that change when the machine starts anew; `00000000` where unknown.

    What is visible but was never synced survives a killed process, not a boot: whoever relies on
    un-synced files remembers this and looks again when it has changed.
    """
    try:
        with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as file:
            return file.read(8)
    except (OSError, UnicodeDecodeError):
        return "00000000"
