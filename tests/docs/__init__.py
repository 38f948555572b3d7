"""The documentation says what is true: every setting, every link, every command in it."""
