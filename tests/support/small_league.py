"""Experiments that a league trains in a moment, and as a script: ``python -m tests.support.small_league FOLDER``."""

import sys
from dataclasses import replace

from grokinterp.experiment import Experiment, Optimization, Split
from grokinterp.league import run_league
from grokinterp.models import MLPSpec
from grokinterp.tasks import ModularAddition

SMALL = Experiment(
    name="small",
    task=ModularAddition(p=7),
    model=MLPSpec(hidden=(16,)),
    split=Split(fraction=0.5),
    optimization=Optimization(lr=2e-2, warmup_steps=0),
    steps=40,
    evaluate_every=2,
)

LONG = replace(SMALL, steps=600, evaluate_every=10)

if __name__ == "__main__":
    run_league(LONG, ["adamw", "average"], 1, sys.argv[1], jobs=2)
