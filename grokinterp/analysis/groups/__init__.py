"""Groups: irreducible representations and cosets."""
