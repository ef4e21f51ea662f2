"""The circuit: the verdict, its causal evidence, the idealized network."""
