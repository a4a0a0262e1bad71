"""Slack and Linear: workspaces that the operator names, and members who are known by their address."""
