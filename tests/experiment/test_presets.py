"""The named experiments agree with their sources, and each trains."""

import json
import math

import pytest

from benchmarks import accelerators
from grokinterp.errors import ConfigError
from grokinterp.experiment import Experiment
from grokinterp.experiment.problem import Problem
from grokinterp.presets import PRESETS, preset
from grokinterp.storage.configuration import configuration_hash
from grokinterp.tasks import ModularAddition
from grokinterp.training.step import Step


def test_the_presets_are_those_of_the_papers():
    nanda = preset("nanda2023")
    assert (nanda.task, nanda.split.fraction, nanda.steps) == (ModularAddition(p=113), 0.3, 25_000)
    assert (nanda.model.n_layers, nanda.model.d_model, nanda.model.n_heads, nanda.model.d_mlp) == (1, 128, 4, 512)
    assert (nanda.model.act_fn, nanda.model.normalization, nanda.model.biases) == ("relu", None, "mlp")
    optimization = nanda.optimization
    assert (optimization.lr, optimization.weight_decay, optimization.betas) == (1e-3, 1.0, (0.9, 0.98))
    assert (optimization.loss, nanda.save.every) == ("float64", 100)
    assert int(nanda.is_train().sum()) == 3830  # the floor of .3 * 113^2, as in the published code
    assert preset("demo").split.pairs == "unordered"
    with pytest.raises(ConfigError, match="preset=nanda: must be one of demo, nanda2023"):
        preset("nanda")


SOURCES = {
    "nanda2023": "p=113 n_layers=1 d_model=128 n_heads=4 d_mlp=512 act_fn=relu read_at=equals biases=mlp "
    "normalization=None fraction=0.3 lr=0.001 weight_decay=1.0 betas=(0.9,0.98) batch_size=None loss=float64",
    "power2022": "kind=modular_division p=97 n_layers=2 d_model=128 n_heads=4 attention=causal fraction=0.5 lr=0.001 "
    "weight_decay=1.0 betas=(0.9,0.98) warmup_steps=10 batch_size=512 steps=100000",
    "power2022_dropout": "group=S5 n_layers=2 dropout=0.1 optimizer=adam weight_decay=0.0 lr=0.001 batch_size=512",
    "power2022_weight_noise": "group=S5 n_layers=2 weight_noise=0.01 optimizer=adam weight_decay=0.0 batch_size=512",
    "standard": "p=97 fraction=0.5 n_layers=2 n_heads=4 d_model=128 d_mlp=512 lr=0.001 weight_decay=0.01 "
    "batch_size=512",
    "boundaries": "p=97 fraction=0.5 n_layers=2 n_heads=4 d_model=128 act_fn=gelu read_at=mean attention=bidirectional "
    "positions=learned lr=0.001 betas=(0.9,0.98) weight_decay=1.0 batch_size=None steps=50000 evaluate_every=10",
    "chughtai_s5": "group=S5 convention=left_first d_embed=256 embedding=separate combine=concatenate hidden=(128,) "
    "act_fn=relu biases=False fraction=0.4 lr=0.001 weight_decay=1.0 betas=(0.9,0.98) steps=250000 batch_size=None",
    "gromov2023": "p=97 d_embed=None combine=concatenate hidden=(500,) act_fn=quadratic biases=False loss=mse "
    "initialization=mean_field batch_size=None",
    "prieto2025": "p=113 d_embed=None hidden=(200,200) act_fn=relu fraction=0.4 weight_decay=0.0 lr=0.01 loss=float32",
    "lee2024": "kind=modular_multiplication p=97 n_layers=2 n_heads=4 d_model=128 attention=causal fraction=0.5 "
    "lr=0.001 optimizer=adam weight_decay=0.005 betas=(0.9,0.98) batch_size=512 warmup_steps=10 initialization=pytorch",
    "pizza": "p=59 n_layers=1 d_model=128 n_heads=4 read_at=last attention=bidirectional attention_rate=0.0 biases=mlp "
    "fraction=0.8 weight_decay=2.0 lr=0.001 steps=20000 batch_size=None",
    "parity": "kind=sparse_parity n_bits=40 k=3 samples=2000 fraction=0.5 hidden=(1000,) act_fn=relu batch_size=32",
    "nanda2023_subtraction": "kind=modular_subtraction p=113",
    "nanda2023_multiplication": "kind=modular_multiplication p=113",
    "digits": "kind=digit_addition base=10 digits=2 fraction=0.3 n_layers=1 batch_size=500 data=finite",
    "induction": "kind=repeated_sequence p=24 length=6 shortest=3 n_layers=2 read_at=last batch_size=256",
    "three_terms": "kind=modular_sum p=11 n=3 n_layers=1 weight_decay=3.0",
    "operators": "kind=operator_expression p=29 n=2 operators=('+','-') fraction=0.7 weight_decay=3.0",
    "league": "p=31 act_fn=quadratic d_embed=None fraction=0.5",
    "demo": "p=53 fraction=0.6 pairs=unordered",
}
"""Settings that the papers state."""


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_is_that_of_its_source(name):
    experiment = preset(name)
    parts = (experiment, experiment.optimization, experiment.split, experiment.model, experiment.task)
    values = {key: value for part in parts for key, value in vars(part).items()}
    for setting in SOURCES[name].split():
        key, _, value = setting.partition("=")
        assert str(values[key]).replace(" ", "") == value, key


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_trains(name):
    experiment = preset(name)
    assert experiment.name == name
    problem = Problem.of(experiment)
    step = Step(experiment.build_model(), problem, experiment.optimization)
    step.prepare()
    losses = []
    for at in range(3):
        step.gradients(at)
        losses.append(float(step.loss.detach()))
        step.apply(at)
    assert int(step.applied) == 3
    assert all(math.isfinite(loss) for loss in losses)
    step.gradients(0)  # the first batch again
    assert float(step.loss.detach()) < losses[0]


def test_what_is_said_of_accelerators_is_what_was_measured(tmp_path):
    """The table of the document, and the published anchors that it has to show."""
    measured = json.loads(accelerators.MEASURED.read_text(encoding="utf-8"))
    text = accelerators.DOCUMENT.read_text(encoding="utf-8")
    copy = tmp_path / "accelerators.md"
    copy.write_text(text, encoding="utf-8")
    accelerators.write(measured, copy)
    assert copy.read_text(encoding="utf-8") == text
    of = {name: measured[name]["0"] for name in accelerators.RUNS}
    assert of["OrthoAdamW, float32 cross-entropy"]["generalized"] <= 200
    assert of["AdamW, float32 cross-entropy"]["test"]["500"] <= 0.01
    assert of["Adam, Grokfast-EMA"]["generalized"] <= 2000
    assert of["AdamW, float32 cross-entropy"]["collapsed_share"]["float32"] > 0
    assert of["AdamW, float64 cross-entropy"]["collapsed_share"]["float64"] == 0


RUN_IDS = {
    "demo": "628989ea05",
    "nanda2023": "1f335774df",
    "nanda2023_subtraction": "5c5b41e74e",
    "nanda2023_multiplication": "cb14059776",
    "power2022": "f340449a04",
    "standard": "a898ce5e7d",
    "boundaries": "5dfb20de5d",
    "chughtai_s5": "4b61d9ddad",
    "gromov2023": "5ed77716cc",
    "prieto2025": "6e4dad9935",
    "lee2024": "ff87900b62",
    "pizza": "8e222e09b1",
    "parity": "acda369457",
    "league": "103ea6faf2",
}
"""The run ids of earlier versions, on which run directories and databases depend."""


@pytest.mark.parametrize("name", RUN_IDS)
def test_a_new_setting_changes_no_run_id(name):
    assert configuration_hash(preset(name).to_dict()) == RUN_IDS[name]


def test_added_settings_are_written_only_where_they_are_given():
    given = preset("gromov2023").override(["model.dropout=0.1", "optimization.clip_norm=1.0", "model.base_width=128"])
    added = set(given.flat) - set(preset("gromov2023").flat)
    assert added == {"model.dropout", "optimization.clip_norm"}
    assert Experiment.from_dict(given.to_dict()) == given
    assert given.differences(preset("gromov2023")) == {
        "model.dropout": (0.1, 0.0),
        "optimization.clip_norm": (1.0, None),
    }
    assert given.override(["model.dropout=0", "optimization.clip_norm=none"]) == preset("gromov2023")
