"""GloboFS: one versioned tree of files on several nodes, without a server."""

__version__ = "0.1.0"
