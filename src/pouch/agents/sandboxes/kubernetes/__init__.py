"""Sandboxes of a Kubernetes cluster: a Job for each run, which reaches its worker and nothing else."""
