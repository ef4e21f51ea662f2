"""The common parts of all HTML pages: security policy, style sheet, templates, and images; requires no PyTorch."""

from grokinterp.page.html import asset, environment, for_script, policy

__all__ = ["asset", "environment", "for_script", "policy"]
