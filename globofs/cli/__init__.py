"""The `globofs` command: translate arguments, ask the volume, show the answer."""
