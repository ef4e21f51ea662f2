"""Figures of the loss landscape: gradients, weight trajectory, norms, learning coefficient, Hessian."""
