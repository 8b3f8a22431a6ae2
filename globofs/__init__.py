"""GloboFS: one versioned tree of files on several nodes, without a server.

What lies on disk is in FORMAT.md beside this file. A program that uses a volume needs
`globofs.volume.Volume` (open it, ask it, one method a verb) and, to keep it in step with its peers,
`globofs.engine.Engine`; everything they raise is in `globofs.errors`. The rooms below build on each
other in this order: format, store, peerio, sync, volume, engine.
"""

__version__ = "0.1.0"
