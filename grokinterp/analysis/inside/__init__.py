"""Inside the network: attribution, ablation, probes, activations."""
