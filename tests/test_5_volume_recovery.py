"""FORMAT.md, section 10, on a volume that GloboFS itself has written."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest

import globofs
from globofs.format import manifest
from globofs.volume import Volume

DOCUMENT = (Path(globofs.__file__).parent / "FORMAT.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("compression", ["zstd", "gzip", "none"])
def test_a_shell_recovers_every_file(tmp_path: Path, compression: str) -> None:
    source = tmp_path / "source"
    contents = {
        "versions/big file": b"a line of text\n" * 300_000 + os.urandom(200_000),
        "=odd": os.urandom(70_000),
        "empty": b"",
        "\udcff": b"not UTF-8",
    }
    for name, content in contents.items():
        path = source / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    with Volume.init(str(tmp_path / "volume"), blocksize=65536, compression=compression) as volume:
        volume.add([str(source)])
        node = Path(volume.node.directory)
    (script,) = re.findall(r"^```recover\n(.*?)^```$", DOCUMENT, re.M | re.S)
    recovered: list[bytes] = []
    for latest in node.glob("root/**/versions/latest"):
        data = latest.read_bytes()
        made = manifest.decode(data)
        assert manifest.encode(made) == data
        if made.kind != "file":
            continue
        file = latest.parent.parent
        for where, path in ((node, str(latest)), (file, "versions/latest")):
            done = subprocess.run(
                ["sh", "-c", script],
                cwd=where,
                env={**os.environ, "manifest": path},
                capture_output=True,
            )
            assert done.stderr == b""
            result = (where / "recovered").read_bytes()
            assert result == contents[os.fsdecode(made.path.removeprefix(b"source/"))]
        recovered.append(made.path)
    assert len(recovered) == len(contents)
