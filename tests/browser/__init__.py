"""The page at `/` in a real browser, against the service as a process and a real PostgreSQL."""
