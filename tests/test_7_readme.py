"""The README's own lines: the first steps as typed, and every command it names."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path

from globofs.cli.parser import COMMANDS, build, split
from tests.helpers_cli import ENVIRONMENT

HOUSE = Path(__file__).resolve().parent.parent
TEXT = (HOUSE / "README.md").read_text()


def blocks(section: str) -> list[str]:
    """What is to be typed in a section."""
    found = re.search(rf"^## {section}\n(.*?)(?=^## |\Z)", TEXT, re.MULTILINE | re.DOTALL)
    assert found is not None
    return re.findall(r"^```sh\n(.*?)^```", found[1], re.MULTILINE | re.DOTALL)


def test_the_first_steps_as_typed(tmp_path: Path) -> None:
    home, tools = tmp_path / "home", tmp_path / "bin"
    home.mkdir()
    tools.mkdir()
    (tools / "globofs").write_text(f'#!/bin/sh\nexec "{sys.executable}" -m globofs "$@"\n')
    (tools / "globofs").chmod(0o755)
    first, second = blocks("First steps")
    first = re.sub(r"^globofs +# the UI\n", "", first, flags=re.MULTILINE)
    second = second.replace("/mnt/disk", str(tmp_path / "disk"))
    (tmp_path / "disk").mkdir()
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", first + second],
        cwd=home,
        env={**ENVIRONMENT, "HOME": str(home), "PATH": f"{tools}:{ENVIRONMENT['PATH']}"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "+oops" in done.stdout
    assert "restored 1 file" in done.stderr
    copied = subprocess.run(
        [
            sys.executable,
            "-m",
            "globofs",
            "-C",
            tmp_path / "disk/vol",
            "cat",
            "Documents/letter.txt",
        ],
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
        check=True,
    )
    assert copied.stdout == "dear\noops\n", "undo took the restore back"


def test_every_command_it_names_is_understood() -> None:
    lines = re.findall(r"`globofs ([^`]+)`", TEXT)
    lines += re.findall(r"^globofs +([^#\n]*)", TEXT, re.MULTILINE)
    tried = 0
    for line in lines:
        words = shlex.split(line.replace("PATH`", "PATH"))
        given = split(words)
        if given.name is None:
            continue
        build(COMMANDS[given.name]).parse_args([*given.rest, *(["x"] if line == "restore" else [])])
        tried += 1
    assert tried > 25
