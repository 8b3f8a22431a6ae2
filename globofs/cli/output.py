"""What commands print: data on stdout, narration and progress on stderr, never a raw name.

With `--json` stdout holds JSON only (one document, or a line each for commands that run long),
errors are JSON on stderr, and narration is silent: what matters of it is in the document.
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import fields, is_dataclass
from typing import IO, TYPE_CHECKING, Any, Final, TextIO

from globofs.cli import paint
from globofs.errors import GlobofsError, OutputFailed
from globofs.events import Event, Note, Problem, Progress

if TYPE_CHECKING:
    from globofs.cli.paint import Style
    from globofs.store.views import OperationKey

PROGRESS_SECONDS: Final = 0.1
RATE_WINDOW_SECONDS: Final = 8.0
FIRST_AFTER_SECONDS: Final = 0.3  # what is over sooner needs no progress line


def path_fields(path: bytes, key: str = "path") -> dict[str, str]:
    """A path for JSON: as text, or percent-escaped with its exact bytes in `<key>_b64`."""
    try:
        return {key: path.decode("utf-8")}
    except UnicodeDecodeError:
        import base64

        from globofs.format.text import escape

        return {key: escape(path), f"{key}_b64": base64.b64encode(path).decode("ascii")}


def paths_fields(paths: Iterable[bytes], key: str = "paths") -> dict[str, list[str]]:
    """A list of paths for JSON; where one is not UTF-8, `<key>_b64` has all of them exactly."""
    made = [path_fields(path, key) for path in paths]
    fields = {key: [one[key] for one in made]}
    if any(len(one) > 1 for one in made):
        import base64

        exact = [base64.b64encode(path).decode("ascii") for path in paths]
        fields[f"{key}_b64"] = exact
    return fields


def operation_id(key: OperationKey | None) -> str | None:
    """An operation's name, to be given back to `undo`: `<node uuid>:<number>`."""
    return None if key is None else f"{key.node}:{key.number}"


def problem_fields(problems: Iterable[Problem]) -> list[dict[str, Any]]:
    """The `problems` of a result for JSON."""
    return [
        {**path_fields(one.path), "reason": one.reason, "warning": one.warning} for one in problems
    ]


def plain(result: object) -> dict[str, Any]:
    """The counts and sentences of a result for JSON; `problems` as everywhere."""
    made: dict[str, Any] = {}
    if not is_dataclass(result):
        raise TypeError("not a result")
    for field in fields(result):
        value = getattr(result, field.name)
        if field.name == "problems" and all(isinstance(one, Problem) for one in value):
            made["problems"] = problem_fields(value)
        elif isinstance(value, bytes):
            made.update(path_fields(value, field.name))
        elif isinstance(value, (bool, int, float, str)) or value is None:
            made[field.name] = value
        elif isinstance(value, tuple) and all(isinstance(one, (str, int)) for one in value):
            made[field.name] = list(value)
    return made


class Output:
    """The streams of one command. Any thread may call; lines never tear each other."""

    def __init__(self, json: bool = False, *, out: TextIO | None = None, err: TextIO | None = None):
        self.as_json = json
        self._out: TextIO = out or sys.stdout
        self._err: TextIO = err or sys.stderr
        self._lock = threading.RLock()
        self._said: set[tuple[bytes, str]] = set()
        self._meter = _Meter()
        self._drawn = False
        self.live = not json and _is_terminal(self._err)
        self._out_is_terminal = _is_terminal(self._out)
        self._coloured = paint.wanted(self._out)
        self._err_coloured = paint.wanted(self._err)

    def paint(self, text: str, style: Style | None) -> str:
        """`text` in the colour of `style`, where stdout shows colours."""
        return paint.painted(text, style) if style and self._coloured else text

    # --- stdout: data -------------------------------------------------------------------------

    def line(self, text: str = "") -> None:
        """One line of data. The caller has made names safe."""
        with self._lock, _writing():
            self._clear_for_data()
            self._out.write(text + "\n")

    def told(self, text: str) -> None:
        """One line of a story, seen at once."""
        with self._lock, _writing():
            self.line(text)
            self._out.flush()

    def bytes(self, data: bytes) -> None:
        """Content, exactly as it is."""
        with self._lock, _writing():
            self._clear_for_data()
            self._out.flush()
            raw: IO[bytes] = self._out.buffer
            raw.write(data)

    def table(self, rows: Sequence[Sequence[str]], right: Sequence[int] = ()) -> None:
        """Rows in columns two blanks apart; the columns in `right` (numbers) end alike."""
        if not rows:
            return
        from globofs.speech import columns

        sizes = [[columns(paint.bare(cell)) for cell in row] for row in rows]
        widths = [max(column) for column in zip(*sizes, strict=True)]
        for row, size in zip(rows, sizes, strict=True):
            cells = []
            for place, cell in enumerate(row):
                blanks = " " * (widths[place] - size[place])
                cells.append(blanks + cell if place in right else cell + blanks)
            self.line("  ".join(cells).rstrip())

    def document(self, value: object) -> None:
        """The one JSON document of a command."""
        self.line(_json(value, indent=2))

    def rows(self, values: Iterable[dict[str, Any]]) -> None:
        """A JSON list, written as its rows are made: a million rows need no memory."""
        last: str | None = None
        for value in values:
            if last is None:
                self.line("[")
            else:
                self.line(last + ",")
            last = _json(value)
        if last is None:
            self.line("[]")
        else:
            self.line(last)
            self.line("]")

    def event(self, value: dict[str, Any]) -> None:
        """One JSON line of a command that runs long; seen at once by whoever reads."""
        with self._lock, _writing():
            self.line(_json(value))
            self._out.flush()

    # --- stderr: narration --------------------------------------------------------------------

    def say(self, text: str) -> None:
        """A sentence to whoever runs the command; silent with `--json`."""
        if not self.as_json:
            self._narrate(text)

    def problem(self, problem: Problem) -> None:
        """Name what was not done, once."""
        from globofs.speech import safe

        with self._lock:
            key = (problem.path, problem.reason)
            if key in self._said:
                return
            self._said.add(key)
        path = f"{safe(problem.path)}: " if problem.path else ""
        mark = self._marked("warning: ", "warn") if problem.warning else ""
        self.say(f"globofs: {mark}{path}{safe(problem.reason)}")

    def problems(self, problems: Iterable[Problem]) -> None:
        """Name everything in `problems` that was not named yet."""
        for problem in problems:
            self.problem(problem)

    def error(self, error: GlobofsError) -> None:
        """The sentence of an error; with `--json` an object with `error`, `code` and `path`."""
        from globofs.errors import printable

        if not self.as_json:
            self._narrate(f"{self._marked('globofs: ', 'bad')}{printable(error.message)}")
            return
        fields: dict[str, Any] = {"error": printable(error.message), "code": error.code}
        path = error.exact_path
        fields.update({"path": None} if path is None else path_fields(path))
        self._narrate(_json(fields))

    def emit(self, event: Event) -> None:
        """The `emit` of verbs: narrates notes and problems, draws progress. From any thread."""
        if isinstance(event, Progress):
            self.progress(event)
        elif isinstance(event, Problem):
            self.problem(event)
        elif isinstance(event, Note):
            from globofs.speech import safe

            who = f"{safe(event.peer)}: " if event.peer else ""
            self.say(f"globofs: {who}{safe(event.text)}")

    # --- progress -----------------------------------------------------------------------------

    def progress(self, progress: Progress) -> None:
        """Draw the progress line when stderr is a terminal, ten times a second at most."""
        if not self.live:
            return
        from globofs.speech import clipped

        with self._lock:
            text = self._meter.line(progress, time.monotonic())
            if text is not None:
                self._err.write(f"\r{clipped(text, _columns() - 1)}\x1b[K")
                self._err.flush()
                self._drawn = True

    def clear(self) -> None:
        """Take the progress line away."""
        with self._lock:
            if self._drawn:
                self._drawn = False
                self._err.write("\r\x1b[K")
                self._err.flush()

    def _clear_for_data(self) -> None:
        if self._drawn and self._out_is_terminal:
            self.clear()

    def _narrate(self, text: str) -> None:
        with self._lock:
            self.clear()
            self._err.write(text + "\n")
            self._err.flush()

    def _marked(self, text: str, style: Style) -> str:
        return paint.painted(text, style) if self._err_coloured else text

    def flush(self) -> None:
        """Everything is with the reader; raises BrokenPipeError where nobody reads."""
        with self._lock, _writing():
            self.clear()
            self._out.flush()


@contextmanager
def _writing() -> Iterator[None]:
    """stdout that fails (a full disk behind `>`) is not the volume's fault. A reader that left
    stays a BrokenPipeError."""
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as error:
        raise OutputFailed(reason=error.strerror or str(error)) from error


class _Meter:
    """Rate and time left of what is in progress, over the last seconds."""

    def __init__(self) -> None:
        self._begun: float | None = None
        self._drawn_at = 0.0
        self._seen: list[tuple[float, int]] = []
        self._phase = ("", "")

    def line(self, progress: Progress, now: float) -> str | None:
        """The text to draw, or None while it is too soon after the last one."""
        if self._phase != (progress.verb, progress.phase):
            self._phase = (progress.verb, progress.phase)
            self._seen = []
            self._begun = now if self._begun is None else self._begun
        begun = now if self._begun is None else self._begun
        if now - begun < FIRST_AFTER_SECONDS or now - self._drawn_at < PROGRESS_SECONDS:
            return None
        self._drawn_at = now
        self._seen.append((now, progress.bytes))
        while len(self._seen) > 2 and now - self._seen[0][0] > RATE_WINDOW_SECONDS:
            del self._seen[0]
        return self._words(progress, now)

    def _words(self, progress: Progress, now: float) -> str:
        from globofs.speech import plural, rate_words, safe, size_words, span_words

        then, had = self._seen[0]
        rate = max(0, progress.bytes - had) / (now - then) if now > then else 0.0
        head = progress.phase or progress.verb
        parts = []
        if progress.files_total:
            more = "+" if progress.growing else ""
            parts.append(f"{progress.files:,}/{progress.files_total:,}{more} files")
        elif progress.files:
            parts.append(plural(progress.files, "file"))
        if progress.bytes_total:
            share = min(100, 100 * progress.bytes // progress.bytes_total)
            parts.append(f"{size_words(progress.bytes)} of {size_words(progress.bytes_total)}")
            parts.append(f"{share}%")
        elif progress.bytes:
            parts.append(size_words(progress.bytes))
        if rate:
            parts.append(rate_words(rate))
            left = progress.bytes_total - progress.bytes
            if left > 0 and not progress.growing:
                parts.append(f"{span_words(left / rate)} left")
        if progress.path:
            parts.append(safe(progress.path))
        return f"{head}: {', '.join(parts)}"


def _is_terminal(stream: TextIO) -> bool:
    try:
        return stream.isatty()
    except ValueError:  # closed
        return False


def _columns() -> int:
    import shutil

    return max(20, shutil.get_terminal_size().columns)


def _json(value: object, indent: int | None = None) -> str:
    """JSON with letters as they are, but for those that a terminal might obey: as `\\u009b`."""
    import json

    text = json.dumps(value, ensure_ascii=False, indent=indent)
    if text.isascii() and "\x7f" not in text:
        return text
    return "".join(f"\\u{ord(c):04x}" if "\x7f" <= c <= "\x9f" else c for c in text)
