"""Train many runs at once: a pool of processes that train and analyze them, and the outcome of each run."""
