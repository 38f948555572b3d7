"""The migrations: they come to the schema in changefeed/sql, leave no trace when undone, and say what they skipped."""
