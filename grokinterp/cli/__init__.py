"""The command line."""

from grokinterp.cli.commands import app, main

__all__ = ["app", "main"]
