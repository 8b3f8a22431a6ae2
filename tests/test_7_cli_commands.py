"""Every command, in this process: what it prints, its JSON, its status."""

from __future__ import annotations

import base64
import os
import re
import time
from pathlib import Path

import pytest

from tests.helpers_cli import Shell, make, run, tree

NUMBER = re.compile(r"\d{10}\.\d{9}")
OPERATION = re.compile(r"[0-9a-f-]{36}:\d+")


@pytest.fixture
def at(tmp_path: Path) -> Shell:
    return make(tmp_path / "v", "laptop")


@pytest.fixture
def docs(tmp_path: Path) -> Path:
    return tree(tmp_path / "docs", {"a.txt": "one\n", "b.txt": "two\n", "deep/c.txt": "three\n"})


@pytest.fixture
def filled(at: Shell, docs: Path) -> Shell:
    at("add", docs)
    return at


@pytest.fixture
def pair(tmp_path: Path, filled: Shell) -> tuple[Shell, Shell]:
    other = make(tmp_path / "w", "nas")
    other("peer", "add", "laptop", filled.volume)
    filled("peer", "add", "nas", other.volume)
    other("sync")
    return filled, other


@pytest.fixture
def conflict(pair: tuple[Shell, Shell], tmp_path: Path) -> tuple[Shell, Shell]:
    """Both sides changed `docs/a.txt` without knowing of each other; both have heard of it now."""
    here, there = pair
    there("restore", "docs", "--to", f"{tmp_path}/copy/")
    tree(tmp_path / "copy/docs", {"a.txt": "theirs\n"})
    there("add", f"{tmp_path}/copy/docs")
    tree(tmp_path / "docs", {"a.txt": "ours, longer\n"})
    here("add", tmp_path / "docs")
    here("sync")
    there("sync")
    here("sync")
    return here, there


# --- init, peer -------------------------------------------------------------------------------


def test_init_prints_the_uuid_alone(tmp_path: Path) -> None:
    ran = run("init", tmp_path / "v", "--name", "n")
    assert re.fullmatch(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\n", ran.out)
    assert "is a volume now" in ran.err


def test_init_json_and_settings(tmp_path: Path) -> None:
    options = "--local here --name n --blocksize 64K --chunking fixed --compression zstd:9"
    ran = run(
        "init", tmp_path / "v", *options.split(), "--cacheonly", "--cachetime", "30m", "--json"
    )
    assert set(ran.json) == {"volume", "uuid", "name", "warnings"}
    config = (tmp_path / "v/here/config").read_text()
    for line in ("name=n", "blocksize=64K", "chunking=fixed", "compression=zstd:9"):
        assert line in config
    assert "cacheonly=yes" in config
    assert "cachetime=30m" in config


def test_init_refuses_a_directory_with_something_in_it(tmp_path: Path, docs: Path) -> None:
    ran = run("init", docs)
    assert ran.status == 2
    assert "not empty; a volume is a directory of its own" in ran.err
    assert sorted(os.listdir(docs)) == ["a.txt", "b.txt", "deep"]


def test_a_volume_is_found_by_environment_and_from_below(
    filled: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("GLOBOFS_VOLUME", raising=False)
    monkeypatch.chdir(filled.volume / "local" / "root")
    assert run("ls").lines == ["docs/"]
    monkeypatch.chdir("/")
    assert run("ls").status == 2
    monkeypatch.setenv("GLOBOFS_VOLUME", str(filled.volume))
    assert run("ls").lines == ["docs/"]
    assert run("ls", "-C", filled.volume / "local/config").lines == ["docs/"]


def test_a_peer_that_is_not_there_is_said_to_be_what_it_is(tmp_path: Path, at: Shell) -> None:
    (tmp_path / "file").write_text("")
    for place, said in (
        (tmp_path / "nowhere", "nowhere: is not there; is it mounted?"),
        (tmp_path / "file", "file: is no directory; name the volume directory"),
        (tmp_path, f"{tmp_path.name}: no node is there; name the volume directory"),
    ):
        error = at("peer", "add", "box", place, expect=1).err
        assert said in error
        assert "offline" not in error
    assert at("peer", "list").lines == []


def test_peers_are_added_listed_changed_and_removed(tmp_path: Path, at: Shell) -> None:
    other = make(tmp_path / "w", "nas")
    added = at("peer", "add", "box", other.volume, "--send", "yes", "--json").json
    assert added["name"] == "box"
    assert added["send"] is True
    assert added["path"] == str(other.volume)
    (listed,) = at("peer", "list", "--json").json
    assert set(listed) >= {
        "name", "uuid", "path", "state", "activity", "outgoing", "incoming", "last_seen", "error",
    }  # fmt: skip
    assert listed["state"] == "online"
    assert "online" in at("peer", "list").out
    assert at("peer", "set", "box", "--send", "no", "--json").json["send"] is False
    assert at("peer", "add", "box", other.volume, expect=2).err.endswith("already, called box\n")
    other_name = make(tmp_path / "x", "x")
    assert (
        "box: there is already a peer" in at("peer", "add", "box", other_name.volume, expect=2).err
    )
    at("peer", "remove", "box")
    assert at("peer", "list", "--json").json == []
    assert "no such peer; there is none" in at("peer", "remove", "box", expect=2).err


def test_retiring_a_node(pair: tuple[Shell, Shell]) -> None:
    here, _ = pair
    uuid = here("peer", "list", "--json").json[0]["uuid"]
    assert here("peer", "retire", "nas", "--json").json == {"retired": uuid}
    assert "no such node" in here("peer", "retire", "nobody", expect=2).err


def test_two_full_volumes_are_joined_only_when_asked_to(tmp_path: Path, filled: Shell) -> None:
    other = make(tmp_path / "w", "nas")
    other("add", tmp_path / "docs")
    ran = filled("peer", "add", "nas", other.volume, expect=1)
    assert "--yes" in ran.err
    assert "docs/a.txt" in ran.err
    filled("peer", "add", "nas", other.volume, "--yes")


# --- add, ls, find ----------------------------------------------------------------------------


def test_add_counts(at: Shell, docs: Path) -> None:
    first = at("add", docs, "--json").json
    assert first["files"] == 3
    assert first["added"] == 3
    assert first["bytes"] == 14
    assert first["problems"] == []
    assert OPERATION.fullmatch(first["operation"])
    (docs / "a.txt").write_text("changed\n")
    (docs / "b.txt").unlink()
    second = at("add", docs, "--json").json
    assert (second["changed"], second["deleted"], second["added"]) == (1, 0, 0)
    third = at("add", docs, "--delete", "--json").json
    assert third["deleted"] == 1
    assert at("add", docs, "--checksum", "--json").json["versions"] == 0
    assert "globofs: 2 files looked at: 0 new, 0 changed; 0 B new of 14 B" in at("add", docs).err


def test_add_to_a_directory_with_exclusions(at: Shell, docs: Path) -> None:
    at("add", f"{docs}/", "--to", "kept", "--exclude", "*.txt", "--exclude", "deep")
    assert at("ls", "kept").lines == []
    at("add", f"{docs}/", "--to", "/kept/", "--exclude", "b.*")
    assert at("ls", "kept").lines == ["a.txt", "deep/"]


def test_what_cannot_be_added_is_named_and_costs_one(at: Shell, docs: Path) -> None:
    ran = at("add", docs, docs / "missing", expect=1)
    assert "missing" in ran.err
    assert at("ls").lines == ["docs/"]


def test_a_source_that_lost_most_of_its_files_is_asked_about(at: Shell, tmp_path: Path) -> None:
    many = tree(tmp_path / "many", {f"{n}.txt": f"{n}\n" for n in range(30)})
    at("add", many)
    for n in range(29):
        (many / f"{n}.txt").unlink()
    assert "say --yes" in at("add", many, "--delete", expect=1).err
    assert len(at("ls", "many").lines) == 30
    at("add", many, "--delete", "--yes")
    assert len(at("ls", "many").lines) == 1


def test_ls_forms(filled: Shell) -> None:
    assert filled("ls").lines == ["docs/"]
    assert filled("ls", "/docs/").lines == ["a.txt", "b.txt", "deep/"]
    assert filled("ls", "docs/a.txt").lines == ["docs/a.txt"]
    assert filled("ls", "-R").lines == [
        "docs/", "docs/a.txt", "docs/b.txt", "docs/deep/", "docs/deep/c.txt",
    ]  # fmt: skip
    long = filled("ls", "-l", "docs").lines
    assert re.match(r"-rw-r--r--\s+4 B\s+\S+\s+1v\s+all\s+a\.txt$", long[0]), long[0]


def test_ls_json_fields(filled: Shell) -> None:
    rows = filled("ls", "docs", "--json").json
    assert [row["path"] for row in rows] == ["docs/a.txt", "docs/b.txt", "docs/deep"]
    row = rows[0]
    assert set(row) >= {
        "path", "kind", "size", "mtime", "mode", "version", "node", "versions", "held", "conflict",
    }  # fmt: skip
    assert (row["kind"], row["size"], row["mode"]) == ("file", 4, "0644")
    assert (row["held"], row["conflict"], row["versions"]) == ("all", False, 1)
    assert NUMBER.fullmatch(row["version"])
    assert rows[2]["kind"] == "directory"
    assert rows[2]["files"] == 1
    assert filled("ls", "docs/deep/c.txt", "--json").json[0]["size"] == 6


def test_an_empty_list_is_json_too(at: Shell) -> None:
    assert at("ls", "--json").json == []
    assert at("conflicts", "--json").json == []
    assert at("log", "--json").json == []
    assert at("log", "--operations", "--json").json == []
    assert at("find", "x", "--json").json == []
    assert at("peer", "list", "--json").json == []


def test_ls_deleted_and_at_a_moment(filled: Shell, docs: Path) -> None:
    moment = filled("log", "docs/b.txt", "--json").json[0]["version"]
    filled("rm", "docs/b.txt")
    assert filled("ls", "docs").lines == ["a.txt", "deep/"]
    assert filled("ls", "docs", "--deleted").lines == ["a.txt", "b.txt (deleted)", "deep/"]
    assert filled("ls", "docs", "--at", moment).lines == ["a.txt", "b.txt", "deep/"]
    assert filled("ls", "--at", "2h ago").lines == []
    assert "--deleted` shows it" in filled("ls", "docs/b.txt", expect=1).err
    assert filled("ls", "docs/b.txt", "--deleted", "--json").json[0]["kind"] == "deleted"


def test_find(filled: Shell) -> None:
    filled("rm", "docs/deep/c.txt")
    assert filled("find", "C.TXT").lines == ["docs/deep/c.txt (deleted)"]
    assert filled("find", "?.txt").lines[0] == "docs/a.txt"
    assert len(filled("find", "*.txt", "--json").json) == 3
    assert "nothing is or was called" in filled("find", "nowhere").err


# --- names ------------------------------------------------------------------------------------


def test_names_that_are_no_text(at: Shell, tmp_path: Path) -> None:
    name = b"odd \xff\x1b[31m\n"
    source = tmp_path / "odd"
    source.mkdir()
    with open(os.fsencode(source) + b"/" + name, "wb") as file:
        file.write(b"x")
    at("add", source)
    for command in (["ls", "-R"], ["ls", "-l", "odd"], ["log"], ["find", "odd"], ["log", "odd"]):
        shown = at(*command).out
        assert "\x1b" not in shown
        assert "\\x1b" in shown
    (row,) = (row for row in at("ls", "odd", "--json").json if row["kind"] == "file")
    assert base64.b64decode(row["path_b64"]) == b"odd/" + name
    assert row["path"] == "odd/odd%20%FF%1B[31m%0A"
    assert at("cat", os.fsdecode(b"odd/" + name)).raw == b"x"


def test_a_real_path_of_an_added_folder_is_understood_and_said(
    filled: Shell, docs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ran = filled("cat", docs / "a.txt")
    assert ran.raw == b"one\n"
    assert f"{docs}/a.txt is docs/a.txt in the volume" in ran.err
    monkeypatch.chdir(docs / "deep")
    assert filled("log", "../b.txt", "--json").json[0]["path"] == "docs/b.txt"
    assert "no such file" in filled("cat", "/etc/passwd", expect=1).err


# --- log, cat, diff ---------------------------------------------------------------------------


def test_log_of_a_file(filled: Shell, docs: Path) -> None:
    (docs / "a.txt").write_text("one\nmore\n")
    filled("add", docs)
    newest, oldest = filled("log", "docs/a.txt", "--json").json
    assert set(newest) >= {
        "version", "node", "node_name", "kind", "size", "parents", "blocks", "held", "head",
        "operation",
    }  # fmt: skip
    assert newest["parents"] == [oldest["id"]]
    assert (newest["head"], oldest["head"]) == (True, False)
    assert newest["node_name"] == "laptop"
    assert (newest["size"], newest["blocks"], newest["held"]) == (9, 1, "all")
    lines = filled("log", "docs/a.txt").lines
    assert lines[0].startswith(newest["version"])
    assert "(now)" in lines[0]
    assert len(filled("log", "docs/a.txt", "-n", "1").lines) == 1


def test_log_below_a_directory_is_newest_first_and_whole(at: Shell, tmp_path: Path) -> None:
    source = tree(tmp_path / "s", {f"{n:04}": "x" for n in range(1203)})
    at("add", source)
    rows = at("log", "--json").json
    assert len(rows) == 1204
    assert len({row["path"] for row in rows}) == 1204
    times = [row["version"] for row in rows]
    assert times == sorted(times, reverse=True)
    assert len(at("log", "s", "--limit", "700").lines) == 700


def test_log_of_a_deleted_directory_tells_of_what_was_in_it(filled: Shell) -> None:
    filled("rm", "docs/deep")
    paths = {row["path"] for row in filled("log", "docs/deep", "--json").json}
    assert paths == {"docs/deep", "docs/deep/c.txt"}


def test_log_of_operations(filled: Shell) -> None:
    filled("rm", "docs/a.txt")
    newest, oldest = filled("log", "--operations", "--json").json
    assert set(newest) >= {
        "operation", "verb", "args", "node", "node_name", "time", "versions", "bytes", "interrupted",
    }  # fmt: skip
    assert (newest["verb"], newest["args"], newest["versions"]) == ("rm", ["docs/a.txt"], 1)
    assert (oldest["verb"], oldest["bytes"], oldest["interrupted"]) == ("add", 14, False)
    assert "globofs rm docs/a.txt  1 version" in filled("log", "--operations").out
    below = filled("log", "docs/b.txt", "--operations", "--json").json
    assert [row["verb"] for row in below] == ["add"]


def test_cat(filled: Shell, docs: Path) -> None:
    (docs / "a.txt").write_bytes(b"\0\xff second")
    filled("add", docs)
    _newest, oldest = filled("log", "docs/a.txt", "--json").json
    assert filled("cat", "docs/a.txt").raw == b"\0\xff second"
    assert filled("cat", "docs/a.txt", "--version", "-1").raw == b"one\n"
    assert filled("cat", "docs/a.txt", "--version", oldest["version"]).raw == b"one\n"
    assert filled("cat", "docs/a.txt", "--version", oldest["id"][:12]).raw == b"one\n"
    assert filled("cat", "docs/a.txt", "--at", oldest["version"]).raw == b"one\n"
    assert "could be any of" in filled("cat", "docs/a.txt", "--version", "17", expect=1).err
    assert "no version 999" in filled("cat", "docs/a.txt", "--version", "999", expect=1).err
    assert "at that moment" in filled("cat", "docs/a.txt", "--at", "1d ago", expect=1).err
    assert "is a directory, not a file" in filled("cat", "docs", expect=1).err


def test_diff(filled: Shell, docs: Path) -> None:
    assert filled("diff", "docs/b.txt", "--from", "now").out
    (docs / "a.txt").write_text("one\ntwo\x1b[2J\n")
    (docs / "new").write_text("new")
    filled("add", docs)
    ran = filled("diff", "docs/a.txt")
    assert "+two\\x1b[2J" in ran.lines
    assert "\x1b" not in ran.out
    made = filled("diff", "docs/a.txt", "--from", "-1", "--to", "now", "--json").json
    assert made["kind"] == "text"
    assert NUMBER.fullmatch(made["old"])
    assert made["problems"] == []
    listed = filled("diff", "docs", "--json").json
    assert listed["kind"] == "directory"
    changes = {row["path"]: row["change"] for row in listed["changes"]}
    assert changes == {"docs/a.txt": "changed", "docs/new": "added"}
    assert "+ docs/new" in filled("diff", "docs").lines
    assert "no such file" in filled("diff", "nope", expect=1).err


# --- restore, rm, mv, undo --------------------------------------------------------------------


def test_restore_in_the_volume_is_a_new_version(filled: Shell, docs: Path) -> None:
    (docs / "a.txt").write_text("worse\n")
    filled("add", docs)
    plan = filled("restore", "docs/a.txt", "--version", "-1", "--dry-run", "--json").json
    assert (plan["dry_run"], plan["files"], plan["bytes"]) == (True, 1, 4)
    assert plan["items"][0]["action"] == "replace"
    assert filled("cat", "docs/a.txt").raw == b"worse\n"
    done = filled("restore", "docs/a.txt", "--version", "-1", "--json").json
    assert (done["files"], done["versions"], done["problems"]) == (1, 1, [])
    assert filled("cat", "docs/a.txt").raw == b"one\n"
    assert len(filled("log", "docs/a.txt").lines) == 3
    filled("undo")
    assert filled("cat", "docs/a.txt").raw == b"worse\n"


def test_restore_of_a_deleted_directory(filled: Shell) -> None:
    filled("rm", "docs")
    assert filled("ls").lines == []
    filled("restore", "docs")
    assert filled("ls", "docs").lines == ["a.txt", "b.txt", "deep/"]


def test_restore_out_of_the_volume(filled: Shell, tmp_path: Path) -> None:
    out = tmp_path / "out"
    ran = filled("restore", "docs", "--to", out, "--json").json
    assert ran["files"] == 3
    assert (out / "docs/deep/c.txt").read_text() == "three\n"
    filled("restore", "docs/b.txt", "--to", tmp_path / "single")
    assert (tmp_path / "single").read_text() == "two\n"
    (tmp_path / "single").write_text("mine")
    ran_again = filled("restore", "docs/b.txt", "--to", tmp_path / "single", expect=1)
    assert "exists already" in ran_again.err
    assert (tmp_path / "single").read_text() == "mine"
    filled("restore", "docs/b.txt", "--to", tmp_path / "single", "--force")
    assert (tmp_path / "single").read_text() == "two\n"


def test_restore_never_writes_through_a_symlink(filled: Shell, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "out/docs").symlink_to(tmp_path / "elsewhere")
    filled("restore", "docs", "--to", tmp_path / "out", expect=1)
    assert list((tmp_path / "elsewhere").iterdir()) == []


def test_rm_mv_undo_redo(filled: Shell) -> None:
    assert filled("rm", "docs/a.txt", "--json").json["paths"] == ["docs/a.txt"]
    filled("undo")
    assert filled("cat", "docs/a.txt").raw == b"one\n"
    filled("redo")
    assert "it was deleted" in filled("cat", "docs/a.txt", expect=1).err
    filled("undo")
    filled("mv", "docs/b.txt", "docs/deep")
    assert filled("cat", "docs/deep/b.txt").raw == b"two\n"
    filled("mv", "docs", "papers")
    assert filled("cat", "papers/deep/b.txt").raw == b"two\n"
    assert "was docs/" in filled("log", "papers/a.txt").out
    operations = filled("log", "--operations", "--json").json
    moved = next(row for row in operations if row["args"] == ["docs/b.txt", "docs/deep/b.txt"])
    ran = filled("undo", moved["operation"])
    assert "docs/deep/b.txt: was changed since, left as it is" in ran.err
    assert "not an operation" in filled("undo", "yesterday", expect=2).err
    at_last = filled("undo", operations[0]["operation"].rpartition(":")[2], "--json").json
    assert at_last["undone"] == operations[0]["operation"]
    assert filled("ls").lines == ["docs/"]


def test_nothing_to_undo(at: Shell) -> None:
    assert "nothing of this node to undo" in at("undo", expect=1).err
    assert "nothing of this node to redo" in at("redo", expect=1).err


def test_rm_names_what_is_not_there(filled: Shell) -> None:
    ran = filled("rm", "docs/a.txt", "docs/nope", expect=1)
    assert "docs/nope" in ran.err
    assert filled("ls", "docs").lines == ["b.txt", "deep/"]
    assert "whole volume" in filled("rm", "/", expect=2).err


# --- sync and blocks --------------------------------------------------------------------------


def test_sync_and_status(pair: tuple[Shell, Shell], docs: Path) -> None:
    here, there = pair
    status = there("status", "--json").json
    assert set(status) >= {
        "volume", "uuid", "name", "files", "versions", "conflicts", "blocks_missing",
        "bytes_missing", "peers",
    }  # fmt: skip
    assert (status["files"], status["blocks_missing"], status["bytes_missing"]) == (3, 3, 14)
    (peer,) = status["peers"]
    assert (peer["name"], peer["state"], peer["activity"]) == ("laptop", "online", "idle")
    assert (peer["incoming"], peer["error"]) == (0, None)
    (docs / "a.txt").write_text("later\n")
    here("add", docs)
    result = here("sync", "--json").json
    assert result["sent"] >= 2
    assert result["problems"] == []
    assert result["peers"][0]["name"] == "nas"
    assert here("status", "--json").json["peers"][0]["outgoing"] >= 2
    there("sync")
    assert here("status", "--json").json["peers"][0]["outgoing"] == 0
    text = there("status").out
    assert "laptop  online, up to date  seen now" in text
    assert "3 files" in text


def test_offline_peers_are_narrated_and_reaching_nobody_is_a_failure(
    pair: tuple[Shell, Shell], tmp_path: Path
) -> None:
    here, there = pair
    there.volume.rename(tmp_path / "unmounted")
    ran = here("sync", expect=1)
    assert "nas: offline" in ran.err
    third = make(tmp_path / "x", "third")
    here("peer", "add", "third", third.volume)
    ran = here("sync")
    assert "nas: offline" in ran.err
    assert "third: online" in ran.err
    status = here("status", "--json").json
    states = {peer["name"]: (peer["state"], bool(peer["error"])) for peer in status["peers"]}
    assert states == {"nas": ("offline", True), "third": ("online", False)}


def test_another_volume_at_a_peers_place_is_a_failure(
    pair: tuple[Shell, Shell], tmp_path: Path
) -> None:
    here, there = pair
    there.volume.rename(tmp_path / "elsewhere")
    make(there.volume, "impostor")
    ran = here("sync", expect=1)
    assert "nas: wrong" in ran.err
    assert here("status", "--json").json["peers"][0]["state"] == "wrong"


def test_sync_without_peers_has_nothing_to_do(at: Shell) -> None:
    assert "no peers, nothing to do" in at("sync").err


def test_content_is_pulled_when_read_and_missing_when_nobody_has_it(
    pair: tuple[Shell, Shell], tmp_path: Path
) -> None:
    here, there = pair
    assert there("cat", "docs/a.txt").raw == b"one\n"
    assert there("ls", "docs/a.txt", "--json").json[0]["held"] == "all"
    here.volume.rename(tmp_path / "gone")
    ran = there("cat", "docs/b.txt", expect=3)
    assert "laptop should" in ran.err
    assert ran.raw == b""
    error = there("cat", "docs/b.txt", expect=3)
    assert "docs/b.txt" in error.err
    assert "should have it (laptop is offline: " in error.err
    assert there("diff", "docs/b.txt", "--json", expect=3).json["kind"] == "missing"
    assert there("restore", "docs/b.txt", "--to", tmp_path / "o", expect=3).err
    assert there("restore", "docs", "--to", f"{tmp_path}/p/", expect=3).err
    assert (tmp_path / "p/docs/a.txt").read_text() == "one\n"
    assert there("mirror", "--json", expect=3).json["missing"] == 2


def test_mirror(pair: tuple[Shell, Shell]) -> None:
    _here, there = pair
    first = there("mirror", "docs/deep", "--json").json
    assert (first["blocks"], first["bytes"], first["problems"]) == (1, 6, [])
    assert there("mirror", "--json").json["blocks"] == 2
    assert "0 B pulled" in there("mirror").err
    assert there("status", "--json").json["blocks_missing"] == 0


def test_mirror_to_a_peer_that_cannot_reach_back(pair: tuple[Shell, Shell]) -> None:
    here, there = pair
    there("peer", "remove", "laptop")
    assert here("mirror", "--to", "nas", "--json").json["blocks"] == 3
    assert there("verify", "--json").json["damaged"] == 0
    assert there("cat", "docs/a.txt").raw == b"one\n"
    assert "no such peer" in here("mirror", "--to", "nobody", expect=2).err


def test_pin_unpin_copies_why(pair: tuple[Shell, Shell]) -> None:
    _here, there = pair
    why = there("why", "docs/a.txt", "--json").json
    assert set(why[0]) >= {"path", "reason", "detail"}
    assert (why[0]["path"], why[0]["reason"]) == ("docs/a.txt", "unwanted")
    pinned = there("pin", "docs/a.txt", "--json").json
    assert pinned["pins"] == ["docs/a.txt"]
    assert pinned["fetched_bytes"] == 4
    left = there("why", "docs/a.txt", "--json").json  # the other node need not have looked yet
    assert [row for row in left if row["reason"] != "behind"] == []
    copies = there("copies", "docs/a.txt", "--json").json
    assert {row["name"]: row["blocks"] for row in copies} == {"laptop": 1, "nas": 1}
    assert there("unpin", "docs/a.txt", "--json").json["pins"] == []
    assert "no such file" in there("why", "nope", expect=1).err


def test_why_says_that_something_was_lost_here(pair: tuple[Shell, Shell]) -> None:
    """A keeper lets go of nothing, and nobody need hold what it wrote: it was damaged."""
    here, _ = pair
    for place in (here.volume / "local/staged").iterdir():
        place.unlink()
    for kept in (here.volume / "local/hashes").rglob("*"):
        if kept.is_file():
            kept.write_bytes(b"x")
    assert "`globofs verify --repair` mends what it can" in here("verify", expect=1).err
    said = here("verify", "--repair", expect=1).err
    assert "nobody reachable holds it; `globofs add` of the same file brings it back" in said
    here("cat", "docs/a.txt", expect=3)
    assert "1 block wanted and not here yet" in here("status").out
    (reason, *_) = here("why", "docs/a.txt", "--json").json
    assert reason["reason"] == "damaged"
    assert reason["detail"].startswith("1 of 1 block was found damaged here; reading, or `globofs")
    assert "other nodes should have it" in here("cat", "docs/a.txt", expect=3).err


def test_why_says_who_is_away(pair: tuple[Shell, Shell], tmp_path: Path) -> None:
    """Scenario 23."""
    here, there = pair
    here.volume.rename(tmp_path / "gone")
    there("pin", "docs/a.txt", expect=3)
    (reason, *_) = there("why", "docs/a.txt", "--json").json
    assert reason["reason"] == "offline"
    assert "laptop" in reason["detail"]
    there("pause", "docs")
    assert there("why", "docs/a.txt", "--json").json[0]["reason"] == "paused"


def test_a_path_that_was_not_there_then_is_no_unknown_one(filled: Shell) -> None:
    error = filled("restore", "docs/a.txt", "--at", "2001-01-01", expect=1).err
    assert "at that moment (2001-01-01)" in error
    assert (
        "did you mean docs/a.txt"
        in filled("restore", "docs/A.txt", "--at", "2001-01-01", expect=1).err
    )


def test_a_restore_says_where_it_brought_things(filled: Shell, docs: Path, tmp_path: Path) -> None:
    (docs / "a.txt").write_text("one\nmore\n")
    filled("add", docs)
    inside = filled("restore", "docs/a.txt", "--version", "-1").err
    assert "in the volume (--to writes it out)" in inside
    outside = filled("restore", "docs/a.txt", "--to", f"{tmp_path}/out/").err
    assert "in the volume" not in outside


def test_evict(tmp_path: Path, filled: Shell) -> None:
    cache = make(tmp_path / "c", "cache", "--cacheonly")
    cache("peer", "add", "laptop", filled.volume)
    cache("sync")
    cache("cat", "docs/a.txt")
    looked = cache("evict", "--dry-run", "--json").json
    assert looked["dry_run"] is True
    assert {"blocks", "bytes", "kept", "waiting"} <= set(looked)
    assert "keeper" in filled("evict", expect=1).err
    for side in (cache, filled, cache):
        side("sync")
    again = cache("evict", "--json").json
    assert again["waiting"] > 0
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}Z", again["next_at"])
    missing = cache("why", "docs", "--json").json
    assert {one["reason"] for one in missing} == {"unwanted"}
    assert all("never asked for, or was let go of since" in one["detail"] for one in missing)
    cache("pause", "laptop")
    assert "laptop is paused by you: whether it" in cache("why", "docs").out


# --- steering ---------------------------------------------------------------------------------


def test_pause_and_resume(pair: tuple[Shell, Shell]) -> None:
    here, _ = pair
    assert here("pause", "nas", "--json").json == {"done": "pause", "peer": "nas"}
    assert here("status", "--json").json["peers"][0]["state"] == "paused"
    assert "nas: paused" in here("sync").err
    here("pause", "docs/deep")
    assert here("resume", "nas", "--json").json["peer"] == "nas"
    assert here("status", "--json").json["peers"][0]["state"] == "online"
    here("pause")
    assert "everything goes on" in here("resume").err
    assert here("status", "--json").json["peers"][0]["state"] == "online"
    assert "neither a peer" in here("pause", "nobody", expect=2).err


def test_retry_and_bump(pair: tuple[Shell, Shell]) -> None:
    here, there = pair
    assert here("retry", "--json").json["done"] == "retry"
    assert there("bump", "docs/a.txt", "--json").json["path"] == "docs/a.txt"
    assert there("status", "--json").json["wanted_blocks"] == 1
    there("sync")
    assert there("ls", "docs/a.txt", "--json").json[0]["held"] == "all"
    assert "no such file" in there("bump", "nope", expect=1).err


# --- conflicts --------------------------------------------------------------------------------


def test_conflicts_are_listed(conflict: tuple[Shell, Shell]) -> None:
    _here, _there = conflict
    for at in conflict:
        (row,) = at("conflicts", "--json").json
        assert row["path"] == "docs/a.txt"
        assert len(row["sides"]) == 2
        assert set(row["sides"][0]) >= {"version", "node", "node_name", "kind", "size", "held"}
        assert row["winner"] in {side["version"] for side in row["sides"]}
        assert {side["node_name"] for side in row["sides"]} == {"laptop", "nas"}
        assert at("status", "--json").json["conflicts"] == 1
        assert at("ls", "docs/a.txt", "--json").json[0]["conflict"] is True
        assert "1 conflict; `globofs resolve PATH` with --version" in at("conflicts").err
        assert "conflict" in at("ls", "-l", "docs").out


def test_resolve_for_one_side(conflict: tuple[Shell, Shell]) -> None:
    here, there = conflict
    (row,) = here("conflicts", "--json").json
    loser = next(side for side in row["sides"] if side["version"] != row["winner"])
    done = here("resolve", "docs/a.txt", "--version", loser["version"], "--json").json
    assert done["versions"] == 1
    assert here("conflicts", "--json").json == []
    wanted = {"laptop": b"ours, longer\n", "nas": b"theirs\n"}[loser["node_name"]]
    assert here("cat", "docs/a.txt").raw == wanted
    here("sync")
    there("sync")
    assert there("conflicts", "--json").json == []


def test_resolve_with_a_merged_file(conflict: tuple[Shell, Shell], tmp_path: Path) -> None:
    here, _ = conflict
    (tmp_path / "merged").write_text("both\n")
    here("resolve", "docs/a.txt", "--with", tmp_path / "merged")
    assert here("cat", "docs/a.txt").raw == b"both\n"
    assert here("conflicts", "--json").json == []


def test_resolve_keeping_both(conflict: tuple[Shell, Shell]) -> None:
    here, _ = conflict
    here("resolve", "docs/a.txt", "--keep-both")
    names = here("ls", "docs").lines
    assert any(re.fullmatch(r"a \((laptop|nas), .+\)\.txt", name) for name in names), names
    assert here("conflicts", "--json").json == []


def test_resolve_wants_to_know_how(conflict: tuple[Shell, Shell]) -> None:
    here, _ = conflict
    assert "say one of --version, --with" in here("resolve", "docs/a.txt", expect=2).err
    assert "one PATH at a time" in here("resolve", "a", "b", "--version", "1", expect=2).err


# --- care -------------------------------------------------------------------------------------


def test_verify_finds_and_repairs_damage(pair: tuple[Shell, Shell]) -> None:
    here, there = pair
    there("mirror")
    result = here("verify", "--json").json
    assert set(result) >= {"checked", "damaged", "repaired", "missing"}
    assert (result["damaged"], result["missing"]) == (0, 0)
    block = next(path for path in (there.volume / "local/hashes").rglob("*") if path.is_file())
    block.chmod(0o644)
    block.write_bytes(b"rotten" * 10)
    assert there("verify", "--json", expect=1).json["damaged"] == 1
    repaired = there("verify", "--repair", "--json", expect=0).json
    assert repaired["damaged"] == repaired["repaired"]
    assert there("verify", "--json").json["damaged"] == 0


def test_verify_a_sample(filled: Shell) -> None:
    assert filled("verify", "--sample", "50%", "--json").json["sampled"] is True
    assert "not a share" in filled("verify", "--sample", "150%", expect=2).err


def test_prune(filled: Shell, docs: Path) -> None:
    for text in ("2", "3", "4"):
        (docs / "a.txt").write_text(text)
        filled("add", docs)
    assert "say what to keep" in filled("prune", expect=2).err
    plan = filled("prune", "--keep-last", "1", "--dry-run", "--json").json
    assert (plan["dry_run"], plan["versions"]) == (True, 3)
    assert len(filled("log", "docs/a.txt").lines) == 4
    assert filled("prune", "--keep-last", "1", "--json").json["versions"] == 3
    shown = filled("log", "docs/a.txt", "--json").json
    assert [row["pruned"] for row in shown] == [False, True, True, True]


def test_doctor(pair: tuple[Shell, Shell], tmp_path: Path) -> None:
    here, there = pair
    before = sorted(path.name for path in there.volume.iterdir())
    first, second = here("doctor", "--json").json
    assert (first["name"], second["name"]) == ("this node", "nas")
    assert first["append"] is True
    assert first["lacks"] == []
    assert "appending" in here("doctor").out
    assert sorted(path.name for path in there.volume.iterdir()) == before
    assert here("doctor", tmp_path, "--json").json[0]["writable"] is True
    assert "not a directory" in here("doctor", tmp_path / "nope", expect=2).err


# --- other ------------------------------------------------------------------------------------


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_knows_every_command(shell: str) -> None:
    from globofs.cli.parser import COMMANDS

    script = run("completion", shell).out
    for name in COMMANDS:
        assert name in script
    for word in ("keep-last", "all-versions", "retire", "zstd" if shell == "none" else "cdc"):
        assert word in script


def test_help_names_every_command_and_every_option_has_words() -> None:
    from globofs.cli.parser import COMMANDS, build

    overview = run("--help")
    assert overview.status == 0
    for name, command in COMMANDS.items():
        assert f"  {name} " in overview.out
        ran = run(name, "--help")
        assert ran.status == 0
        assert ran.out.startswith(f"usage: globofs {name}")
        for action in build(command)._actions:
            assert action.option_strings == [] or action.help, (name, action)


def test_version() -> None:
    from globofs import __version__

    assert run("--version").out == f"globofs {__version__}\n"


def test_time_flies_in_listings(filled: Shell) -> None:
    """Whatever `log` shows as a time is understood by --at."""
    time.sleep(1.1)
    filled("rm", "docs/a.txt")
    shown = filled("log", "docs/b.txt").lines[0].split("  ")
    assert filled("cat", "docs/a.txt", "--at", shown[0]).raw == b"one\n"
    assert filled("cat", "docs/a.txt", "--at", shown[1].strip()).raw == b"one\n"
