"""The engine that runs analyses over a trajectory; it is independent of any particular analysis."""
