"""The SQLite store: outbox, records known, replay ids, scores. It knows nothing of HTTP, and imports nothing but itself."""
