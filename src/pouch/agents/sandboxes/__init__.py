"""Where agents run, apart from everything else."""
