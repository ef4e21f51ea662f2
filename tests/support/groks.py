"""A network that groks within half a second."""

from grokinterp.experiment import Experiment, Optimization, SaveAt, Split
from grokinterp.models import MLPSpec
from grokinterp.tasks import ModularAddition

GROKS = Experiment(
    name="groks",
    task=ModularAddition(p=23),
    model=MLPSpec(hidden=(64,), act_fn="quadratic", initialization="mean_field"),
    split=Split(fraction=0.75, pairs="unordered"),
    optimization=Optimization(lr=1e-2, weight_decay=1.0, warmup_steps=0, loss="mse"),
    save=SaveAt(every=50),
    steps=120,
    evaluate_every=1,
)
"""Gromov's quadratic network at p = 23: memorized at about step 30, generalizing at about step 60."""
