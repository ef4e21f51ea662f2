"""Reproduce published numbers: claims about released networks, and our measurements of the same networks."""
