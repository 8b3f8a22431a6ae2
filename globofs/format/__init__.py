"""Pure codecs of everything a volume keeps on disk; no I/O, no threads (see FORMAT.md)."""
