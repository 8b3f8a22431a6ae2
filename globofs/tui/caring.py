"""What one does to a volume now and then: verify, mirror, evict, prune, and saying that it moved."""

from __future__ import annotations

from typing import Final

from globofs.speech import command
from globofs.sync.results import EvictResult, Policy, PruneResult
from globofs.tui import words
from globofs.tui.face import Face
from globofs.tui.widgets.paint import Span

DAY_SECONDS: Final = 86_400.0
#: what can be kept, in words: key, words, policy, and the options of the command
POLICIES: Final[tuple[tuple[str, str, Policy, dict[str, str]], ...]] = (
    (
        "m",
        "each day of the last 30, each month of the last 12",
        Policy(keep_daily=30, keep_monthly=12),
        {"keep_daily": "30", "keep_monthly": "12"},
    ),
    (
        "y",
        "all of the last year, each month before it",
        Policy(keep_within_seconds=365 * DAY_SECONDS, keep_monthly=1200),
        {"keep_within": "365d", "keep_monthly": "1200"},
    ),
    ("t", "the ten newest of each file", Policy(keep_last=10), {"keep_last": "10"}),
    ("o", "only what is there now", Policy(keep_last=1), {"keep_last": "1"}),
)


class Caring(Face):
    """Mixin of the app."""

    def do_verify(self) -> None:
        """Read and check everything here."""
        volume = self.volume
        self.verb(
            "verify",
            "verifying",
            lambda emit, cancelled: volume.verify(repair=True, emit=emit, cancelled=cancelled),
            lambda r: (
                f"Verified blocks, manifests and records, {r.checked:,} in all: "
                + (f"{r.damaged:,} damaged, {r.repaired:,} repaired" if r.damaged else "no damage")
            ),
            line=command("verify", repair=True),
        )

    def do_mirror(self) -> None:
        """Bring everything here."""
        volume = self.volume
        self.verb(
            "mirror",
            "mirroring",
            lambda emit, cancelled: volume.mirror(emit=emit, cancelled=cancelled),
            lambda r: f"Mirrored {words.plural(r.blocks, 'block')}, {words.size_words(r.bytes)}",
            line=command("mirror"),
        )

    def do_evict(self) -> None:
        """Let go of what others hold."""
        volume = self.volume
        self.verb(
            "evict",
            "evicting",
            lambda emit, cancelled: volume.evict(emit=emit, cancelled=cancelled),
            _evicted,
            line=command("evict"),
        )

    def do_moved(self) -> None:
        """Say that the volume is used here and nowhere else, after a question."""
        from globofs.tui.screens.dialogs import ChoiceDialog

        volume = self.volume
        odd = self.snapshot.status.warnings if self.snapshot is not None else ()
        if not odd:
            self.say("It is where it was: there is nothing to say")
            return

        def chosen(yes: bool | None) -> None:
            if yes:
                self.verb(
                    "moved",
                    "hearing what it did elsewhere",
                    lambda emit, cancelled: volume.moved(emit=emit, cancelled=cancelled),
                    lambda _: "Noted: this volume is used here and nowhere else",
                    line=command("doctor", moved=True),
                )

        rows = [
            ("n", "no, or nobody knows", False),
            ("y", "yes: it is used here and nowhere else", True),
        ]
        lines: list[list[Span]] = []
        for sentence in odd:
            lines += [[(words.safe(sentence), "")], [("", "")]]
        self.push_screen(ChoiceDialog("Moved here?", rows, lines=lines), chosen)

    def do_prune(self) -> None:
        """Let old versions go: what to keep, then how many that are, then it is done."""
        from globofs.tui.screens.dialogs import ChoiceDialog

        volume = self.volume

        def chosen(policy: Policy | None) -> None:
            if policy is not None:
                self.verb(
                    "prune",
                    "counting what would go",
                    lambda emit, cancelled: volume.prune(
                        policy, True, emit=emit, cancelled=cancelled
                    ),
                    lambda found: "" if found.versions or found.blocks else "Nothing would go",
                    after=lambda found: self._ask_prune(policy, found),
                )

        rows = [(key, text, policy) for key, text, policy, _ in POLICIES]
        lines: list[list[Span]] = [
            [("What there is now always stays, and of each file:", "")],
            [("`globofs prune` knows finer policies.", "muted")],
            [],
        ]
        self.push_screen(ChoiceDialog("Prune: what to keep", rows, lines=lines), chosen)

    def _ask_prune(self, policy: Policy, found: PruneResult) -> None:
        from globofs.tui.screens.dialogs import ChoiceDialog

        if not found.versions and not found.blocks:
            return
        volume = self.volume
        options = next(options for _, _, one, options in POLICIES if one == policy)

        def chosen(yes: bool | None) -> None:
            if yes:
                self.verb(
                    "prune",
                    "pruning",
                    lambda emit, cancelled: volume.prune(policy, emit=emit, cancelled=cancelled),
                    _pruned,
                    line=command("prune", **options),
                )

        size = words.size_words(found.bytes)
        lines: list[list[Span]] = [
            [
                (f"{words.plural(found.versions, 'version')} would go", "strong"),
                (f", {found.kept:,} would stay; {size} would be of no more use.", ""),
            ],
            [("All nodes let go of them. z does not bring them back.", "warn")],
            [],
        ]
        rows = [("n", "no, keep them", False), ("y", "yes, let them go", True)]
        self.push_screen(ChoiceDialog("Prune?", rows, lines=lines), chosen)


def _evicted(result: EvictResult) -> str:
    said = f"Let go of {words.plural(result.blocks, 'block')}, {words.size_words(result.bytes)}"
    for reason, blocks in result.kept[:2]:
        said += f"\n{words.plural(blocks, 'block')} kept: {words.safe(reason)}"
    if result.waiting:
        again = words.plural(result.waiting, "block")
        said += f"\n{again} to be seen at a keeper once more: again in a minute"
    return said


def _pruned(result: PruneResult) -> str:
    said = f"Pruned {words.plural(result.versions, 'version')}, {result.kept:,} stay"
    return "\n".join([said, *(f"deletion waits: {words.safe(why)}" for why in result.waiting[:2])])
