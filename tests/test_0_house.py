"""The house rules: who may import whom, what starting costs, how long a function may be."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

from tests.conftest import OF_THE_TESTS

HOUSE = Path(__file__).resolve().parent.parent
SOURCES = sorted((HOUSE / "globofs").rglob("*.py"))


def run(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *words], cwd=HOUSE, capture_output=True, text=True, timeout=100
    )


def test_rooms_import_only_rooms_below() -> None:
    done = run("-c", "from importlinter.cli import lint_imports; raise SystemExit(lint_imports())")
    assert done.returncode == 0, done.stdout + done.stderr


def test_no_module_of_the_ui_needs_itself_by_way_of_another() -> None:
    """Imports for types count: what cannot be drawn without a circle cannot be read in order."""
    code = """
import grimp
graph = grimp.build_graph("globofs", cache_dir=None)
room = sorted(m for m in graph.modules if m.startswith("globofs.tui."))
print([m for m in room if any(
    graph.chain_exists(imported=m, importer=n)
    for n in graph.find_modules_directly_imported_by(m)
)])
"""
    done = run("-c", code)
    assert done.stdout.strip() == "[]", done.stdout + done.stderr


def test_types() -> None:
    done = run("-m", "mypy")
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("words", [("check",), ("format", "--check")], ids=" ".join)
def test_ruff(words: tuple[str, ...]) -> None:
    done = run("-m", "ruff", *words, "globofs", "tests")
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(
    "statement",
    [
        "import globofs",
        "import globofs.volume",
        "import globofs.engine.engine",
        "import globofs.cli.main",
    ],
)
def test_importing_loads_no_face(statement: str) -> None:
    heavy = "('textual', 'rich', 'mfusepy', 'watchfiles')"
    code = f"{statement}; import sys; print([m for m in {heavy} if m in sys.modules])"
    done = run("-c", code)
    assert done.stdout.strip() == "[]", done.stdout + done.stderr


def imports_of(path: Path, modules: dict[str, Path]) -> set[str]:
    """The modules of ours that one names anywhere: lazily and for types, too."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module:
            for alias in node.names:
                below = f"{node.module}.{alias.name}"
                found.add(below if below in modules else node.module)
        elif isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
    return found & modules.keys()


@pytest.mark.parametrize(
    "room", ["format", "store", "peerio", "sync", "volume", "engine", "cli", "mount", "demo"]
)
def test_the_modules_of_a_room_stand_on_each_other_in_one_order(room: str) -> None:
    """No circle, also not of imports for types: each module can be read after those it names."""
    modules = {
        ".".join(path.relative_to(HOUSE).with_suffix("").parts): path
        for path in SOURCES
        if path.relative_to(HOUSE).parts[1] == room
    }
    order = TopologicalSorter({name: imports_of(p, modules) for name, p in modules.items()})
    order.prepare()  # raises CycleError, which names the circle


def test_no_room_knows_the_private_modules_of_another() -> None:
    """A leading underscore means that a module may change with its room and nobody else."""
    name = re.compile(r"globofs\.(\w+)(?:\.\w+)*?(?:\.| import (?:.*\b)?)_(?!_)\w+")
    found = [
        f"{path.relative_to(HOUSE)}:{number}: {line.strip()}"
        for path in SOURCES
        for number, line in enumerate(path.read_text().splitlines(), 1)
        if line.lstrip().startswith(("from ", "import ")) and (match := name.search(line))
        if match[1] != path.relative_to(HOUSE).parts[1]
    ]
    assert not found


def test_no_module_is_over_500_lines() -> None:
    long = {
        str(path.relative_to(HOUSE)): count
        for path in SOURCES
        if (count := len(path.read_text().splitlines())) > 500
    }
    assert not long


def test_no_function_is_over_70_lines() -> None:
    long = [
        f"{path.relative_to(HOUSE)}:{node.lineno} {node.name}"
        for path in SOURCES
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and (node.end_lineno or 0) - node.lineno + 1 > 70
    ]
    assert not long


def test_only_the_seam_writes() -> None:
    """Faults are injected in store/fsio, so no other module below the faces may write a file."""
    call = re.compile(
        r"\bos\.(rename|replace|link|symlink|unlink|remove|mkdir|makedirs|rmdir|fsync|fdatasync"
        r"|truncate|ftruncate|chmod|utime|write|pwrite)\("
    )
    rooms = ("store", "format", "sync", "volume", "engine")
    found = [
        f"{path.relative_to(HOUSE)}:{number}: {line.strip()}"
        for path in SOURCES
        if path.relative_to(HOUSE).parts[1] in rooms and path.name != "fsio.py"
        for number, line in enumerate(path.read_text().splitlines(), 1)
        if call.search(line)
    ]
    assert not found


def test_what_tests_are_told_by_the_environment_reaches_them() -> None:
    """`conftest` takes the product's settings away, but not what a documented command of the tests
    sets: a soak would run other seeds than asked for, and say nothing."""
    read = re.compile(r'environ(?:\.get\(|\[)"(GLOBOFS_\w+)"|"(GLOBOFS_\w+)" in os\.environ')
    names = {
        name
        for path in (HOUSE / "tests").rglob("*.py")
        for pair in read.findall(path.read_text())
        for name in pair
        if name
    }
    assert names <= OF_THE_TESTS


def test_every_numbered_scenario_is_told_by_some_test() -> None:
    """The forty scenarios of reliability, from a SIGKILL at every step to FIFOs in a source: a test
    names those it tells at the beginning of its name or as `Scenario 8` in its docstring."""
    told: set[int] = set()
    for path in (HOUSE / "tests").glob("test_*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                begins = re.match(r"test_((?:\d+_(?:and_)?)+)", node.name)
                words = re.findall(r"Scenarios? ([\d, ]+)", ast.get_docstring(node) or "")
                told.update(map(int, re.findall(r"\d+", f"{begins[1] if begins else ''} {words}")))
    assert told >= set(range(1, 41)), sorted(set(range(1, 41)) - told)
