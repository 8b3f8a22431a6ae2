"""`python -m globofs` is `globofs`."""

from globofs.cli.main import entry

entry()
