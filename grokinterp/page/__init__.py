"""What every HTML page of ours has: its policy, its look, and how numbers are written; needs no PyTorch."""

from grokinterp.page.html import asset, environment, for_script, policy

__all__ = ["asset", "environment", "for_script", "policy"]
