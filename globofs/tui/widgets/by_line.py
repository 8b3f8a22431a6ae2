"""What is drawn by the line: only the lines that look different are drawn again.

Framing, filtering and cutting a line costs Textual about twenty times what making it costs us, so
a row is made and compared before a screenful is sent on its way.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import Any, Self

from textual.content import Content
from textual.geometry import Region
from textual.scroll_view import ScrollView
from textual.strip import Strip

from globofs.tui.widgets.abstract import Abstract
from globofs.tui.widgets.paint import Painted


class ByLine(ScrollView, Painted, metaclass=Abstract):
    """A scrolled widget whose content is made by `line`, in a border with captions."""

    def __init__(self, *, id: str | None = None, classes: str | None = None) -> None:
        super().__init__(id=id, classes=classes)
        self._drawn: dict[int, Strip] = {}
        self._captions = (Content(""), Content(""))
        self._captioning = False

    @abstractmethod
    def line(self, y: int) -> Strip:
        """Line `y` of the content as it should look now."""

    def render_line(self, y: int) -> Strip:
        """Line `y`, for the screen."""
        made = self._drawn[y] = self.line(y)
        return made

    def repaint(self) -> None:
        """Something may look different: draw the lines that do."""
        width, height = self.size
        drawn = self._drawn
        if len(drawn) < height:
            self.refresh()
            return
        for y in range(height):
            line, before = self.line(y), drawn.get(y)
            if line is not before and line != before:
                self.refresh(Region(0, y, width, 1))

    def entitle(self, above: Content | None = None, below: Content | None = None) -> None:
        """Captions of the border; None leaves one as it is."""
        wanted = (
            self._captions[0] if above is None else above,
            self._captions[1] if below is None else below,
        )
        if wanted == self._captions:
            return
        self._captions = wanted
        self._captioning = True
        self.border_title, self.border_subtitle = wanted
        self._captioning = False

    def refresh(self, *regions: Region, **how: Any) -> Self:
        """Draw all again, or some regions; of other captions the border's two lines alone."""
        if self._captioning and not regions:
            width, height = self.outer_size
            left = -self.content_offset.x
            top = -self.content_offset.y
            regions = (Region(left, top, width, 1), Region(left, top + height - 1, width, 1))
        elif not regions:
            self._drawn.clear()
        return super().refresh(*regions, **how)
