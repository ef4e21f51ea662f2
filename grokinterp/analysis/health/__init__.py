"""Numerical health: alignment, collapse, margins."""
