"""Write sweep reports: one self-contained HTML file about many runs, read from their database.

A page has a study for every set of settings that some sweeps vary (``study.py``), and in each study the same chapters
(``chapters.py``). A figure is a ``Plate`` in the table of its chapter: a title, a caption, and a function that draws a
``Study`` or says why it cannot. To add a figure, write the function in a file of ``sweep_report/`` and add a line to
its ``PLATES``::

    def key_map(study: Study) -> Drawn:
        runs = study.runs[study.runs["grokked"]]
        if not len(runs):
            return Absent("no run grokked")
        results = [Results.open(study.path(directory)) for directory in runs["directory"]]
        return figures.sweeps.keys.key_map(...)

    PLATES = (Plate("Key frequencies by seed", key_map, "Key frequencies of all runs that grokked."),)

A new chapter is such a file and a line in ``CHAPTERS``, with functions for its table and for the sentences that it adds
to the first screen. Nothing here imports PyTorch: plates read stored results of analyses and the metrics.
"""

from typing import TYPE_CHECKING

from grokinterp.front_door import front_door

__all__ = ["render", "write_sweep_report"]

if TYPE_CHECKING:
    from grokinterp.sweep_report.write import render, write_sweep_report
else:
    __getattr__, __dir__ = front_door(__name__, {".write": ("render", "write_sweep_report")}, __all__)
