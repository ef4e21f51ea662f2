"""Many runs: the processes that train them, and the outcome of each."""
