"""Write reports: one self-contained HTML file that describes a run phase by phase."""

from grokinterp.report.write import render, write_report

__all__ = ["render", "write_report"]
