"""The engine that runs analyses over a trajectory; it knows no analysis by name."""
