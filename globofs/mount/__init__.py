"""The mount: the volume as ordinary files. Needs mfusepy, so only when a mount is asked for.

`namespace` is the live tree (what is recorded, under what is about to be), `past` the read-only
trees below `.globofs`, `fuse` translates paths in and errnos out, `run` mounts and unmounts,
`libfuse` finds the library, `binding` fits mfusepy to both.
"""
