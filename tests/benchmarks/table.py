"""Every row of the table of goals by the name it is asked for."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from tests.benchmarks import bringing, jobs
from tests.benchmarks.bench import Bench, Result
from tests.benchmarks.bench_mount import through_mount
from tests.benchmarks.load import memory

JOBS: Final[dict[str, Callable[[Bench], Result]]] = {
    "large": jobs.large,
    "small": jobs.small,
    "library": jobs.library,
    "many": jobs.many,
    "edits": jobs.edits,
    "mount": through_mount,
    "change": jobs.change,
    "bring": bringing.bring,
    "far": bringing.far,
    "push": bringing.push,
    "round": jobs.round_,
    "start": jobs.start,
    "rebuild": jobs.rebuild,
    "memory": memory,
    "ui": jobs.ui,
}
