"""Words for times, sizes and states, and that what is shown can be typed back."""

from __future__ import annotations

import os
import shlex
import subprocess
import time
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from globofs import speech
from globofs.errors import BadTime, ContentMissing, UsageError
from globofs.snapshots import PeerStatus
from globofs.store.views import Operation, OperationKey

SECOND = 1_000_000_000


@pytest.mark.parametrize(
    ("count", "said"),
    [
        (1, "1 of its blocks is not here and nobody reachable holds it; nas should have it (away)"),
        (1200, "1,200 of its blocks are not here and nobody reachable holds them; nas should have"),
    ],
)
def test_one_is_said_as_one(count: int, said: str) -> None:
    error = ContentMissing(path=b"d/e", count=count, holder="nas", why=" (away)")
    assert error.message.startswith(f"d/e: {said}")
    assert (error.again().message, error.again().path) == (error.message, "d/e")


@pytest.fixture(params=["UTC", "Europe/Berlin", "America/St_Johns", "Pacific/Auckland"])
def zone(request: pytest.FixtureRequest) -> Iterator[str]:
    before = os.environ.get("TZ")
    os.environ["TZ"] = request.param
    time.tzset()
    yield request.param
    if before is None:
        del os.environ["TZ"]
    else:
        os.environ["TZ"] = before
    time.tzset()


@pytest.fixture
def utc() -> Iterator[None]:
    before = os.environ.get("TZ")
    os.environ["TZ"] = "UTC"
    time.tzset()
    yield
    if before is None:
        del os.environ["TZ"]
    else:
        os.environ["TZ"] = before
    time.tzset()


NOW = 1_795_456_800 * SECOND + 123_456_789  # Tue 2026-11-24 18:00:00.123456789 UTC, see below


def at(text: str, *, start: bool = False) -> str:
    return speech.rfc3339(speech.parse_time(text, NOW, start=start))


@pytest.mark.usefixtures("utc")
@pytest.mark.parametrize(
    ("text", "start", "end"),
    [
        ("2026-11-23", "2026-11-23T00:00:00.000000000Z", "2026-11-23T23:59:59.999999999Z"),
        ("2026-11-23T18", "2026-11-23T18:00:00.000000000Z", "2026-11-23T18:59:59.999999999Z"),
        ("2026-11-23 18:05", "2026-11-23T18:05:00.000000000Z", "2026-11-23T18:05:59.999999999Z"),
        ("20261123T180507", "2026-11-23T18:05:07.000000000Z", "2026-11-23T18:05:07.999999999Z"),
        (
            "2026-11-23T18:05:07Z",
            "2026-11-23T18:05:07.000000000Z",
            "2026-11-23T18:05:07.999999999Z",
        ),
        (
            "2026-11-23T18:05:07.25+02:00",
            "2026-11-23T16:05:07.250000000Z",
            "2026-11-23T16:05:07.259999999Z",
        ),
        (
            "2026-11-23T18:05-0330",
            "2026-11-23T21:35:00.000000000Z",
            "2026-11-23T21:35:59.999999999Z",
        ),
        ("1348096774.177556349",) + ("2012-09-19T23:19:34.177556349Z",) * 2,
        ("1348096774.177556349-0badcafe",) + ("2012-09-19T23:19:34.177556349Z",) * 2,
    ],
)
def test_exact_forms(text: str, start: str, end: str) -> None:
    assert (at(text, start=True), at(text)) == (start, end)


def test_now_is_a_known_day() -> None:
    assert time.gmtime(NOW // SECOND)[:7] == (2026, 11, 23, 18, 0, 0, 0)  # a Monday


@pytest.mark.usefixtures("utc")
@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("now", "2026-11-23T18:00:00.123456789Z"),
        ("2h ago", "2026-11-23T16:00:00.123456789Z"),
        ("2 hours ago", "2026-11-23T16:00:00.123456789Z"),
        ("an hour ago", "2026-11-23T17:00:00.123456789Z"),
        ("90s ago", "2026-11-23T17:58:30.123456789Z"),
        ("3 days ago", "2026-11-20T18:00:00.123456789Z"),
        ("1 year and 2 months ago", "2025-09-24T18:00:00.123456789Z"),
        ("1 year, 3 days ago", "2025-11-20T18:00:00.123456789Z"),
        ("in 5m", "2026-11-23T18:05:00.123456789Z"),
        ("in 2 hours", "2026-11-23T20:00:00.123456789Z"),
        ("2 weeks ago", "2026-11-09T18:00:00.123456789Z"),
        ("17:30", "2026-11-23T17:30:59.999999999Z"),
        ("17:30:05", "2026-11-23T17:30:05.999999999Z"),
        ("today 09:00", "2026-11-23T09:00:59.999999999Z"),
        ("yesterday", "2026-11-22T23:59:59.999999999Z"),
        ("Yesterday  18:00", "2026-11-22T18:00:59.999999999Z"),
        ("yesterday at 18:00", "2026-11-22T18:00:59.999999999Z"),
        ("monday", "2026-11-16T23:59:59.999999999Z"),
        ("sun 07:15", "2026-11-22T07:15:59.999999999Z"),
        ("5 Nov 18:00", "2026-11-05T18:00:59.999999999Z"),
        ("24 Dec", "2025-12-24T23:59:59.999999999Z"),
        ("Nov 5 18:00", "2026-11-05T18:00:59.999999999Z"),
        ("Nov 5, 2024", "2024-11-05T23:59:59.999999999Z"),
        ("5 November 2024", "2024-11-05T23:59:59.999999999Z"),
    ],
)
def test_words(text: str, expected: str) -> None:
    assert at(text) == expected


@pytest.mark.parametrize(
    "text",
    ["", "soon", "2026-13-01", "2026-02-30", "25:00", "18:61", "2 fortnights ago", "yesterday 18",
     "1348096774", "1348096774.17", "5 Foo 2024", "0x10", "99999999999999 y ago", "-5h ago",
     "5h", "in 5h ago", "a year, 2 fortnights ago", "Foo 5"],
)  # fmt: skip
def test_no_time(text: str) -> None:
    with pytest.raises(BadTime) as caught:
        speech.parse_time(text, NOW)
    assert caught.value.exit_code == 2
    assert "try 2026-11-23T18:00" in caught.value.message


@pytest.mark.usefixtures("zone")
@pytest.mark.parametrize("seconds_ago", [0, 1, 59, 3600, 86_399, 86_401, 40 * 86_400, 900 * 86_400])
@pytest.mark.parametrize("nanos", [0, 999_999_999])
def test_every_shown_form_typed_back_includes_what_it_was_shown_for(
    seconds_ago: int, nanos: int
) -> None:
    then = (NOW // SECOND - seconds_ago) * SECOND + nanos
    now = max(NOW, then)
    for shown in (
        speech.exact_time(then),
        speech.exact_time(then, fraction=True),
        speech.short_time(then, now),
        speech.age_words(then, now),
        speech.long_age(then, now),
        speech.version_number(then),
        speech.rfc3339(then),
    ):
        assert speech.parse_time(shown, now) >= then, shown
    assert speech.parse_time(speech.exact_time(then), now) - then < SECOND
    assert speech.parse_time(speech.version_number(then), now) == then
    assert speech.parse_time(speech.rfc3339(then), now) == then
    assert speech.parse_time(speech.exact_time(then, fraction=True), now) == then


@given(st.text(max_size=40))
def test_whatever_is_typed_is_a_time_or_a_clear_error(text: str) -> None:
    try:
        moment = speech.parse_time(text, NOW)
    except BadTime:
        return
    assert 0 <= moment < 2**62


@pytest.mark.parametrize(
    ("size", "words"),
    [(0, "0 B"), (1023, "1023 B"), (1024, "1.0 KiB"), (102_400, "100 KiB"), (1 << 20, "1.0 MiB"),
     ((1 << 30) - 1, "1.0 GiB"), (1_000 << 20, "1,000 MiB"), (1 << 60, "1.0 EiB")],
)  # fmt: skip
def test_sizes(size: int, words: str) -> None:
    assert speech.size_words(size) == words


@given(st.integers(0, 2**63))
def test_sizes_are_never_wider_than_ten(size: int) -> None:
    assert len(speech.size_words(size)) <= 10


@pytest.mark.parametrize(
    ("text", "size"), [("512", 512), ("64K", 65_536), ("1.5M", 1_572_864), ("1 GiB", 1 << 30)]
)
def test_sizes_typed(text: str, size: int) -> None:
    assert speech.parse_size(text) == size


@pytest.mark.parametrize("text", ["", "M", "-1", "1X", "one"])
def test_no_size(text: str) -> None:
    with pytest.raises(UsageError):
        speech.parse_size(text)


def test_spans() -> None:
    assert [speech.parse_span(text) for text in ("30s", "30m", "12h", "7d")] == [
        30, 1800, 43_200, 604_800,
    ]  # fmt: skip
    assert [speech.span_words(s) for s in (8, 130, 11_100, 353_000)] == [
        "8s", "2m 10s", "3h 05m", "4d 2h",
    ]  # fmt: skip
    with pytest.raises(UsageError):
        speech.parse_span("7")


def test_ages_stay_short() -> None:
    ages = [speech.age_words(NOW - s * SECOND, NOW) for s in (0, 1, 12, 7200, 9 * 86_400, 1 << 30)]
    assert ages == ["now", "now", "12s ago", "2h ago", "9d ago", "34y ago"]
    assert speech.age_words(NOW + 300 * SECOND, NOW) == "in 5m"


def test_control_characters_never_get_through() -> None:
    for evil in (b"\x1b]0;x\x07", b"a\nb", b"\r", "\u202e\u009b".encode(), b"\xff\xfe"):
        assert speech.safe(evil).isprintable(), evil
    assert speech.safe("Ünï ✓") == "Ünï ✓"


@pytest.mark.parametrize(
    ("peer", "words"),
    [
        (PeerStatus("a", "u", "p", "online"), "online, up to date"),
        (PeerStatus("a", "u", "p", "online", outgoing=1), "online, 1 record not acknowledged yet"),
        (
            PeerStatus("a", "u", "p", "online", activity="pulling", incoming=2),
            "pulling, 2 records to receive",
        ),
        (PeerStatus("a", "u", "p", "stuck", "silent for 9 s"), "stuck: silent for 9 s"),
        (PeerStatus("a", "u", "p", "readonly", "EROFS"), "readonly, up to date (EROFS)"),
        (PeerStatus("a", "u", "p", "offline", "\x1b[2J"), "offline: \\x1b[2J"),
    ],
)
def test_states(peer: PeerStatus, words: str) -> None:
    assert speech.state_words(peer) == words


@given(st.lists(st.binary(min_size=1, max_size=8).filter(lambda b: b"\0" not in b), max_size=4))
def test_equivalent_commands_quote_what_a_shell_would_take_apart(words: list[bytes]) -> None:
    operation = Operation(
        OperationKey("n", 1), "restore", tuple(map(os.fsdecode, words)), 0, 0, 0, 0, False
    )
    line = speech.equivalent(operation)
    assert line.isprintable()
    if all(os.fsdecode(word).isprintable() for word in words):
        assert [os.fsencode(one) for one in shlex.split(line)] == [b"globofs", b"restore", *words]


def test_the_line_of_a_strange_name_means_that_name_to_a_shell() -> None:
    name = b"a 'b\\ \n\xff"
    line = speech.command("rm", name).replace("globofs rm", "printf %s", 1)
    assert subprocess.run(["bash", "-c", line], capture_output=True).stdout == name


def test_commands_guard_names_that_look_like_options() -> None:
    line = speech.command("restore", b"-rf", at="2h ago", delete=True, to=None)
    assert line == "globofs restore --at '2h ago' --delete -- -rf"


def test_enumerations() -> None:
    assert speech.where_words([]) == "nobody"
    assert speech.where_words(["a", "b", "c"]) == "a, b and c"
    assert speech.plural(1, "copy", "copies") == "1 copy"
    assert speech.plural(2000, "copy", "copies") == "2,000 copies"


def test_ages_in_sentences_are_spelled_out() -> None:
    now = 1_790_000_000 * SECOND
    for back, words in (
        (0, "just now"),
        (59, "59 seconds ago"),
        (60, "1 minute ago"),
        (86_399, "23 hours ago"),
        (3 * 86_400, "3 days ago"),
        (366 * 86_400, "1 year ago"),
        (430 * 86_400, "1 year and 2 months ago"),
    ):
        assert speech.long_age(now - back * SECOND, now) == words
    assert speech.long_age(now + 7200 * SECOND, now) == "in 2 hours"


@pytest.mark.parametrize("zone", ["Europe/Berlin"], indirect=True)
def test_a_moment_is_named_no_longer_than_tells_it_from_the_next(zone: str) -> None:
    moment = 1_795_731_256 * SECOND + 267_724_322
    for after, before, name in (
        (-2 * SECOND, 2 * SECOND, "2026-11-26T23:14:16"),
        (-2 * SECOND, 500_000_000, "2026-11-26T23:14:16.267"),
        (-200_000_000, 2 * SECOND, "2026-11-26T23:14:16.267"),
        (-500_000, 2 * SECOND, "2026-11-26T23:14:16.267724"),
        (-1, 1, "2026-11-26T23:14:16.267724322"),
    ):
        assert speech.moment_name(moment, moment + after, moment + before) == name
    once, again = (1_792_888_200 + hour * 3600 for hour in (0, 1))  # the clock is set back
    names = [
        speech.moment_name(one * SECOND, one * SECOND - 1, (one + 1) * SECOND)
        for one in (once, again)
    ]
    assert len(set(names)) == 2
    for one, name in zip((once, again), names, strict=True):
        assert speech.parse_time(name, 0) // SECOND == one


def test_last_week_is_a_moment_too() -> None:
    now = 1_790_000_000 * SECOND
    assert speech.parse_time("last week", now) == now - 7 * 86_400 * SECOND
    assert speech.parse_time("last monday", now) == speech.parse_time("monday", now)
    with pytest.raises(BadTime):
        speech.parse_time("last notes", now)


@pytest.mark.parametrize(
    ("text", "width", "begins"),
    [
        ("abc", 2, "ab"),
        ("abc", 9, "abc"),
        ("日本語", 6, "日本語"),
        ("日本語", 5, "日本"),
        ("a日", 2, "a"),
        ("e\u0301e", 1, "e\u0301"),
    ],
)
def test_a_line_is_clipped_by_columns(text: str, width: int, begins: str) -> None:
    assert speech.clipped(text, width) == begins
