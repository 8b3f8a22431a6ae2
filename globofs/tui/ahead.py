"""Keys typed ahead: each acts on what it would have acted on had the user waited for the screen.

Keys come faster than answers. So one key is handled at a time, all that it set off within the
screen before the next, and a key waits while

- a question that an earlier key asked is not answered (`Bridge.due`): rows may still move under
  the cursor, a dialog may be about to open;
- the screen it would go to is not built yet, or a dialog's answer is on its way.

Nothing waits for a peer: questions that may take long hold up no key. Once the hint bar says what
is waited for, keys that are about nothing shown (modes, help, Esc, quit) act at once, and those
held before them are let go.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Any, Final

from textual import events
from textual.screen import Screen
from textual.widgets import Input

from globofs.tui.face import Face
from globofs.tui.keys import FREE, key_of
from globofs.tui.screens.base import KeyedScreen

KEYS_MAX: Final = 256
WAIT_SAID_SECONDS: Final = 0.7
LAND_SECONDS: Final = 1.0  # a key whose screen never said that it is done holds up no longer


def apart(event: events.Key) -> tuple[events.Key, ...]:
    """Esc and the key behind it, where a terminal gave both at once: that is how it gives a key
    that is held with Alt, too, and no such key means anything here."""
    name = event.key.removeprefix("alt+")
    if name == event.key or not event.is_printable:
        return (event,)
    return (events.Key("escape", "\x1b"), events.Key(name, event.character))


class TypedAhead:
    """The keys of the app, in order. All methods run on the UI thread."""

    def __init__(self, app: Face, forward: Callable[[events.Event], Awaitable[None]]) -> None:
        """`forward` gives a key to Textual's own way, through the focused widget."""
        self._app = app
        self._forward = forward
        self._waiting: deque[events.Key | str] = deque()  # keys, or actions they turned out to be
        self._now: events.Key | str | None = None
        self._flying: tuple[Screen[Any], float] | None = None
        self._expected = 0
        self._since = 0.0  # when the latest of those was
        self._draining = False

    def __len__(self) -> int:
        """Keys that wait."""
        return len(self._waiting)

    async def press(self, event: events.Key) -> None:
        """A key was pressed, or two that came as one."""
        for one in apart(event):
            await self._press(one)

    async def _press(self, event: events.Key) -> None:
        if self._is_free(event) and self._blocked(event):
            if self._app.bridge.waited(self._app.screen) >= WAIT_SAID_SECONDS:
                self.clear()
            if not self._waiting and not self._blocked(event, rows=False):
                await self._deliver(event)
                return
        if len(self._waiting) < KEYS_MAX:
            self._waiting.append(event)
        await self.drain()

    async def drain(self) -> None:
        """Something that keys waited for may be there."""
        if self._draining:
            return
        self._draining = True
        try:
            while self._waiting and not self._blocked(self._waiting[0]):
                await self._deliver(self._waiting.popleft())
        finally:
            self._draining = False

    def soon(self) -> None:
        """Drain, from any message handler."""
        self._app.call_later(self.drain)

    def again(self, action: str | None = None) -> None:
        """What is being handled has to wait, or this action: it comes before all other keys."""
        item = action or self._now
        if item is not None:
            self._waiting.appendleft(item)

    def clear(self) -> None:
        """Let go of the keys that wait, and of what they wait for."""
        self._waiting.clear()
        self._app.bridge.let_go(self._app.screen)

    def after_refresh(self, call: Callable[[], None]) -> None:
        """Call once the screen that is on top now has been drawn; keys wait for it."""
        self._expect()

        def run() -> None:
            self._expected -= 1
            with self._app.bridge.by_key(self._app.screen):
                call()
            self.soon()

        self._app.call_after_refresh(run)

    def dialog_ends(self) -> None:
        """A dialog is being left: keys wait until who opened it has its answer."""
        below = self._app.screen_stack[-2]
        self._expect()
        self._app.bridge.opener = below

        def ended() -> None:
            self._expected -= 1
            if not self._expected:
                self._app.bridge.opener = None
            self.soon()

        # Whichever of the two opened it, and is called with the answer: this comes after that.
        self._app.call_next(below.call_next, ended)

    def _expect(self) -> None:
        self._expected += 1
        self._since = time.monotonic()

    # --- handling -------------------------------------------------------------------------

    def handle(self, screen: KeyedScreen, item: events.Key | str) -> bool:
        """Let a screen handle a key or an action; False when the key means nothing to it."""
        before, self._now = self._now, item
        self._flying = (screen, time.monotonic())
        try:
            with self._app.bridge.by_key(screen):
                if isinstance(item, str):
                    self._app.perform(item)
                    return True
                return screen.take_key(item)
        finally:
            self._now = before
            # Behind the messages that the key sent to the screen's widgets and the screen.
            screen.call_later(self._landed, screen)

    def _landed(self, screen: Screen[Any]) -> None:
        if self._flying is not None and self._flying[0] is screen:
            self._flying = None
        self.soon()

    async def _deliver(self, item: events.Key | str) -> None:
        screen = self._app.screen
        if not isinstance(screen, KeyedScreen):
            if isinstance(item, events.Key):
                await self._forward(item)
            return
        typing = isinstance(screen.focused, Input) and isinstance(item, events.Key)
        if not typing or (isinstance(item, events.Key) and item.is_forwarded):
            if not self.handle(screen, item) and isinstance(item, events.Key):
                screen.refused = item
                await self._forward(item)
            return
        assert isinstance(item, events.Key)
        if not item.is_printable:
            self._flying = (screen, time.monotonic())
        await self._forward(item)

    def _blocked(self, item: events.Key | str, *, rows: bool = True) -> bool:
        """Whether it has to wait; without `rows`, for more than rows that are still read. What is
        about nothing shown does not wait for ever for a screen that never said it was there."""
        screen = self._app.screen
        late = time.monotonic() - self._since >= LAND_SECONDS
        if (self._expected and (rows or not late)) or not getattr(screen, "is_ready", True):
            return True
        if self._flying is not None:
            flown, since = self._flying
            if flown is screen and time.monotonic() - since < LAND_SECONDS:
                return True
            self._flying = None
        if (
            isinstance(getattr(screen, "focused", None), Input)
            and isinstance(item, events.Key)
            and item.is_printable
        ):
            return False
        return self._app.bridge.due(screen, rows=rows)

    def _is_free(self, event: events.Key) -> bool:
        screen = self._app.screen
        if event.key == "ctrl+c":
            return True
        if not isinstance(screen, KeyedScreen):
            return False
        if isinstance(screen.focused, Input):
            return event.key == "escape"
        key = key_of(event.key, event.character)
        action = self._app.keymap.resolve(key, screen.contexts())
        return action is not None and action.id in FREE
