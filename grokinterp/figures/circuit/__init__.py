"""Figures of the circuit: the verdict and its evidence, the idealized network, modes, certificates."""
