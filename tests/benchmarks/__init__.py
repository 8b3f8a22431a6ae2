"""Measurements of the goals in numbers: each a ratio to a peer or a floor run in turn with us.

`python -m tests.benchmarks --list` names them, `python -m tests.benchmarks NAME...` runs some,
`all` all of them; `--scale` makes the sets smaller or larger, `--quick` is for a smoke test.
Absolute figures mean nothing here, and nothing here passes or fails.
"""
