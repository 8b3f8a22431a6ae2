"""When things happen: threads, queues, back-off, watching; what moves, ten times a second.

Nothing is loaded here: a command that only asks what a running engine tells needs no engine.
"""
