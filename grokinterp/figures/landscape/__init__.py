"""Figures of the loss landscape: gradients, weights, ranks and norms, learning coefficient, and Hessian."""
