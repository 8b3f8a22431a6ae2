"""Python's search for cyclic garbage, paused while very many objects are made that form no cycles.

(What the volume itself collects, blocks without a version, is in `sync.prune`.)
"""

from __future__ import annotations

import contextlib
import gc
from collections.abc import Iterator


@contextlib.contextmanager
def gc_paused() -> Iterator[None]:
    """Pause it for a stretch of bounded length: a batch makes 100,000 objects and no cycles, and
    looking for them is a third of its time. Any thread may be in it; the first that leaves ends it.
    """
    if not gc.isenabled():
        yield
        return
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
