"""Analyses (plain functions of one checkpoint) and the functions that run them over a trajectory."""

from typing import TYPE_CHECKING

from grokinterp.analysis.catalogue import ANALYSES, ENTRIES
from grokinterp.analysis.engine.entry import Entry
from grokinterp.analysis.engine.evaluate import evaluate
from grokinterp.analysis.health.filtered_alignment import filtered_alignment
from grokinterp.analysis.landscape.llc_calibration import calibrate_llc
from grokinterp.analysis.whole_run import analyze

if TYPE_CHECKING:
    from grokinterp.analysis.circuit import *
    from grokinterp.analysis.groups import *
    from grokinterp.analysis.health import *
    from grokinterp.analysis.inside import *
    from grokinterp.analysis.landscape import *
    from grokinterp.analysis.structure import *
else:
    globals().update({analysis.__name__: analysis for analysis in ANALYSES})

__all__ = [
    "ANALYSES",
    "ENTRIES",
    "Entry",
    "analyze",
    "calibrate_llc",
    "evaluate",
    "filtered_alignment",
    *(analysis.__name__ for analysis in ANALYSES),
]
