"""The TypeScript package, by its own tests and checks, as part of the whole suite."""
