"""A run on disk, read: its trajectory of checkpoints, its metrics, the results of its analyses."""
