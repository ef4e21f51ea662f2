"""Reading runs: the trajectory of checkpoints, training metrics, results of analyses, and their summary."""
