"""Cloud Agents: runs, sandboxes and engines."""
