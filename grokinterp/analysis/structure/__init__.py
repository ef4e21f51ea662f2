"""Structure: spectra, neurons, logits, attention."""
