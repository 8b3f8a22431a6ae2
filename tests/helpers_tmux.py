"""A real terminal to type into and look at: tmux on a socket of its own."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PROMPT = "ready$"
PATIENCE = 40.0  # seconds; what is waited for comes in a fraction of one on a quiet machine


def _usable() -> str:
    if not shutil.which("tmux"):
        return "tmux is not installed"
    done = subprocess.run(["tmux", "-V"], capture_output=True, text=True, check=False)
    return "" if done.returncode == 0 else "tmux does not start"


WHY_NOT = _usable()
needs_tmux = [pytest.mark.tmux, pytest.mark.skipif(bool(WHY_NOT), reason=WHY_NOT or "usable")]


class Terminal:
    """One tmux pane with a shell in it."""

    def __init__(self, socket: str) -> None:
        self._socket = socket

    def tmux(self, *words: str) -> str:
        """Run a tmux command on this server."""
        line = ["tmux", "-S", self._socket, "-f", os.devnull, *words]
        done = subprocess.run(line, capture_output=True, timeout=20, check=True)
        return done.stdout.decode("utf-8", "replace")

    def keys(self, *keys: str) -> None:
        """Press keys by name."""
        self.tmux("send-keys", *keys)

    def type(self, text: str) -> None:
        """Type text as it is."""
        self.tmux("send-keys", "-l", text)

    def run(self, *words: str | Path, **environ: str) -> None:
        """Start `globofs WORDS` from the shell."""
        env = [f"{key}={value}" for key, value in environ.items()]
        line = ["env", *env, sys.executable, "-m", "globofs", *map(str, words)]
        self.type(shlex.join(line))
        self.keys("Enter")

    def screen(self, *, styles: bool = False) -> str:
        """What stands on the screen, with its escape sequences where asked."""
        return self.tmux("capture-pane", "-p", *(["-e"] if styles else []))

    def screen_of_start(self) -> str:
        """The usual screen, below the one that a program on the alternate screen has."""
        return self.tmux("capture-pane", "-p", "-a", "-J")

    def until(self, seen: str | Callable[[str], object], *, without: str = "") -> str:
        """Wait until a text stands on the screen (and another does not), or a check holds."""
        end = time.monotonic() + PATIENCE
        while True:
            screen = self.screen()
            found = seen in screen if isinstance(seen, str) else seen(screen)
            if found and (not without or without not in screen):
                return screen
            assert time.monotonic() < end, f"waited for {seen!r} without {without!r} in:\n{screen}"
            time.sleep(0.05)

    def fact(self, name: str) -> str:
        """A format variable of tmux for the pane."""
        return self.tmux("display-message", "-p", f"#{{{name}}}").strip()

    def resize(self, width: int, height: int) -> None:
        """Another size, while something runs."""
        self.tmux("resize-window", "-x", str(width), "-y", str(height))

    def at_shell(self) -> str:
        """Wait for the shell to be back; nothing of the UI may be left behind. The screen."""
        screen = self.until(lambda text: text.rstrip().endswith(PROMPT))
        self.type("echo still-$((20 + 22))")
        self.keys("Enter")
        self.until("still-42")
        for fact, clean in (("alternate_on", "0"), ("mouse_any_flag", "0"), ("cursor_flag", "1")):
            assert self.fact(fact) == clean, fact
        assert self.fact("bracket_paste_flag") in ("", "0", "1")
        return screen


@contextmanager
def terminal(place: Path, width: int = 80, height: int = 24) -> Iterator[Terminal]:
    """A terminal with a shell, for as long as the block runs. Homes and settings are in `place`."""
    home = place / "home"
    home.mkdir()
    made = Terminal(str(place / "s"))
    env = {
        "HOME": home, "XDG_CONFIG_HOME": home, "XDG_STATE_HOME": home, "XDG_CACHE_HOME": home,
        "PYTHONPATH": ROOT, "TZ": "UTC", "LC_ALL": "C.UTF-8", "PS1": PROMPT, "COLORTERM": "truecolor",
        "TEXTUAL_ANIMATIONS": "none", "PATH": os.environ["PATH"], "HISTFILE": os.devnull,
    }  # fmt: skip
    shell = shlex.join(["env", "-i"])
    words = [f"{key}={value}" for key, value in env.items()]
    line = f"{shell} {shlex.join(words)} bash --norc --noprofile"
    made.tmux("-u", "new-session", "-d", "-x", str(width), "-y", str(height), "-c", str(home), line)
    try:
        made.until(PROMPT)
        yield made
    finally:
        made.tmux("kill-server")
