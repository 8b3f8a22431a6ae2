"""The verbs: one a module, each a function of a node (and peers) that returns a frozen result."""
