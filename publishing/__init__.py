"""What is published from this repository: the package's description on an index, and the documentation site."""
