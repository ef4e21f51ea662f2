"""The manual: the documentation site, and the description of the package on an index."""
