"""The only code that touches a peer's directory: pools, deadlines, the right-directory check."""
