"""The pass that runs analyses over a trajectory."""
