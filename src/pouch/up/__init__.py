"""`pouch up`: everything on one machine. It runs Postgres, `serve` and `work`, and starts each again when it ends."""
