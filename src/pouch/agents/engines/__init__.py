"""What runs in a sandbox: a loop around a model."""
