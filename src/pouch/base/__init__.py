"""What every room may use and no business is in: money, ids, time, the database, errors."""
