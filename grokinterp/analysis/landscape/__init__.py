"""Gradients, weights and the loss landscape."""
