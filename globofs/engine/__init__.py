"""When things happen: threads, queues, watching, back-off. Announces events, offers snapshots."""
