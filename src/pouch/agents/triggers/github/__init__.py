"""GitHub: our App there, what it hears, what it says, and the work that it brings."""
