"""The contract of the commands, a row for each promise: what is printed, the fields, the status.

What needs a longer story stands in the other `test_7_cli_*`; here is what one line can tell.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import pytest

from globofs.engine.runfiles import RunFiles
from globofs.snapshots import Lag, Overall
from globofs.speech import columns
from globofs.store.commit import Draft
from globofs.volume import Volume
from tests.helpers_cli import Shell, make, run, tree
from tests.helpers_story import At

ONE, TWO = "one\n", "two, longer\n"


class World(NamedTuple):
    """Two nodes and what lies beside them; rows that only look share it."""

    top: Path
    here: Shell
    there: Shell
    versions: list[str]  # of docs/a.txt, oldest first
    before: str  # a moment at which docs was whole


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    top = tmp_path_factory.mktemp("contract")
    here, there = make(top / "v", "laptop"), make(top / "w", "nas")
    here("peer", "add", "nas", top / "w")
    there("peer", "add", "laptop", top / "v")
    docs = tree(top / "docs", {"a.txt": ONE, "b.bin": "\0", "deep/c.txt": ONE})
    here("add", docs)
    there("sync")
    there("restore", "docs", "--to", f"{top}/copy/")
    tree(docs, {"a.txt": TWO})
    here("add", docs)
    before = here("log", "-n", "1", "--json").json[0]["version"]
    here("rm", "docs/deep")
    tree(top / "copy/docs", {"a.txt": "theirs\n"})
    there("add", top / "copy/docs")
    for side in (here, there, here):
        side("sync")
    own = here("log", "docs/a.txt", "--json").json
    numbers = [one["version"] for one in reversed(own) if one["node_name"] == "laptop"]
    return World(top, here, there, numbers, before)


# --- JSON -------------------------------------------------------------------------------------

PEER = "name uuid path state activity outgoing incoming last_seen error"
FIELDS = [
    ("ls -R", "path kind size mtime mode version node versions held conflict"),
    ("ls -R --deleted", "path kind size mtime mode version node versions held conflict"),
    ("find a.txt", "path kind size mtime mode version node versions held conflict"),
    ("log docs/a.txt", "version node node_name kind size parents blocks held head operation"),
    ("log", "path version node node_name kind size parents blocks held head operation"),
    ("log --operations", "operation verb args node node_name time versions bytes interrupted"),
    ("conflicts", "path winner sides"),
    ("why docs/a.txt", "path reason detail"),
    ("peer list", PEER),
    ("copies docs", "node name keeper blocks total state reason"),
    ("verify", "checked damaged repaired missing"),
    ("verify --sample 50%", "checked damaged repaired missing sampled"),
    ("status", "volume uuid name files versions conflicts blocks_missing bytes_missing peers"),
    ("diff docs", "path kind summary lines changes old new problems"),
    ("restore docs --at BEFORE --dry-run", "dry_run files bytes items problems"),
    ("add TOP/docs", "files added changed deleted bytes operation problems"),
    ("sync", "sent received peers problems"),
    ("mirror", "blocks bytes already missing problems"),
    ("prune --keep-last 99 --dry-run", "versions kept blocks bytes waiting dry_run problems"),
]


@pytest.mark.parametrize(("words", "fields"), FIELDS, ids=[words for words, _ in FIELDS])
def test_json_has_at_least_these_fields(world: World, words: str, fields: str) -> None:
    line = words.replace("TOP", str(world.top)).replace("BEFORE", world.before)
    ran = world.there if words.startswith(("why", "mirror")) else world.here
    found = ran(*line.split(), "--json")
    assert not found.err, "with --json nothing but errors is said"
    rows = found.json if isinstance(found.json, list) else [found.json]
    assert rows
    for row in rows:
        assert set(row) >= set(fields.split())


def test_json_inside_json(world: World) -> None:
    for peer in world.here("status", "--json").json["peers"]:
        assert set(peer) >= set(PEER.split())
    (conflict,) = world.here("conflicts", "--json").json
    assert len(conflict["sides"]) == 2
    for side in conflict["sides"]:
        assert set(side) >= {"version", "node", "node_name", "kind", "size", "held"}
    assert conflict["winner"] in {side["version"] for side in conflict["sides"]}
    problems = world.here("add", world.top / "docs", world.top / "nope", "--json", expect=1).json
    assert [set(one) >= {"path", "reason"} for one in problems["problems"]] == [True]


def test_the_lines_of_a_diff_are_exact_in_json(tmp_path: Path) -> None:
    at = make(tmp_path / "v", "n")
    tree(tmp_path, {"t": "a\tb\n"})
    at("add", tmp_path / "t")
    tree(tmp_path, {"t": "a\tb\x1b\n"})
    at("add", tmp_path / "t")
    found = at("diff", "t", "--json").json
    assert found["lines"][-2:] == ["-a\tb", "+a\tb\x1b"]
    assert found["summary"].startswith("1 line added, 1 removed")
    assert "\x1b" not in at("diff", "t").out


# --- exit statuses ------------------------------------------------------------------------------

STATUSES = [
    (0, "ls", ""),
    (0, "find nothing-is-called-so", "nothing is or was called"),
    (0, "diff docs/a.txt", ""),
    (0, "diff docs/b.bin", ""),
    (0, "diff docs --from BEFORE --to now", ""),
    (0, "log --operations docs", ""),
    (0, "verify --sample 5%", ""),
    (0, "verify --restart", ""),
    (0, "copies docs", ""),
    (0, "retry", ""),
    (0, "bump docs", ""),
    (1, "ls nope", "no such file"),
    (1, "cat docs", "is a directory"),
    (1, "cat docs/a.txt --version 99", "no version 99"),
    (1, "cat docs/a.txt --at 2001-01-01", "at that moment"),
    (1, "bump nope", "no such file"),
    (1, "unpin docs", "/docs: is not pinned"),
    (1, "ls docs/a.tx", "did you mean docs/a.txt?"),
    (1, "cat dosc/a.tx", "did you mean docs/a.txt?"),
    (1, "ls DOCS", "did you mean docs?"),
    (1, "mirror doc", "did you mean docs?"),
    (1, "undo 99999", "there is none, or it changed no file"),
    (1, "evict", "is a keeper"),
    (1, "prune --keep-last 1 --path nope --dry-run", "no such file"),
    (1, "add TOP/docs/a.txt/", "Not a directory"),
    (1, "add TOP/nope", "nope: No such file or directory\n"),
    (1, "peer add q TOP/nope", "is not there; is it mounted?"),
    (1, "peer add q TOP/docs", "name the volume directory of the other node"),
    (2, "peer add q TOP/w", "the node there is a peer already, called nas"),
    (2, "init TOP/new --compression zstd:99", "globofs: compression=zstd:99: zstd has levels"),
    (1, "init TOP/docs/a.txt", "a.txt: File exists\n"),
    (1, "peer set nas --path TOP/v", "another volume lies there"),
    (2, "nope", "no such command"),
    (2, "lss", "did you mean `globofs ls`?"),
    (2, "ls --nope", "--nope: no such option"),
    (2, "ls --at gestern", "not a time"),
    (2, "ls a//b", "empty part"),
    (2, "ls ../..", "it leads out of the volume"),
    (2, "restore docs/a.txt --version -1 --at now", "say --at or --version, not both"),
    (2, "restore docs --to TOP/v", "lies in the volume itself"),
    (2, "restore docs/a.txt --to TOP/v/local/root/x", "lies in the volume itself"),
    (2, "restore docs --force", "--force is for --to"),
    (2, "add TOP/v", "lies in the volume itself"),
    (2, "init TOP/v/sub", "lies in the volume"),
    (2, "init TOP/v", "not empty"),
    (2, "init TOP/new --blocksize 3", "a block has 4K to 64M"),
    (2, "init TOP/new --compression lzma", "write zstd, gzip or none"),
    (2, "init TOP/new --local a/b", "not a name for a node"),
    (2, "rm /", "the whole volume"),
    (2, "mv docs/a.txt docs/a.txt", "has that name already"),
    (2, "mv docs docs/deeper", "lies within"),
    (2, "undo nope", "not an operation"),
    (2, "pause nope", "neither a peer"),
    (2, "prune", "say what to keep"),
    (2, "prune --keep-last -1", "not negative"),
    (2, "verify --sample 0", "not a share"),
    (2, "verify --sample 101%", "not a share"),
    (2, "peer st", "st: none of add, list, set, remove, retire; did you mean set?"),
    (2, "ls --recursiv", "no such option; did you mean --recursive?"),
    (2, "ls a b", "b: too many arguments"),
    (2, "ls --at", "--at wants a value"),
    (2, "peer set nas", "nothing to set"),
    (2, "peer set nas --send maybe", "wants yes or no"),
    (2, "peer add q TOP/v", "this node itself"),
    (2, "peer retire laptop", "cannot retire itself"),
    (2, "peer retire nope", "no such node; there is"),
    (2, "resolve docs/a.txt", "say one of --version, --with, --keep-both"),
    (2, "log -n x", "-n/--limit wants a number, not x"),
]


@pytest.mark.parametrize(
    ("status", "words", "sentence"), STATUSES, ids=[f"{s} {w}" for s, w, _ in STATUSES]
)
def test_statuses_and_sentences(world: World, status: int, words: str, sentence: str) -> None:
    line = words.replace("TOP", str(world.top)).replace("BEFORE", world.before).split()
    ran = world.here(*line, expect=status)
    assert sentence in ran.err
    if status:
        assert ran.err.startswith("globofs: ")
        assert not ran.out


def test_a_volume_that_was_named_and_is_not_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "nope: not a GloboFS volume: there is no such" in run("-C", tmp_path / "nope", "ls").err
    monkeypatch.setenv("GLOBOFS_VOLUME", str(tmp_path / "nope"))
    assert "there is no such directory ($GLOBOFS_VOLUME names it)" in run("ls").err


def test_names_that_are_no_text_are_exact_in_every_json(tmp_path: Path) -> None:
    at = make(tmp_path / "v", "n")
    name = os.fsdecode(b"bad\xff")
    (tmp_path / name).write_text(ONE)
    at("add", tmp_path / name)
    exact = {"path": "bad%FF", "path_b64": "YmFk/w=="}
    assert at("ls", "--json").json[0].items() >= exact.items()
    assert at("log", "--json").json[0].items() >= exact.items()
    assert at("diff", name, "--json").json.items() >= exact.items()
    gone = at("rm", name, "--json").json
    assert (gone["paths"], gone["paths_b64"]) == (["bad%FF"], ["YmFk/w=="])
    assert at("log", "--operations", "--json").json[0]["args_b64"] == ["YmFk/w=="]
    assert "globofs rm $'bad\\xff'" in at("log", "--operations").out
    failed = json.loads(at("ls", name, "--json", expect=1).err)
    assert failed.items() >= exact.items()


# --- forms of PATH, TIME, ID, VOLUME ------------------------------------------------------------


@pytest.mark.parametrize("path", ["docs/a.txt", "/docs/a.txt", "docs/a.txt/", "TOP/docs/a.txt"])
def test_forms_of_a_path(world: World, path: str) -> None:
    ran = world.here("cat", path.replace("TOP", str(world.top)), "--version", world.versions[0])
    assert ran.out == ONE
    assert ("is docs/a.txt in the volume" in ran.err) == path.startswith("TOP")


# --- where a PATH stands: nothing is known of that place, or an added folder, or our own root/


DOTTED = [
    ("elsewhere", ".", "docs/"),
    ("elsewhere", "./", "docs/"),
    ("elsewhere", "./docs/deep", ""),
    ("elsewhere", "docs/./a.txt", "docs/a.txt"),
    ("elsewhere", "/docs/deep/../a.txt", "docs/a.txt"),
    ("v", ".", "docs/"),
    ("v", "./docs/a.txt", "docs/a.txt"),
    ("v/local/root/docs", ".", "a.txt"),
    ("v/local/root/docs", "./a.txt", "docs/a.txt"),
    ("docs", ".", "a.txt"),
    ("docs", "./a.txt", "docs/a.txt"),
    ("docs/deep", "../a.txt", "docs/a.txt"),
]


@pytest.mark.parametrize(("stands", "path", "first"), DOTTED)
def test_dots_in_a_path(
    world: World, stands: str, path: str, first: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    (world.top / "elsewhere").mkdir(exist_ok=True)
    monkeypatch.chdir(world.top / stands)
    found = world.here("ls", path, "--at", world.before)
    assert found.lines[:1] == ([first] if first else ["c.txt"])


def test_forms_of_an_id(tmp_path: Path) -> None:
    at = make(tmp_path / "v", "n")
    for text in (ONE, TWO):
        tree(tmp_path, {"t": text})
        at("add", tmp_path / "t")
    new, old = at("log", "t", "--json").json
    for form in (old["version"], old["version"][:-3], old["id"], old["id"][:9], "-1"):
        assert at("cat", "t", "--version", form).out == ONE, form
    assert at("cat", "t", "--version", new["version"]).out == TWO
    assert "could be any of" in at("cat", "t", "--version", "1", expect=1).err
    assert at("cat", "t", "--at", old["version"]).out == ONE
    shown = at("log", "t").lines[1].split("  ")[1].strip()
    assert at("cat", "t", "--at", shown).status == 0, "what a screen shows is understood"


@pytest.mark.parametrize("where", ["v", "v/local", "v/local/config"])
def test_forms_of_a_volume(world: World, where: str, monkeypatch: pytest.MonkeyPatch) -> None:
    place = world.top / where
    assert run("-C", place, "ls").lines == ["docs/"]
    assert run("ls", "-C", place).lines == ["docs/"]
    monkeypatch.setenv("GLOBOFS_VOLUME", str(place))
    assert run("ls").lines == ["docs/"]


# --- add ------------------------------------------------------------------------------------------

LANDINGS = [
    (["d"], "", ["d/", "d/x", "d/y/", "d/y/z"]),
    (["d/"], "", ["x", "y/", "y/z"]),
    (["d/"], "to", ["to/", "to/x", "to/y/", "to/y/z"]),
    (["d"], "to/there", ["to/", "to/there/", *(f"to/there/{o}" for o in ("d/", "d/x", "d/y/", "d/y/z"))]),
    (["d/x"], "", ["x"]),
    (["d/x"], "to", ["to/", "to/x"]),
    (["d/x", "e/"], "to", ["to/", "to/w", "to/x"]),
]  # fmt: skip


@pytest.mark.parametrize(("sources", "to", "there"), LANDINGS)
def test_where_sources_land(tmp_path: Path, sources: list[str], to: str, there: list[str]) -> None:
    at = make(tmp_path / "v", "n")
    tree(tmp_path / "s", {"d/x": "1", "d/y/z": "2", "e/w": "3"})
    words = [f"{tmp_path}/s/{source}" for source in sources]
    at("add", *words, *(["--to", to] if to else []))
    assert at("ls", "-R").lines == there


# --- restore --------------------------------------------------------------------------------------

TARGETS = [
    (["docs"], "new", {"new/docs/a", "new/docs/b/c"}),
    (["docs/"], "new/", {"new/docs/a", "new/docs/b/c"}),
    (["docs/a"], "new", {"new"}),
    (["docs/a"], "new/", {"new/a"}),
    (["docs/a"], "there", {"there/a"}),
    (["docs/a", "docs/b"], "new", {"new/a", "new/b/c"}),
    (["/"], "new", {"new/docs/a", "new/docs/b/c"}),
]


@pytest.mark.parametrize(("paths", "to", "files"), TARGETS)
def test_where_restored_things_go(
    tmp_path: Path, paths: list[str], to: str, files: set[str]
) -> None:
    at = make(tmp_path / "v", "n")
    at("add", tree(tmp_path / "docs", {"a": ONE, "b/c": TWO}))
    out = tmp_path / "out"
    (out / "there").mkdir(parents=True)
    at("restore", *paths, "--to", f"{out}/{to}")
    assert {str(one.relative_to(out)) for one in out.rglob("*") if one.is_file()} == files


def test_a_version_of_a_directory_is_no_way_to_bring_it_back(world: World) -> None:
    rows = world.here("log", "docs", "--json").json
    (own,) = [one["version"] for one in rows if one["path"] == "docs"]
    ran = world.here("restore", "docs", "--version", own, expect=1)
    assert "docs: is a directory; --at TIME brings back all of it" in ran.err


def test_what_a_dry_run_says_is_what_is_done(tmp_path: Path) -> None:
    at = make(tmp_path / "v", "n")
    at("add", tree(tmp_path / "docs", {"a": ONE}))
    moment = at("log", "-n", "1", "--json").json[0]["version"]
    at("add", tree(tmp_path / "late", {"f": TWO}), "--to", "docs")
    line = ["restore", "docs", "--at", moment, "--delete"]
    planned = at(*line, "--dry-run")
    assert [one.split()[0] for one in planned.lines] == ["delete", "delete"]
    assert "would write 0 files, 0 B, and delete 2 files and directories" in planned.err
    assert at("ls", "-R").lines == ["docs/", "docs/a", "docs/late/", "docs/late/f"]
    assert "2 files deleted" in at(*line).err
    assert at("ls", "-R").lines == ["docs/", "docs/a"]
    at("undo")
    assert at("ls", "-R").lines == ["docs/", "docs/a", "docs/late/", "docs/late/f"]


# --- operations -----------------------------------------------------------------------------------


def test_a_killed_operation_is_shown_as_interrupted_and_undone_like_any(tmp_path: Path) -> None:
    at = make(tmp_path / "v", "n")
    at("add", tree(tmp_path / "docs", {"a": ONE}))
    with Volume.open(str(tmp_path / "v")) as volume:
        operation = volume.node.operation("add", ["docs"])
        operation.commit([Draft(b"docs/killed", "deleted", if_changed=False)])
        operation.commit([Draft(b"docs/link", "symlink", mode=0o777, target=b"a")])
    # It has no closing record, and its process is this one: only when that has ended is it over.
    running = Path(tmp_path / "v/local/run")
    for mark in running.glob("*"):
        if mark.is_file():
            mark.unlink()
    newest = at("log", "--operations", "--json").json[0]
    assert newest["interrupted"] is True
    assert "(interrupted)" in at("log", "--operations").lines[0]
    at("undo")
    assert at("ls", "-R").lines == ["docs/", "docs/a"]
    at("redo")
    assert "docs/link" in at("ls", "-R").lines


def test_one_command_is_one_row_and_one_undo(tmp_path: Path) -> None:
    at = make(tmp_path / "v", "n")
    at("add", tree(tmp_path / "docs", {f"{n % 9}/{n}": str(n) for n in range(300)}))
    for words in (["rm", "docs"], ["mv", "docs", "new"]):
        before = at("ls", "-R").lines
        rows = len(at("log", "--operations").lines)
        at(*words)
        assert len(at("log", "--operations").lines) == rows + 1
        at("undo")
        assert at("ls", "-R").lines == before


def test_undo_skips_and_lists_and_then_goes_further_back(tmp_path: Path) -> None:
    at = make(tmp_path / "v", "n")
    docs = tree(tmp_path / "docs", {"a": ONE})
    at("add", docs)
    at("add", tree(tmp_path / "b", {"b": ONE}))
    at("rm", "docs")
    number = at("log", "--operations", "-n", "1").lines[0].split()[0]
    at("restore", "docs/a")
    ran = at("undo", number)
    assert "docs/a: was changed since, left as it is" in ran.err
    again = [at("undo").err.split()[2] for _ in range(2)]
    assert len(set(again)) == 2, "what can change nothing does not hold up what came before"


def test_operations_of_others_are_named_as_undo_wants_them(world: World) -> None:
    rows = world.here("log", "--operations").lines
    number = next(row.split()[0] for row in rows if " nas " in row and "globofs add" in row)
    assert number.startswith("nas:")
    node = next(n for n in (number.partition(":")[0], "nas") if n)
    assert f"{node}:" in number
    at = world.here("undo", "nas:99999", expect=1)
    assert "operation 99999: there is none" in at.err
    assert world.there("log", "--operations", "--json").json


def test_columns_stay_columns(tmp_path: Path) -> None:
    """Whatever the width of a node's or a file's name."""
    at, other = make(tmp_path / "v", "n"), make(tmp_path / "w", "\u65e5\u672c server")
    at("peer", "add", "one", tmp_path / "w")
    other("peer", "add", "n", tmp_path / "v")
    for node, name in ((at, "a"), (other, "\u8a9e")):
        node("add", tree(tmp_path / f"of-{name}", {name: ONE}))
    other("sync")
    at("sync")
    for words in (["log"], ["log", "--operations"], ["ls", "-lR"]):
        rows = [row for row in at(*words).lines if "made itself known" not in row]
        mark = {"log": "B", "ls": "B"}[words[0]] if "--operations" not in words else "globofs"
        ends = {columns(row[: row.index(f" {mark}")]) for row in rows if f" {mark}" in row}
        assert len(ends) == 1, rows


# --- what is said ---------------------------------------------------------------------------------


def test_a_peer_that_went_away_was_seen(tmp_path: Path) -> None:
    at = make(tmp_path / "v", "n")
    make(tmp_path / "w", "nas")
    at("peer", "add", "nas", tmp_path / "w")
    at("add", tree(tmp_path / "docs", {"a": ONE}))
    assert "not announced" in at("copies", "docs").out, "it has not synced yet"
    at("sync")
    os.rename(tmp_path / "w", tmp_path / "gone")
    at("sync", expect=1)
    (peer,) = at("status", "--json").json["peers"]
    assert peer["state"] == "offline"
    assert peer["last_seen"] is not None
    assert "never seen" not in at("status").out


def test_what_is_paused_is_said(tmp_path: Path) -> None:
    at = make(tmp_path / "v", "n")
    make(tmp_path / "w", "nas")
    at("peer", "add", "nas", tmp_path / "w")
    at("add", tree(tmp_path / "docs", {"a": ONE}))
    for what in ("docs", "nas"):
        at("pause", what)
    shown = at("status").out
    assert "docs is paused; `globofs resume` lets it go on" in shown
    assert "nas  paused by you" in shown
    paused = at("status", "--json").json["paused"]
    assert paused == {"everything": False, "peers": ["nas"], "paths": ["docs"]}
    at("resume")
    assert "nas  online" in at("status").out


@pytest.mark.parametrize("words", ["status", "peer list", "sync", "doctor"])
def test_a_peer_whose_config_is_broken_is_not_silently_gone(tmp_path: Path, words: str) -> None:
    at = make(tmp_path / "v", "n")
    make(tmp_path / "w", "nas")
    at("peer", "add", "nas", tmp_path / "w")
    config = tmp_path / "v/nas/config"
    config.write_text(config.read_text() + "send=maybe\n")
    line = config.read_text().count("\n")
    ran = at(*words.split(), expect=int(words == "sync"))
    assert f"{config}:{line}: send=maybe" in ran.err
    if words == "status":
        assert at("status", "--json").json["warnings"][0].startswith(f"{config}:{line}: ")


def test_sync_says_one_line_for_a_peer(tmp_path: Path) -> None:
    at = make(tmp_path / "v", "n")
    for name in ("nas", "usb"):
        make(tmp_path / name, name)
        at("peer", "add", name, tmp_path / name)
    at("add", tree(tmp_path / "docs", {"a": ONE}))
    os.rename(tmp_path / "usb", tmp_path / "gone")
    said = at("sync").err.splitlines()
    assert [line.startswith("globofs: usb: offline: ") for line in said if "usb" in line] == [True]
    assert said[-1] == (
        "globofs: what nas did not acknowledge lies there, and is taken in when globofs runs there"
    )


def test_a_directory_of_conflicts_is_settled_at_once(tmp_path: Path) -> None:
    at, other = make(tmp_path / "v", "n"), make(tmp_path / "w", "nas")
    at("peer", "add", "nas", tmp_path / "w")
    other("peer", "add", "n", tmp_path / "v")
    for number, side in enumerate((at, other)):
        names = {"a": f"{number}\n", "b/c": f"{number}\n"}
        side("add", tree(tmp_path / str(number) / "docs", names))
    for side in (at, other, at):
        side("sync")
    assert len(at("conflicts").lines) == 6
    assert "4 new versions" in at("resolve", "docs", "--keep-both").err
    assert at("conflicts").lines == []
    said = at("resolve", "docs", "--keep-both").err
    assert "nothing was settled" in said
    assert "docs: is not in conflict" in said
    assert "not in conflict" in at("resolve", "docs/a", "--version", "-1", expect=1).err


def test_a_copied_volume_tells_its_peers_what_to_type(tmp_path: Path) -> None:
    at, other = make(tmp_path / "v", "n"), make(tmp_path / "w", "nas")
    at("peer", "add", "nas", tmp_path / "w")
    other("peer", "add", "n", tmp_path / "v")
    at("add", tree(tmp_path / "docs", {"a": ONE}))
    at("sync")
    subprocess.run(["cp", "-a", f"{tmp_path}/v", f"{tmp_path}/copy"], check=True)
    at("add", tree(tmp_path / "b", {"b": ONE}))
    at("sync")
    other("sync")
    os.rename(tmp_path / "v", tmp_path / "original")
    os.rename(tmp_path / "copy", tmp_path / "v")
    at("add", tree(tmp_path / "c", {"c": ONE}))
    for _ in range(3):  # the change of names is a failure of the sync that notices it
        run("-C", at.volume, "sync")
        run("-C", other.volume, "sync")
    said = other("status").out
    advice = re.search(r"globofs (peer remove n) && globofs (peer add n \S+)", said)
    assert advice, said
    for words in advice.groups():
        other(*words.split())
    other("sync")
    assert "c/c" in other("ls", "-R").lines


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")
@pytest.mark.parametrize(
    ("shell", "status", "said"),
    [
        (">/dev/full", 1, "standard output: No space left on device"),
        (">&-", 0, ""),
        ("<&- >&- 2>&-", 0, ""),
        ("</dev/null | head -c 1 >/dev/null", 0, ""),
    ],
)
def test_streams_that_are_closed_or_full(world: World, shell: str, status: int, said: str) -> None:
    line = f'set -o pipefail; "{sys.executable}" -m globofs -C "{world.top}/v" log {shell}'
    done = subprocess.run(
        ["bash", "-c", line], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == status, done.stderr
    assert said in done.stderr
    assert "Traceback" not in done.stderr


def test_a_sync_by_another_process_does_not_wait_for_a_peer_whose_clients_sleep(
    tmp_path: Path,
) -> None:
    at = make(tmp_path / "v", "n")
    make(tmp_path / "w", "nas")
    at("peer", "add", "nas", tmp_path / "w")
    at("add", tree(tmp_path / "docs", {"a": ONE}))
    live = At(tmp_path / "v")
    with live.running("sync", "--watch", "--json") as process:
        assert process.stdout is not None
        told = (json.loads(line) for line in process.stdout)
        peer = next(one for one in told if one["event"] == "peer")
        assert peer["state"] == "online", "never what was not asked yet"
        assert peer["outgoing"] > 0, "it is told of although nobody there acknowledges"
        begun = time.monotonic()
        asked = live("sync", "--json", timeout=60).json
        assert time.monotonic() - begun < 15
        assert asked["peers"][0]["outgoing"] > 0


DOCTOR = (
    "name path file_system network writable append exclusive_create rename rename_over symlink"
    " lock case_sensitive names mtime_step_ns events latency_seconds write_rate read_rate"
    " clock_ahead_seconds free_bytes problems lacks advice"
)


def test_doctor_looks_at_the_node_and_each_peer(world: World) -> None:
    before = {place: sorted(os.listdir(place)) for place in (world.top / "v", world.top / "w")}
    report = world.here("doctor", "--json").json
    assert [one["name"] for one in report] == ["this node", "nas"]
    for one in report:
        assert set(one) >= set(DOCTOR.split())
        assert one["free_bytes"] > 0
        assert one["events"] is True, "these are local disks"
    shown = world.here("doctor").lines
    assert shown[0].split() == ["this", "node", "nas"]
    assert any(line.split() == ["changes", "are", "announced", "yes", "yes"] for line in shown)
    assert before == {place: sorted(os.listdir(place)) for place in before}, "nothing is left"


def test_doctor_says_how_quickly_an_open_screen_answers(world: World) -> None:
    node = world.top / "v" / "local"
    assert "its screen is late" not in world.here("doctor").out
    run = RunFiles(str(node / "run"), "ui")
    run.prepare()
    assert run.publish(
        at=time.time_ns(), leads=False, tree_serial=1, overall=Overall(), peers=(), moves=(),
        notification="", lag=Lag(0.002, 0.009, 0.0312),
    )  # fmt: skip
    words = "its screen is late by 2 ms usual, 9 ms but for 5 %, 31 ms at most"
    assert words in world.here("doctor").out


def test_a_volume_that_was_copied_is_told_so_until_it_is_said_that_it_was_moved(
    world: World, tmp_path: Path
) -> None:
    shutil.copytree(world.top / "w", tmp_path / "moved", symlinks=True)
    moved = Shell(tmp_path / "moved")
    for words in ("status", "doctor"):
        told = moved(words).err
        assert "restored from a backup" in told
        assert "`globofs doctor --moved`" in told
    warnings = moved("status", "--json").json["warnings"]
    assert len(warnings) == 2, "the path in its config is another, too"
    waits = moved("prune", "--keep-last", "1", "--json").json["waiting"]
    assert any("nas has not yet agreed" in reason for reason in waits)
    assert warnings[1] in waits
    refused = moved("doctor", "--moved", expect=1).err
    assert f"this same node lies at {world.top / 'w'}, too" in refused
    assert moved("status", "--json").json["warnings"] == warnings
    os.rename(world.top / "w", tmp_path / "as it was")
    try:
        assert "moved" in moved("doctor", "--moved", "--json").json[0]["path"]
    finally:  # others share it
        os.rename(tmp_path / "as it was", world.top / "w")
    assert moved("status", "--json").json["warnings"] == []
    waits = moved("prune", "--keep-last", "1", "--json").json["waiting"]
    assert not any("nas" in reason for reason in waits)
    moved("doctor", "--moved", tmp_path, expect=2)


ADVICE = [
    ({"writable": False, "problems": ("nothing can be written there",)}, "can be written there"),
    ({"lock": False, "problems": ("locks: Not supported",)}, "the volume can be read here, not"),
    ({"symlink": False}, "`links=no` in the config"),
    ({"rename_over": False}, "keep the volume elsewhere"),
    ({"case_sensitive": False}, "names that differ in case only become one file there"),
    ({"latency_seconds": 0.2}, "each small file is slow there"),
    ({"problems": ("the clock there is 60 s ahead of ours; set them right",)}, "set them right"),
]


@pytest.mark.parametrize(
    ("found", "sentence"), ADVICE, ids=lambda v: v if isinstance(v, str) else ""
)
def test_doctor_advises_in_sentences(
    world: World, monkeypatch: pytest.MonkeyPatch, found: dict[str, object], sentence: str
) -> None:
    from globofs.peerio import probe as module

    report = replace(module.probe(str(world.top)), **found)  # type: ignore[arg-type]
    monkeypatch.setattr(module, "probe", lambda place: report)
    status = int(bool({"writable", "lock", "symlink", "rename_over"} & set(found)))
    ran = world.here("doctor", expect=status)
    assert any(line.startswith("this node: ") and sentence in line for line in ran.lines)
    told = world.here("doctor", "--json", expect=status).json[0]
    assert any(sentence in one for one in told["advice"])


def test_doctor_is_silent_on_what_nobody_needs_of_a_peer(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    from globofs.peerio import probe as module

    lacks = ('symlinks with "..": Operation not permitted', "hard links: the result is wrong")
    report = replace(module.probe(str(world.top)), problems=lacks, symlink_upward=False)
    monkeypatch.setattr(module, "probe", lambda place: report)
    own, nas = world.here("doctor", "--json").json
    assert own["advice"] == [lacks[0]]
    assert nas["advice"] == []


def test_an_empty_list_says_why_it_is_empty(tmp_path: Path) -> None:
    at = make(tmp_path / "v", "n")
    assert "nothing is in the volume; `globofs add FOLDER`" in at("ls").err
    assert at("ls", "--json").err == ""
    at("add", tree(tmp_path / "docs", {"a": ONE}))
    assert "nothing was at that moment (2001-01-01)" in at("ls", "--at", "2001-01-01").err
    assert at("ls").err == ""


def test_doctor_says_where_changes_are_not_announced(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    from globofs.engine import watch

    monkeypatch.setattr(watch, "blind_to_others", lambda path: "nfs4 does not announce")
    assert [one["events"] for one in world.here("doctor", "--json").json] == [False, False]
    assert "changes are noticed by looking (poll= in the config)" in world.here("doctor").out


def test_doctor_says_how_a_peer_is_that_cannot_be_looked_at(tmp_path: Path) -> None:
    at = make(tmp_path / "v", "n")
    make(tmp_path / "w", "nas")
    at("peer", "add", "nas", tmp_path / "w")
    os.rename(tmp_path / "w", tmp_path / "gone")
    assert "nas: offline: " in at("doctor").err
    own, nas = at("doctor", "--json").json
    assert own["lacks"] == []
    assert nas["name"] == "nas"
    assert nas["error"].startswith("offline: ")
