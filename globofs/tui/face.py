"""The app as screens, dialogs and acts know it: below all of them, so that none needs the whole.

`app.GlobofsApp` is the one that runs; what it adds is wiring.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from textual import events
from textual.app import App
from textual.reactive import var
from textual.screen import Screen

from globofs import errors
from globofs.events import Emit
from globofs.snapshots import Lag, Snapshot
from globofs.tui.bridge import Bridge
from globofs.tui.glyphs import Glyphs
from globofs.tui.keys import Keymap
from globofs.tui.settings import Settings
from globofs.tui.widgets.abstract import Abstract
from globofs.tui.widgets.chrome import Title

if TYPE_CHECKING:
    from globofs.engine.engine import Engine
    from globofs.store.views import OperationKey, Version
    from globofs.volume import Volume

Opener = Callable[[Emit], "tuple[Volume, Engine | None]"]
Work = Callable[[Emit, Callable[[], bool]], Any]


class Ahead(Protocol):
    """The keys typed ahead, as screens know them: see `ahead.TypedAhead`."""

    def __len__(self) -> int: ...

    async def press(self, event: events.Key) -> None: ...

    async def drain(self) -> None: ...

    def handle(self, screen: Any, item: events.Key | str) -> bool: ...

    def again(self, action: str | None = None) -> None: ...

    def clear(self) -> None: ...

    def soon(self) -> None: ...

    def after_refresh(self, call: Callable[[], None]) -> None: ...

    def dialog_ends(self) -> None: ...


class Face(App[int], metaclass=Abstract):
    """State and verbs that every part of the UI shares; mixins and the app itself do the verbs."""

    snapshot: var[Snapshot | None] = var(None)

    habits: Settings
    keymap: Keymap
    glyphs: Glyphs
    bridge: Bridge
    ahead: Ahead
    now: Callable[[], int]  # ns
    readonly: bool
    opening: str  # what is being opened, in words; "" when nothing is
    error_words: str  # why nothing could be opened
    at: int | None  # the moment shown, ns; None is now
    commands: list[tuple[int, str]]  # what was done here, as commands
    copies: list[str]  # temporary files, removed at the end
    conflicts: int | None  # counted since the last snapshot of another tree
    lags: list[float]  # seconds that each beat of the last minute came late

    @property
    def lag(self) -> Lag:
        """How late the beats of the last minute came."""
        late = sorted(self.lags) or [0.0]
        return Lag(late[len(late) // 2], late[int(0.95 * (len(late) - 1))], late[-1])

    @property
    def volume(self) -> Volume:
        """The open volume."""
        assert self.bridge.volume is not None
        return self.bridge.volume

    @property
    def is_open(self) -> bool:
        """Whether there is a volume."""
        return self.bridge.volume is not None

    def say(self, text: str, severity: Any = "information", timeout: float = 5) -> None:
        """One toast; names in it are never markup."""
        self.notify(self.glyphs.said(text), severity=severity, timeout=timeout, markup=False)

    def say_why(self, error: errors.GlobofsError) -> None:
        """One toast: why something could not be done or found out."""
        self.say(error.message, "error")

    @abstractmethod
    def open_volume(self, opener: Opener) -> None:
        """Open volume and engine in a worker."""

    @abstractmethod
    def perform(self, action: str) -> None:
        """Do an action of the key table."""

    @abstractmethod
    def why_not(self, screen: Screen[Any], action: str) -> str:
        """Why an action is not possible now; "" when it is."""

    @abstractmethod
    def do_quit(self) -> None:
        """Leave."""

    @abstractmethod
    def title_for(self, mode: str) -> Title:
        """The title bar's content."""

    @abstractmethod
    def busy_words(self) -> str:
        """What is being done or waited for just now; "" for nothing."""

    @abstractmethod
    def go_mode(self, mode: str) -> None:
        """Show a mode."""

    @abstractmethod
    def show_in_files(self, path: bytes, at: int | None = None) -> None:
        """Go to a path in Files, at a moment where one is given."""

    @abstractmethod
    def show_peer(self, name: str) -> None:
        """Go to a peer in Peers."""

    @abstractmethod
    def verb(
        self,
        kind: str,
        saying: str,
        work: Work,
        done: Callable[[Any], str],
        *,
        line: str = "",
        after: Callable[[Any], None] | None = None,
    ) -> None:
        """Start a verb in a worker."""

    @abstractmethod
    def undo_operation(self, key: OperationKey | None) -> None:
        """Undo one operation, None the last."""

    @abstractmethod
    def steer(self, how: str, what: str | bytes | None = None) -> None:
        """Bump, pause, resume or retry."""

    @abstractmethod
    def tell_why(self, path: bytes) -> None:
        """Say why a path is not here, or has not reached a peer."""

    @abstractmethod
    def export(self, versions: Sequence[Version], place: str) -> None:
        """Write versions side by side."""
