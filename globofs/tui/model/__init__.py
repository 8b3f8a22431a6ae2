"""What the screens show, as plain state: no Textual, no threads, no disk."""
