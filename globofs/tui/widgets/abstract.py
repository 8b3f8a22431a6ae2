"""Widgets, screens and apps with methods that others must write: see `Abstract`."""

from __future__ import annotations

from abc import ABCMeta

from textual.message_pump import _MessagePumpMeta


class Abstract(_MessagePumpMeta, ABCMeta):
    """The metaclass of what Textual runs and has abstract methods: what lacks one cannot be made."""
