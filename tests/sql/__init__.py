"""The SQL of changefeed on a real server: one file for each function or theme."""
