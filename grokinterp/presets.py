"""Named experiments, each with its source in one line."""

from typing import NamedTuple

from grokinterp.errors import ConfigError
from grokinterp.experiment import Experiment, Optimization, SaveAt, Split
from grokinterp.models import TransformerSpec
from grokinterp.tasks import ModularAddition


class Preset(NamedTuple):
    """An experiment and what it is, in one line."""

    experiment: Experiment
    about: str


DEMO = Experiment(
    name="demo",
    task=ModularAddition(p=53),
    model=TransformerSpec(d_model=128, n_heads=4, d_mlp=256),
    split=Split(fraction=0.6, pairs="unordered"),
    optimization=Optimization(lr=2e-3, weight_decay=3.0, betas=(0.9, 0.98), warmup_steps=10),
    save=SaveAt(every=20, dense_every=5, dense_until=100),
    steps=2_000,
    evaluate_every=5,
)

NANDA2023 = Experiment(
    name="nanda2023",
    task=ModularAddition(p=113),
    model=TransformerSpec(n_layers=1, d_model=128, n_heads=4, d_mlp=512, act_fn="relu"),
    split=Split(fraction=0.3, pairs="ordered"),
    optimization=Optimization(lr=1e-3, weight_decay=1.0, betas=(0.9, 0.98), warmup_steps=10, loss="float64"),
    save=SaveAt(every=100),
    steps=25_000,
    evaluate_every=10,
)

PRESETS = {
    "demo": Preset(DEMO, "modular addition, p = 53, split by unordered pairs: groks within 2,000 steps on a CPU"),
    "nanda2023": Preset(NANDA2023, "modular addition, p = 113, 30 % of pairs: the mainline model of Nanda et al. 2023"),
}


def preset(name: str) -> Experiment:
    """The experiment of a preset. Raises ConfigError naming the ones there are."""
    if name not in PRESETS:
        raise ConfigError("preset", name, f"must be one of {', '.join(PRESETS)}")
    return PRESETS[name].experiment
