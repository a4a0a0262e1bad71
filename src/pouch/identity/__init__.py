"""Who is asking: people, organizations, sessions, API keys."""
