"""Pure mathematical functions of arrays, from Fourier analysis to group representations; imports no other room."""
