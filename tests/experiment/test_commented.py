"""An experiment as a commented file: it loads back equal, and names every setting with its meaning."""

import re
from dataclasses import fields
from itertools import pairwise

import pytest

from grokinterp.errors import ConfigError
from grokinterp.experiment import Experiment
from grokinterp.experiment.commented import commented
from grokinterp.experiment.edits import EDITS
from grokinterp.experiment.experiment import Origin
from grokinterp.experiment.kinds import KINDS
from grokinterp.experiment.meanings import BY_TABLE, without_meaning
from grokinterp.experiment.optimization import Optimization, PartSettings
from grokinterp.experiment.saving import SaveAt
from grokinterp.experiment.split import Split
from grokinterp.models import MODELS
from grokinterp.optim import Curriculum
from grokinterp.presets import PRESETS
from grokinterp.storage.files import parse_toml
from grokinterp.tasks import TASKS, Table

SPECIAL = {
    "every kind of filter": ["optimization.filters=[{kind=grokfast_ma,window=5},orthograd]"],
    "schedules": ["optimization.schedules.lr.kind=cosine", "optimization.schedules.lr.final=0.5"],
    "parts": ['optimization.parts=[{part="embed",frozen=true},{part="unembed",lr=0.01}]'],
    "a branch": ['origin={run="a \\"b\\"",step=5,edits=[{kind="scale",factor=0.5},{kind="redraw"}]}'],
    "optional settings": ["patience=3", "split.seed=0", "optimization.average=.9", "save.per_decade=7", "data=finite"],
    "tiny numbers": ["optimization.eps=1e-12", "optimization.lr=3e-05"],
}


def read_back(experiment: Experiment) -> Experiment:
    return Experiment.from_dict(parse_toml("\n".join(commented(experiment))))


@pytest.mark.parametrize("name", PRESETS)
def test_every_preset_loads_back(name):
    assert read_back(PRESETS[name].experiment) == PRESETS[name].experiment


@pytest.mark.parametrize("settings", SPECIAL.values(), ids=SPECIAL)
def test_special_settings_load_back(settings):
    if settings[0].startswith("origin"):
        values = Experiment().to_dict() | {"origin": parse_toml(settings[0])["origin"]}
        experiment = Experiment.from_dict(values)
    else:
        experiment = Experiment().override(settings)
    assert read_back(experiment) == experiment


def test_every_kind_of_task_and_model_loads_back():
    made = [Experiment(task=cls()) for kind, cls in TASKS.items() if kind != "table" and cls().n_answers == 1]
    made += [Experiment(task=Table(rows=("0,1", "1,")), split=Split(fraction=0.5))]
    made += [Experiment(model=cls()) for cls in MODELS.values()]
    assert [read_back(one) for one in made] == made


def test_every_setting_has_a_line_and_a_meaning_above_it():
    experiment = Experiment()
    lines = list(commented(experiment))
    named = {match[1] for line in lines if (match := re.match(r"(?:# )?(\w+) =", line))}
    assert named >= {key.rpartition(".")[2] for key in experiment.every_setting} - {"origin"}
    for before, line in pairwise(lines):
        if re.match(r"\w+ = ", line):
            assert before.startswith("# "), line
    assert max(map(len, (line for line in lines if line.startswith("# ")))) <= 100


def test_choices_and_defaults_are_named():
    text = re.sub(r"\n# ", " ", "\n".join(commented(PRESETS["demo"].experiment)))
    assert 'One of adamw, adam, sgd, muon; default "adamw".' in text
    assert "Learning rate, after warm-up. A number; default 0.001.\nlr = 0.002" in text
    assert "An integer or none; default none. patience =\n" in text
    assert "grokfast_ema (alpha = 0.98, lamb = 2.0)" in text


def test_every_setting_of_every_kind_has_a_meaning():
    tables = {"": [Experiment], "split": [Split], "save": [SaveAt], "optimization": [Optimization]}
    tables |= {"optimization.curriculum": [Curriculum], "optimization.parts": [PartSettings], "origin": [Origin]}
    tables |= {key: list(classes.values()) for key, classes in KINDS.items()}
    assert EDITS.keys() == KINDS["origin.edits"].keys()
    missing = {f"{key}.{cls.__name__}": found for key, all_of in tables.items() for cls in all_of
               if (found := without_meaning(key, cls))}  # fmt: skip
    assert missing == {}
    used = {key: {field.name for cls in all_of for field in fields(cls)} for key, all_of in tables.items()}
    used["origin"] |= used.pop("origin.edits")
    used["optimization.schedules"] = {"lr", "weight_decay", "batch_size"}.union(
        *(used.pop(f"optimization.schedules.{name}") for name in ("lr", "weight_decay", "batch_size"))
    )
    assert {key: meanings.keys() - used[key] for key, meanings in BY_TABLE.items() if meanings.keys() - used[key]} == {}


def test_a_recorded_experiment_has_no_such_file():
    values = Experiment().to_dict()
    values["model"] = {"kind": "recorded", "module": "m", "hooks": []}
    with pytest.raises(ConfigError):
        list(commented(Experiment.from_dict(values)))
