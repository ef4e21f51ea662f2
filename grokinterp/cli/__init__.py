"""The command line: each command reads its arguments and calls one public function.

Commands import their dependencies when they run, so that help, listings and errors do not wait for torch.
"""

from grokinterp.cli.entry import app, main

__all__ = ["app", "main"]
