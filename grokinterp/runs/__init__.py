"""Read runs: the trajectory of checkpoints, the training metrics, the analysis results, and their summary."""
