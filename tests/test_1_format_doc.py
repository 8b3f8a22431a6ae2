"""FORMAT.md says what the code does: its examples are read, written and run."""

from __future__ import annotations

import os
import re
import subprocess
from hashlib import sha256
from pathlib import Path

import pytest

import globofs
from globofs import limits
from globofs.errors import FormatError
from globofs.format import applied, codec, config, kinds, manifest, names, record
from globofs.format.manifest import Block, Manifest
from globofs.store import staged
from tests.helpers_format import UUID

DOCUMENT = (Path(globofs.__file__).parent / "FORMAT.md").read_text(encoding="utf-8")


def examples(word: str) -> list[str]:
    """The fenced blocks marked with `word`."""
    found = re.findall(rf"^```{word}\n(.*?)^```$", DOCUMENT, re.M | re.S)
    assert found, word
    return found


def example(word: str) -> str:
    (found,) = examples(word)
    return found


def section(number: int) -> str:
    return DOCUMENT.split(f"\n## {number} ")[1].split("\n## ")[0]


# --- the examples ---------------------------------------------------------------------------


def test_the_sections_are_there_in_order() -> None:
    titles = re.findall(r"^## (.*)$", DOCUMENT, re.M)
    assert titles == [
        "1 Layout",
        "2 Config",
        "3 Names",
        "4 Manifest",
        "5 Journal",
        "6 Blocks",
        "7 Meaning",
        "8 Durability",
        "9 Limits and trust",
        "10 Recover without GloboFS",
    ]


def test_config_example() -> None:
    read = config.parse_node(example("config"), "config")
    assert read == config.NodeConfig(UUID, "/srv/globofs_volume/", cachetime_seconds=1800.0)


def test_config_tables_name_every_key_and_default() -> None:
    rows = re.findall(r"^\| `(\w+)` \| .* \| (.*) \|$", section(2), re.M)
    node = rows[: len(config.NODE_KEYS)]
    assert tuple([key for key, _ in node]) == config.NODE_KEYS
    assert tuple([key for key, _ in rows[len(node) :]]) == config.PEER_KEYS
    defaults = [f"{key}={value.strip('`')}" for key, value in node if value.startswith("`")]
    text = f"uuid={UUID}\n" + "\n".join(defaults)
    assert config.parse_node(text, "FORMAT.md") == config.NodeConfig(UUID)


def test_the_table_of_kinds_has_every_kind() -> None:
    table = section(5).split("| kind | fields, in order |")[1].split("\n\n")[0]
    listed = re.findall(r"^\| `([a-z-]+)` \|", table, re.M)
    assert sorted(listed) == sorted([*kinds.EVENTS, "close", "version"])


@pytest.mark.parametrize("text", examples("manifest"))
def test_manifest_examples(text: str) -> None:
    made = manifest.decode(text.encode())
    assert manifest.encode(made) == text.encode()
    assert not made.extra


def test_manifest_table_is_in_the_order_of_the_text() -> None:
    keys = re.findall(r"^\| `(\w+)` \| ", section(4), re.M)
    everything = Manifest(
        "symlink", b"p", 1, UUID, (bytes(32),), 0, 0, 0, b"t", b"f", bytes(32), (), ()
    )
    written = re.findall(r"^(\w+)=", manifest.encode(everything).decode(), re.M)
    assert keys == written


def test_journal_example() -> None:
    data = example("journal").encode()
    parts = list(record.scan(data, final=True))
    assert all(isinstance(part, record.Found) for part in parts)
    found = [part for part in parts if isinstance(part, record.Found)]
    prev, written = record.FIRST_PREV, b""
    for number, part in enumerate(found, 1):
        assert (part.record.seq, part.record.prev) == (number, prev)
        frame, prev = record.encode_record(part.record)
        assert (frame, prev) == (part.raw, part.id)
        written += record.BEFORE_APPEND + frame
    assert written == data
    entry = kinds.VersionRecord.parse(found[1].record)
    assert entry.text == examples("manifest")[0].encode()
    assert entry.decode(UUID) == manifest.decode(entry.text)
    assert kinds.NodeRecord.parse(found[0].record).name == "moonbase"
    assert kinds.CloseRecord.parse(found[2].record).bytes == 2453164


def test_applied_example() -> None:
    text = example("applied").encode()
    read = applied.decode(text)
    assert applied.encode(read) == text
    last = list(record.scan(example("journal").encode()))[-1]
    assert isinstance(last, record.Found)
    assert read[UUID] == applied.Position(3, last.id, (), 3)


def test_names_table() -> None:
    rows = re.findall(r"^\| `([^`]+)` \| `root/([^`]+)` \|$", section(3), re.M)
    assert len(rows) >= 2
    for path, directory in rows:
        assert names.to_disk(path.encode()) == directory
        assert names.from_disk(directory) == path.encode()


def test_every_kind_of_record_is_documented() -> None:
    documented = set(re.findall(r"^\| `([a-z-]+)` \|", section(5), re.M))
    for kind in vars(kinds).values():
        if isinstance(kind, type) and isinstance(getattr(kind, "KIND", None), str):
            assert kind.KIND in documented


def test_the_limits_are_those_of_the_code() -> None:
    table = dict(re.findall(r"^\| (.+?) \| (.+?) \|$", section(9), re.M))
    mib = limits.MIB
    assert table["name, path, symlink target"] == (
        f"{limits.NAME_BYTES}, {limits.PATH_BYTES}, {limits.PATH_BYTES} bytes"
    )
    assert table["config"] == f"{limits.CONFIG_BYTES // 1024} KiB"
    assert table["manifest; its header; inside a record"] == (
        f"{limits.MANIFEST_BYTES // mib} MiB; {manifest.HEADER_BYTES // mib} MiB; "
        f"{limits.MANIFEST_INLINE_BYTES // mib} MiB"
    )
    assert table["blocks of a manifest; parents"] == (
        f"{limits.MANIFEST_BLOCKS:,}; {limits.PARENTS_MAX}"
    )
    assert table["block, plain"] == f"{limits.BLOCK_SIZE_MAX // mib} MiB"
    assert table["record body; header line"].startswith(f"{limits.RECORD_BYTES // mib} MiB")
    assert table["segment"].startswith(f"{limits.SEGMENT_BYTES // mib} MiB")
    assert limits.SEQUENCE_MAX == 2**53
    assert limits.TIME_MAX_NS == limits.SIZE_MAX == 2**62
    assert table["`applied`; gaps of an origin"] == (
        f"{limits.APPLIED_BYTES // mib} MiB; {limits.GAPS_MAX}"
    )
    assert table["staged file"].startswith(f"{limits.STAGE_FILE_BYTES // mib} MiB")
    assert f"below {limits.STAGE_BELOW_BYTES // 1024} KiB" in section(8)
    assert f"up to {limits.STAGE_CACHE_BYTES // mib} MiB" in section(8)
    assert codec.encoded_limit(8000) == 8000 + 1000 + 64 * 1024


# --- recovery by hand -----------------------------------------------------------------------

CONTENT = [b"first block\n" * 5000, b"second \0 block" * 3000, os.urandom(20_000), b"last"]
STORED = [("zstd", 3), ("gzip", 6), ("none", 0), ("zstd", 1)]


def node_directory(where: Path) -> tuple[Path, bytes]:
    """A node with one file of five blocks (one of them twice), each stored in another way."""
    blocks: list[Block] = []
    file = where / "root" / "a dir" / "=hashes"
    (file / "versions").mkdir(parents=True)
    for plain, (method, level) in zip(CONTENT, STORED, strict=True):
        block = Block(sha256(plain).digest(), len(plain))
        stored, suffix = codec.compress(plain, method, level)
        digits = block.id.hex()
        path = Path("hashes") / digits[:2] / digits[2:4] / (digits[4:] + suffix)
        (where / path).parent.mkdir(parents=True, exist_ok=True)
        (where / path).write_bytes(stored)
        link = file / path
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(os.path.relpath(where / path, link.parent))
        blocks.append(block)
    blocks.append(blocks[0])
    content = b"".join([*CONTENT, CONTENT[0]])
    parents = (sha256(b"x").digest(),)
    made = Manifest(
        "file", b"a dir/hashes", 1, UUID, parents, len(content), 0o644, 1, blocks=tuple(blocks)
    )
    (file / "versions" / "latest").write_bytes(manifest.encode(made))
    return file, content


def shell(script: str, where: Path, **variables: str) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        ["sh", "-c", script], cwd=where, env={**os.environ, **variables}, capture_output=True
    )


def test_recovery_of_a_file(tmp_path: Path) -> None:
    file, content = node_directory(tmp_path)
    for where, path in ((tmp_path, file / "versions" / "latest"), (file, "versions/latest")):
        done = shell(example("recover"), where, manifest=str(path))
        assert done.stderr == b""
        assert (where / "recovered").read_bytes() == content
    assert len(example("recover").splitlines()) == 4


def test_recovery_says_what_is_missing(tmp_path: Path) -> None:
    file, content = node_directory(tmp_path)
    digits = sha256(CONTENT[1]).hexdigest()
    (tmp_path / "hashes" / digits[:2] / digits[2:4] / (digits[4:] + ".gz")).unlink()
    done = shell(example("recover"), tmp_path, manifest=str(file / "versions" / "latest"))
    assert digits[4:].encode() in done.stderr
    assert (tmp_path / "recovered").read_bytes() != content


def test_recovery_from_a_staged_file(tmp_path: Path) -> None:
    (tmp_path / "staged").mkdir()
    frames = []
    for plain in (b"other" * 100, b"wanted\n" * 500, b"more" * 100):
        stored, suffix = codec.compress(plain, "zstd", 1)
        head = staged.header(sha256(plain).digest(), len(plain), len(stored), suffix)
        frames.append(head + stored + b"\n")
    (tmp_path / "staged" / "1348096774.177556349").write_bytes(b"".join(frames))
    wanted = b"wanted\n" * 500
    done = shell(example("recover-staged"), tmp_path, id=sha256(wanted).hexdigest())
    assert done.stderr == b""
    assert (tmp_path / "block").read_bytes() == wanted


def test_recovery_of_manifests_from_the_journal(tmp_path: Path) -> None:
    updates = tmp_path / "upstream" / UUID / "updates"
    updates.mkdir(parents=True)
    (updates / "latest").write_text(example("journal"))
    done = shell(example("recover-manifests"), tmp_path)
    assert done.stderr == b""
    assert (tmp_path / "manifests").read_text() == examples("manifest")[0]


def test_a_reader_refuses_what_the_document_refuses() -> None:
    with pytest.raises(FormatError):
        manifest.decode(examples("manifest")[0].replace("blocks=3", "blocks=4").encode())
