"""When things happen: threads, queues, back-off, watching; what moves, ten times a second."""

from __future__ import annotations

from globofs.engine.engine import Engine
from globofs.engine.jobs import Job
from globofs.engine.runfiles import Request, ask

__all__ = ["Engine", "Job", "Request", "ask"]
