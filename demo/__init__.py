"""The host: somebody else's application, for the demo, the tests and the bench to live beside.

It has a schema, data, a program that writes (`simulator`) and a PostgreSQL server to keep it all in
(`postgres`). It knows nothing of changefeed: only `__main__` and `dashboard`, which put both together, know that the
two exist.
"""
