"""`globofs demo`: a live three-node volume made of files found on any machine."""
