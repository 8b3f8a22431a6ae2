"""Configs: strict about our own, kind to others', and edited without losing a comment."""

from __future__ import annotations

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from globofs.errors import BadConfig
from globofs.format import config as c
from globofs.format.config import NodeConfig, PeerConfig
from globofs.limits import BLOCK_SIZE_MAX, BLOCK_SIZE_MIN, CONFIG_BYTES, MIB
from tests.helpers_format import OTHER, UUID, uuids

PLANNED = f"""uuid={UUID}
path=/srv/globofs_volume/ #So that we can just specify a config
cacheonly=no
cachetime=30m
"""

plain_values = st.text(
    st.characters(exclude_categories=["Cc", "Cs"]), min_size=1, max_size=30
).filter(lambda text: text == text.strip(" \t\r") and " #" not in text and len(text.encode()) < 250)
durations = st.integers(50, 10**9).map(lambda ms: ms / 1000)


@st.composite
def node_configs(draw: st.DrawFn) -> NodeConfig:
    chunking = draw(st.sampled_from(["fixed", "cdc"]))
    compression = draw(st.sampled_from(["zstd", "gzip", "none"]))
    lowest, highest = c.LEVELS[compression]
    most = c.CDC_BLOCK_SIZE_MAX if chunking == "cdc" else BLOCK_SIZE_MAX
    return NodeConfig(
        uuid=draw(uuids),
        path=draw(plain_values),
        name=draw(plain_values),
        cacheonly=draw(st.booleans()),
        cachetime_seconds=draw(st.none() | durations),
        blocksize=draw(st.integers(BLOCK_SIZE_MIN, most)),
        chunking=chunking,
        compression=compression,
        level=draw(st.integers(lowest, highest)),
        links=draw(st.booleans()),
        copies=draw(st.integers(1, 99)),
        poll_seconds=draw(durations),
        readtimeout_seconds=draw(durations),
        commit_seconds=draw(durations),
    )


@given(node_configs())
def test_node_round_trip(config: NodeConfig) -> None:
    text = c.render_node(config)
    assert c.parse_node(text, "config") == config
    assert c.parse_foreign(text) == config


@given(uuids, plain_values, st.booleans())
def test_peer_round_trip(uuid: str, path: str, send: bool) -> None:
    config = PeerConfig(uuid, path, send)
    assert c.parse_peer(c.render_peer(config), "config") == config


def test_the_planned_examples_are_read() -> None:
    config = c.parse_node(PLANNED, "config")
    assert config == NodeConfig(UUID, "/srv/globofs_volume/", cachetime_seconds=1800.0)
    assert (config.chunking, config.blocksize) == ("fixed", 1 * MIB)
    peer = c.parse_peer(f"uuid={OTHER}\npath=/network/remote/server01.alaska/\n", "config")
    assert peer == PeerConfig(OTHER, "/network/remote/server01.alaska/")


def test_blanks_and_comments() -> None:
    text = f"# a node\r\n\n  uuid = {UUID.upper()}\t# who\n path=/a#b/c d  \t#x # y\n#name=x\n"
    assert c.parse_node(text, "config") == NodeConfig(UUID, "/a#b/c d")


def test_paths_that_are_not_utf8_survive() -> None:
    config = PeerConfig(OTHER, "/srv/\udcff")
    assert c.parse_peer(c.render_peer(config), "config") == config


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("cachonly=yes", "unknown key 'cachonly'; did you mean cacheonly=?"),
        ("Name=x", "did you mean name=?"),
        ("send=yes", "unknown key 'send'"),
        ("zzzzzz=1", "there are uuid, path"),
        ("cacheonly=true", "write yes or no"),
        ("cachetime=30", "30s, 30m, 12h or 7d"),
        ("cachetime=-3s", "not a duration"),
        ("blocksize=1T", "64K or 1M"),
        ("blocksize=0", "not a size"),
        ("blocksize=4095", "4K to 64M"),
        ("blocksize=65M", "4K to 64M"),
        ("chunking=rabin", "fixed or cdc"),
        ("compression=xz", "zstd, gzip or none"),
        ("compression=zstd:20", "levels 1 to 19"),
        ("compression=zstd:", "levels 1 to 19"),
        ("compression=none:1", "no level"),
        ("copies=0", "1 to 99"),
        ("poll=0s", "too short"),
        ("name=", "1 to 255 bytes"),
        ("name=B\udcfcro", "a name is UTF-8"),
        ("path=", "not a path"),
        (f"uuid={OTHER}", "stands in line 1 already"),
        ("hello", "not key=value"),
        ("=x", "unknown key ''"),
    ],
)
def test_slips_of_the_pen_are_named(line: str, said: str) -> None:
    with pytest.raises(BadConfig) as caught:
        c.parse_node(f"uuid={UUID}\n\n{line}\n", "/v/local/config")
    message = str(caught.value)
    assert message.startswith("/v/local/config:3: ")
    assert said in message


def test_a_large_average_is_refused_where_it_stands() -> None:
    with pytest.raises(BadConfig, match=r"^x:2: with chunking=cdc"):
        c.parse_node(f"uuid={UUID}\nblocksize=8M\nchunking=cdc\n", "x")
    c.parse_node(f"uuid={UUID}\nblocksize=8M\n", "x")


@pytest.mark.parametrize("text", ["", "path=/x\n", "uuid=\n", "uuid=1234\n", "# uuid\n"])
def test_without_a_uuid_it_is_nobodys(text: str) -> None:
    for read in (c.parse_node, c.parse_peer, c.parse_foreign):
        with pytest.raises(BadConfig):
            read(text, "config")


def test_configs_have_a_bound() -> None:
    with pytest.raises(BadConfig, match="larger"):
        c.parse_node(f"uuid={UUID}\n" + "#" * CONFIG_BYTES, "config")
    assert c.parse_foreign(f"uuid={UUID}\n" + "#" * 10 * CONFIG_BYTES).uuid == UUID


def test_a_peers_own_config_is_read_for_what_can_be_understood() -> None:
    text = f"uuid={UUID}\nuuid={OTHER}\nname=far\nblocksize=77T\nfuture = 9\n???\ncacheonly=yes\n"
    read = c.parse_foreign(text)
    assert read == NodeConfig(UUID, name="far", cacheonly=True, extra=(("future", "9"),))


def test_a_peer_entry_keeps_what_it_does_not_know() -> None:
    peer = c.parse_peer(f"uuid={OTHER}\npath=/x\ncolour=red\n", "config")
    assert peer.extra == (("colour", "red"),)
    assert c.parse_peer(c.render_peer(peer), "config") == peer
    with pytest.raises(BadConfig, match="yes or no"):
        c.parse_peer(f"uuid={OTHER}\npath=/x\nsend=1\n", "config")
    with pytest.raises(BadConfig, match="path= is missing"):
        c.parse_peer(f"uuid={OTHER}\n", "config")


@pytest.mark.parametrize("bad", ["a\nb", " a", "a ", "a #b", "#b\t#", "a\r"])
def test_what_a_config_cannot_hold_is_not_written(bad: str) -> None:
    with pytest.raises(BadConfig):
        c.render_peer(PeerConfig(OTHER, bad))
    with pytest.raises(BadConfig):
        c.set_key(PLANNED, "path", bad)


def test_setting_a_key_keeps_everything_else() -> None:
    changed = c.set_key(PLANNED, "path", "/mnt/new")
    assert changed == PLANNED.replace("path=/srv/globofs_volume/", "path=/mnt/new")
    added = c.set_key(PLANNED.rstrip("\n"), "name", "moon")
    assert added == PLANNED + "name=moon\n"
    assert c.set_key("", "uuid", UUID) == f"uuid={UUID}\n"
    assert c.set_key("#name=a\nname=b", "name", "c") == "#name=a\nname=c"


@given(node_configs(), plain_values)
def test_a_set_key_is_read_back(config: NodeConfig, name: str) -> None:
    changed = c.set_key(c.render_node(config), "name", name)
    assert c.parse_node(changed, "config") == dataclasses.replace(config, name=name)


@given(st.integers(1, 2**40))
def test_sizes_read_back(size: int) -> None:
    assert c.parse_size(c.render_size(size)) == size
