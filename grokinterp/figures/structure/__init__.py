"""Figures of the structure in weights and logits: spectra, circles, attention, neurons, and order of learning."""
