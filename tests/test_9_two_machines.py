"""The README's story of two machines, its very lines, over loopback sshds."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.helpers_sshd import HOUSE, Machine, machines, needs_sshd

pytestmark = [*needs_sshd, pytest.mark.timeout(240)]

SECTION = re.compile(r"^## Two machines\n(.*?)(?=^## |\Z)", re.MULTILINE | re.DOTALL)
BLOCK = re.compile(
    r"^```sh\n# on (both|the server|the laptop)\n(.*?)^```", re.MULTILINE | re.DOTALL
)


def told() -> list[tuple[str, str]]:
    """The blocks of lines, and where each is typed."""
    found = SECTION.search((HOUSE / "README.md").read_text())
    assert found is not None
    text = found.group(1)
    blocks = [(where.removeprefix("the "), lines) for where, lines in BLOCK.findall(text)]
    assert len(blocks) == text.count("```sh"), "every block says where it is typed"
    return blocks


def typed(machine: Machine, lines: str) -> str:
    done = machine.shell(lines)
    assert done.returncode == 0, f"{lines}\n{done.stdout}\n{done.stderr}"
    assert "Traceback" not in done.stderr
    return done.stdout


def files_below(directory: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(directory)): path.read_bytes()
        for path in directory.rglob("*")
        if path.is_file()
    }


def test_the_lines_of_the_readme(tmp_path: Path) -> None:
    with machines(tmp_path, "laptop", "server") as (laptop, server):
        documents = laptop.home / "Documents"
        reports = server.home / "Reports"
        for place, names in ((documents, ("letter.txt", "a/plan")), (reports, ("2026", "2027"))):
            for name in names:
                (place / name).parent.mkdir(parents=True, exist_ok=True)
                (place / name).write_text(f"{name}\n" * 50_000)
        before, made = files_below(documents), files_below(reports)
        by_name = {"laptop": laptop, "server": server}
        said = ""
        try:
            for where, lines in told():
                if where == "both":
                    assert "pip install" in lines, "the one thing that is there already"
                    continue
                said = typed(by_name[where], lines)
                if where == "server" and "cat Documents/letter.txt" in lines:
                    assert said.encode() == before["letter.txt"]
            assert files_below(server.home / "copy/Documents") == before
            assert files_below(documents) == before, "the folder has the letter again"
            assert files_below(laptop.home / "copy/Reports") == made
            for machine in by_name.values():
                listed = typed(machine, "cd ~/files && globofs ls -R && globofs verify").split()
                assert "Documents/a/plan" in listed
                assert "Reports/2027" in listed
                typed(machine, "cd ~/files && globofs sync && globofs conflicts")
            letter = typed(laptop, "globofs -C ~/files log Documents/letter.txt --json")
            assert letter.count('"version"') == 3
        finally:
            laptop.shell("fusermount3 -u -z ~/server; true")
            server.shell("fusermount3 -u -z ~/laptop; true")
