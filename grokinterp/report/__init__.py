"""One self-contained HTML file that tells a run phase by phase."""

from grokinterp.report.write import render, write_report

__all__ = ["render", "write_report"]
