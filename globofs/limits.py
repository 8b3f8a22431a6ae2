"""Every bound and default of GloboFS, with its unit in the name (bytes unless it says else).

Bounds on input from strangers are part of the format: see FORMAT.md, section 9.
"""

from __future__ import annotations

from typing import Final

KIB: Final = 1024
MIB: Final = 1024 * KIB
GIB: Final = 1024 * MIB
SECOND_NS: Final = 1_000_000_000

# --- names (FORMAT.md 3) ---
NAME_BYTES: Final = 255
PATH_BYTES: Final = 4096

# --- config (FORMAT.md 2) ---
CONFIG_BYTES: Final = 64 * KIB
BLOCK_SIZE_DEFAULT: Final = 1 * MIB
BLOCK_SIZE_MIN: Final = 4 * KIB
BLOCK_SIZE_MAX: Final = 64 * MIB
CDC_BLOCK_SIZE_MAX: Final = 4 * MIB
"""The largest `blocksize` with `chunking=cdc`, whose blocks reach four times that."""
ZSTD_LEVEL_DEFAULT: Final = 1
GZIP_LEVEL_DEFAULT: Final = 6
POLL_DEFAULT_SECONDS: Final = 2.0
READ_TIMEOUT_DEFAULT_SECONDS: Final = 30.0
COMMIT_DEFAULT_SECONDS: Final = 30.0

# --- manifests and records (FORMAT.md 4, 5) ---
MANIFEST_INLINE_BYTES: Final = 1 * MIB
MANIFEST_BYTES: Final = 256 * MIB
MANIFEST_BLOCKS: Final = 3_000_000
PARENTS_MAX: Final = 1000
RECORD_BYTES: Final = 4 * MIB
SEGMENT_BYTES: Final = 8 * MIB
SEQUENCE_MAX: Final = 2**53
TIME_MAX_NS: Final = 2**62
SIZE_MAX: Final = 2**62
GARBAGE_BYTES: Final = 64 * MIB
APPLIED_BYTES: Final = 4 * MIB
GAPS_MAX: Final = 1000

# --- blocks and staging (FORMAT.md 6, 8) ---
STAGE_BELOW_BYTES: Final = 64 * KIB
STAGE_FILE_BYTES: Final = 64 * MIB
STAGE_CACHE_BYTES: Final = 256 * MIB
BATCH_RECORDS: Final = 2000
UNAPPLIED_RECORDS: Final = 25_000
UNAPPLIED_BYTES: Final = 16 * MIB
BATCH_BYTES: Final = 256 * MIB
COMPRESS_MIN_GAIN: Final = 0.03

# --- scanning ---
RACY_NS: Final = 3 * SECOND_NS
MASS_CHANGE_SHARE: Final = 0.5
MASS_CHANGE_FILES: Final = 10

# --- peers ---
PEER_THREADS: Final = 16
PEER_CALL_SECONDS: Final = 10.0
PEER_COMMAND_SECONDS: Final = 30.0
PULLS_IN_FLIGHT: Final = 16
PULL_BYTES_IN_FLIGHT: Final = 32 * MIB
READ_AHEAD_BLOCKS: Final = 8
PUSH_BUFFER_BYTES: Final = 4 * MIB
BACKOFF_MAX_SECONDS: Final = 60.0

# --- eviction and collection ---
PULLED_SYNC_SECONDS: Final = 5.0
COPIES_DEFAULT: Final = 1
EVICT_SEEN_TWICE_SECONDS: Final = 60.0
TRASH_GRACE_SECONDS: Final = 7 * 24 * 3600.0

# --- engine and UI ---
CLOCK_AHEAD_SECONDS: Final = 600
SNAPSHOT_HZ: Final = 10
LOCK_WAIT_SECONDS: Final = 120.0
LOCK_SAY_AFTER_SECONDS: Final = 2.0
PREVIEW_BYTES: Final = 256 * KIB
DIFF_BYTES: Final = 4 * MIB
DIFF_LINES: Final = 20_000

# --- a process ---
OBJECTS_BETWEEN_COLLECTIONS: Final = 50_000
"""So many objects more than before, and Python looks for cycles among them: a command makes a
hundred thousand in its life and hardly a cycle, and each look costs more than it frees."""
