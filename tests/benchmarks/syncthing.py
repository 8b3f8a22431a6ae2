"""Syncthing as a peer: two of them on this machine that know of each other and of nobody else."""

from __future__ import annotations

import json
import re
import shutil
import socket
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from tests.benchmarks.line import line
from tests.benchmarks.measure import drop_caches

_FOLDER = "bench"
_PATIENCE_SECONDS = 300.0
_NOWHERE = 1  # a port that nobody listens on: only the receiving side calls
_OPTIONS = {
    "globalAnnounceEnabled": False,
    "localAnnounceEnabled": False,
    "relaysEnabled": False,
    "natEnabled": False,
    "startBrowser": False,
    "urAccepted": -1,
    "crashReportingEnabled": False,
    "autoUpgradeIntervalH": 0,
    "setLowPriority": False,
    "reconnectionIntervalS": 1,
    "limitBandwidthInLan": False,
}


def why_not() -> str:
    """Why it cannot be run here, "" if it can."""
    return "" if shutil.which("syncthing") else "is not installed"


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class _Syncthing:
    """One device, run with a home of its own and asked over its REST interface."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.port, self._gui = _free_port(), _free_port()
        self._process: subprocess.Popen[bytes] | None = None
        command = ["syncthing", "generate", f"--home={home}", "--no-default-folder"]
        told = subprocess.run(command, check=True, capture_output=True, text=True)
        self.device = re.findall(r"Device ID: (\S+)", told.stdout + told.stderr)[0]
        config = home / "config.xml"
        text = config.read_text()
        self._key = re.findall(r"<apikey>(.*?)</apikey>", text)[0]
        text = text.replace("127.0.0.1:8384", f"127.0.0.1:{self._gui}")
        listen = f"<listenAddress>tcp://127.0.0.1:{self.port}</listenAddress>"
        config.write_text(text.replace("<listenAddress>default</listenAddress>", listen))

    def start(self) -> None:
        """Run it until it answers."""
        command = ["syncthing", f"--home={self.home}", "--no-browser", "--no-restart"]
        self._process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        self.until(lambda: self.ask("system/ping")["ping"] == "pong")
        self.ask("config/options", "PATCH", _OPTIONS)

    def stop(self) -> None:
        """End it."""
        if self._process is not None:
            self._process.terminate()
            self._process.wait(30)

    def ask(self, what: str, method: str = "GET", body: object = None) -> Any:
        """One call of its REST interface."""
        request = urllib.request.Request(
            f"http://127.0.0.1:{self._gui}/rest/{what}",
            None if body is None else json.dumps(body).encode(),
            {"X-API-Key": self._key},
            method=method,
        )
        with urllib.request.urlopen(request, timeout=30) as answer:
            text = answer.read()
        return json.loads(text) if text else None

    def until(self, happened: Any) -> None:
        """Wait until `happened()`, which may fail until then."""
        end = time.monotonic() + _PATIENCE_SECONDS
        while time.monotonic() < end:
            try:
                if happened():
                    return
            except (OSError, KeyError):
                pass
            time.sleep(0.02)
        raise RuntimeError("syncthing did not get there")

    def meet(self, other: _Syncthing, port: int, folder: Path, paused: bool) -> None:
        """Share `folder` with another device, to be reached at `port`."""
        device = {"deviceID": other.device, "addresses": [f"tcp://127.0.0.1:{port}"]}
        self.ask("config/devices", "POST", device)
        shared = {
            "id": _FOLDER,
            "path": str(folder),
            "devices": [{"deviceID": self.device}, {"deviceID": other.device}],
            "paused": paused,
        }
        self.ask("config/folders", "POST", shared)

    def folder(self) -> Any:
        """What it says of the shared folder."""
        return self.ask(f"db/status?folder={_FOLDER}")


@contextmanager
def _pair(work: Path) -> Iterator[tuple[_Syncthing, _Syncthing]]:
    homes = [work / "syncthing-one", work / "syncthing-two"]
    for home in homes:
        shutil.rmtree(home, ignore_errors=True)
    one, two = map(_Syncthing, homes)
    try:
        one.start()
        two.start()
        yield one, two
    finally:
        one.stop()
        two.stop()


def bring(work: Path, source: Path, target: Path, *, far: bool) -> float:
    """Seconds until everything in `source` is in `target`: both run, have met, and `source` has
    been scanned before; over the line of `line` when `far`."""
    with ExitStack() as stack:
        one, two = stack.enter_context(_pair(work))
        port = stack.enter_context(line(str(one.port))) if far else one.port
        one.meet(two, _NOWHERE, source, False)
        one.until(lambda: one.folder()["state"] == "idle" and one.folder()["localFiles"] > 0)
        target.mkdir()
        two.meet(one, port, target, True)
        two.until(lambda: two.ask("system/connections")["connections"][one.device]["connected"])
        whole = one.folder()["globalBytes"], one.folder()["globalFiles"]
        drop_caches()
        begin = time.monotonic()
        two.ask(f"config/folders/{_FOLDER}", "PATCH", {"paused": False})

        def arrived() -> bool:
            status = two.folder()
            return bool((status["inSyncBytes"], status["inSyncFiles"]) == whole)

        two.until(arrived)
        took = time.monotonic() - begin
    shutil.rmtree(source / ".stfolder", ignore_errors=True)
    return took
