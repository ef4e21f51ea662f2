"""Figures of the structure in the weights and logits: spectra, circles, attention, neurons, order of learning."""
