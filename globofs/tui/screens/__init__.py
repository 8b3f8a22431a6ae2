"""Screens: the five modes, the start screen, and the dialogs over them."""
