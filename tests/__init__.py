"""The suite. Real PostgreSQL always, a clone of a template per test, no sleeps: tests wait on signals."""
