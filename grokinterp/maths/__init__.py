"""Pure functions of arrays: Fourier analysis and sparsity. Imports nothing else of grokinterp."""
