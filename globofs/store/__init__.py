"""One node's own directory: files, locks, blocks, journal, tree, index. Knows no peers."""
