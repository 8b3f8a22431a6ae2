"""The mount: the volume as ordinary files. Needs mfusepy, so only when a mount is asked for.

`namespace` is the live tree of `inode`s (what is recorded, under what is about to be), with what
is `fleeting`; `past` the read-only trees below `.globofs`. `files` are open ones: `contents` reads
blocks, `ahead` those of the next files; `recorder` turns what changed into versions. `fuse`
translates paths in and errnos out, `run` mounts and unmounts, `messages` is what a mount says,
`libfuse` finds the library, `binding` fits mfusepy to it.
"""
