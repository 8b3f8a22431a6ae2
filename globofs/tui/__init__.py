"""The terminal UI. Imports Textual, so nothing outside this package may import it eagerly."""
