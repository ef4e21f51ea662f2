"""Configurations: round trips, one-line errors for every rule, splits, and arbitrary content of files."""

import json
import os
import tomllib
from collections import Counter
from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from grokinterp.errors import ConfigError
from grokinterp.experiment import Experiment, Optimization, SaveAt, Split
from grokinterp.experiment.problem import Problem
from grokinterp.presets import PRESETS
from grokinterp.storage import configuration_hash
from grokinterp.tasks import ModularAddition
from grokinterp.training.step import Step
from tests.cases.losses import SOFTMAX_FORMS
from tests.support.small_runs import TINY, changed

# --- round trips --------------------------------------------------------------------------------------------------

EXPERIMENTS = {
    "default": Experiment(),
    "tiny": TINY,
    "full": changed(
        split={"pairs": "unordered", "seed": 5}, model={"normalization": "LN", "biases": True, "d_head": 3}
    ),
    **{name: found.experiment for name, found in PRESETS.items()},
}


def inline(value) -> str:
    """A value on one line, a table in a list included."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key} = {inline(part)}" for key, part in value.items()) + "}"
    return f"[{', '.join(map(inline, value))}]" if isinstance(value, list) else json.dumps(value)


def toml(values: dict, prefix: str = "") -> str:
    """A TOML document; null values are omitted and take their defaults."""
    lines = [f"{key} = {inline(value)}" for key, value in values.items() if not isinstance(value, dict | None)]
    tables = [(key, value) for key, value in values.items() if isinstance(value, dict)]
    return "\n".join([*lines, *(f"[{prefix}{key}]\n{toml(value, f'{prefix}{key}.')}" for key, value in tables)])


@pytest.mark.parametrize("experiment", EXPERIMENTS.values(), ids=EXPERIMENTS)
def test_a_configuration_round_trips(experiment, tmp_path):
    values = experiment.to_dict()
    assert Experiment.from_dict(values) == experiment
    assert Experiment.from_dict(json.loads(json.dumps(values))) == experiment
    assert configuration_hash(values) == configuration_hash(Experiment.from_dict(values).to_dict())
    (tmp_path / "e.json").write_text(json.dumps(values))
    (tmp_path / "e.toml").write_text(toml(values))
    assert Experiment.from_file(tmp_path / "e.json") == experiment
    assert Experiment.from_file(tmp_path / "e.toml") == experiment


def test_every_default_may_be_left_out(tmp_path):
    assert Experiment.from_dict({}) == Experiment()
    assert Experiment.from_dict({"task": {"p": 5}}).task == ModularAddition(p=5)
    (tmp_path / "e.toml").write_text("[task]\np = 97\n[optimization]\nlr = 1e-3\n")
    assert Experiment.from_file(tmp_path / "e.toml") == replace(Experiment(), task=ModularAddition(p=97))


# --- rules -----------------------------------------------------------------------------------------------------------

BAD = {
    "task.p=1": "must be an integer from 3 to 1000",
    "task.p=2": "must be an integer from 3 to 1000",
    "task.p=1001": "must be an integer from 3 to 1000",
    "task.p=5.0": "input should be a valid integer",
    "task.p=seven": "input should be a valid integer",
    "task.p=true": "input should be a valid integer",
    "task.p=none": "input should be a valid integer",
    "task.kind=sorting": "must be one of modular_addition, modular_subtraction",
    "task.q=5": "unknown key",
    "task=s4": "must be a table of settings",
    "model=mlp": "must be a table of settings; did you mean model.kind=mlp?",
    "task=5": "must be a table of settings",
    "model.d_model=0": "must be an integer from 1 to 65536",
    "model.d_model=1000000000": "must be an integer from 1 to 65536",
    "model.n_heads=3": "must divide d_model=128 (or give d_head)",
    "model.d_head=0": "must be an integer from 1 to 65536",
    "model.act_fn=sine": "must be one of relu, gelu, silu, quadratic, tanh",
    "model.kind=cnn": "must be one of transformer, mlp, recursive",
    "model.attention_rate=2": "must be from 0 (uniform) to 1 (learned)",
    "model.read_at=first": "must be one of equals, last, mean",
    "split.validation=0.8": "and fraction=0.3 must add up to less than 1",
    "split.label_noise=2": "must be from 0 to 1",
    "split.stratified=1": "input should be a valid boolean",
    "optimization.batch_size=0": "must be positive",
    "optimization.batch_size=10000": "",
    "optimization.init_scale=0": "must be positive and at most 1000",
    "model.depth=2": "unknown key",
    "split.fraction=0": "must lie strictly between 0 and 1",
    "split.fraction=1": "must lie strictly between 0 and 1",
    "split.fraction=-0.5": "must lie strictly between 0 and 1",
    "split.fraction=nan": "input should be a finite number",
    "split.fraction=0.00001": "leaves no example to train or to test on (12769 examples)",
    "split.pairs=both": "must be one of ordered, unordered",
    "split.seed=-1": "must be from 0 to 2^63 - 1",
    "optimization.lr=0": "must be positive and below 10",
    "optimization.lr=-1": "must be positive and below 10",
    "optimization.lr=inf": "input should be a finite number",
    "optimization.lr=1e400": "input should be a finite number",
    "optimization.lr='1e-3'": "input should be a valid number",
    "optimization.weight_decay=-1": "must be 0 or positive",
    "optimization.weight_decay=1000": "times lr=0.001 must be below 1",
    "optimization.betas=[0.9, 1]": "must each lie in [0, 1)",
    "optimization.betas=[0.9, 0.9, 0.9]": "tuple should have at most 2 items",
    "optimization.eps=0": "must lie strictly between 0 and 1",
    "optimization.warmup_steps=-1": "must be from 0 to 10^9",
    "optimization.loss=hinge": "must be one of softplus, float32, float64, stablemax, mse, ",
    "optimization.nesterov=true": "unknown key",
    "save.every=0": "must be an integer from 1 to 10^9",
    "save.dense_every=0": "must be an integer from 1 to 10^9",
    "save.transition_every=0": "must be an integer from 1 to 10^9",
    "save.resume_every=0": "must be an integer from 1 to 10^9",
    "save.per_decade=0": "must be an integer from 1 to 1000",
    "save.dense_until=-1": "must be from 0 to 10^9",
    "save.often=1": "unknown key",
    "steps=0": "must be an integer from 1 to 10^8",
    "steps=1000000000000": "must be an integer from 1 to 10^8",
    "steps=none": "must be an integer from 1 to 10^8",
    "evaluate_every=0": "must be an integer from 1 to 10^9",
    "seed=-1": "must be from 0 to 2^63 - 1",
    "seed=9223372036854775808": "must be from 0 to 2^63 - 1",
    "sead=1": "unknown key",
    "task.p.q=1": "unknown key",
    "seed.x=1": "unknown key",
}

NAMES = ["", ".", "..", "../up", "/etc/passwd", "a/b", "a\\b", "-rf", "_x", "~root", "con", "NUL.txt", "com1", "a b"]
NAMES += ["x" * 65, "a\nb", "a\0b", "é", "$(id)", "a;b", "\x1b[2J", "%s"]


@pytest.mark.parametrize("assignment", BAD)
def test_a_broken_rule_is_one_line_naming_key_value_and_rule(assignment):
    key, _, value = assignment.partition("=")
    with pytest.raises(ConfigError) as refused:
        Experiment().override([assignment])
    line = str(refused.value)
    assert line.startswith(f"{key}=")
    assert BAD[assignment] in line
    assert "\n" not in line
    if value.lstrip("-").isdigit():
        assert line.startswith((f"{key}={value}", f"{key}={float(value)}"))


@pytest.mark.parametrize("name", NAMES)
def test_a_hostile_name_is_refused(name):
    with pytest.raises(ConfigError, match="name=") as refused:
        Experiment.from_dict({"name": name})
    assert str(refused.value).isprintable()


UNKNOWN = [{"nme": 1}, {"task": {"x": 1}}, {"model": {"x": 1}}, {"split": {"x": 1}}, {"optimization": {"x": 1}}]
UNKNOWN += [{"save": {"x": 1}}, {"task": {"__class__": "os.system"}}, {"model": {"__init__": 1}}]


@pytest.mark.parametrize("values", UNKNOWN)
def test_an_unknown_key_is_refused_at_every_level(values):
    with pytest.raises(ConfigError, match=r"^[a-z_.]+=.*: unknown key(; did you mean [a-z_.0-9]+\?)?$"):
        Experiment.from_dict(values)


def test_rules_hold_for_experiments_written_in_python():
    for make in (
        lambda: ModularAddition(p=2),
        lambda: Split(fraction=1.0),
        lambda: Optimization(lr=0.0),
        lambda: SaveAt(every=0),
        lambda: Experiment(name="../x"),
    ):
        with pytest.raises(ConfigError):
            make()


def test_overrides_are_toml():
    changes = ["task.p=97", "optimization.weight_decay=.5", "seed=3", "steps=2000", "name=mine", "split.seed=none"]
    changes += ["optimization.betas=[0.9, 0.99]", "model.biases=true", "split.pairs='unordered'", "save={every=7}"]
    made = Experiment().override(changes)
    assert made.task.p == 97
    assert (made.optimization.weight_decay, made.optimization.betas) == (0.5, (0.9, 0.99))
    assert (made.seed, made.steps, made.name, made.split.seed) == (3, 2000, "mine", None)
    assert (made.model.biases, made.split.pairs, made.save) == (True, "unordered", SaveAt(every=7))


@pytest.mark.parametrize("assignment", ["task.p", "=3", "", "==", "task..p=3", ".=1", "seed=3\nsteps=4"])
def test_what_is_no_assignment_is_refused(assignment):
    with pytest.raises(ConfigError):
        Experiment().override([assignment])


# --- bombs -----------------------------------------------------------------------------------------------------------

BOMBS = {
    "nested.toml": b"x = " + b"[" * 100_000,
    "nested.json": b"[" * 100_000,
    "deep.json": b'{"task":' * 50_000 + b"1" + b"}" * 50_000,
    "digits.toml": b"seed = " + b"9" * 100_000,
    "digits.json": b'{"seed": ' + b"9" * 100_000 + b"}",
    "huge.toml": b"#" * (2**20 + 1),
    "empty.json": b"",
    "list.json": b"[1, 2]",
    "text.json": b'"seed"',
    "nan.json": b'{"optimization": {"lr": NaN}}',
    "bytes.toml": b"\xff\xfe\x00",
    "nul.toml": b"name = \x00",
    "twice.toml": b"seed = 1\nseed = 2",
    "yaml.toml": b"task: !!python/object/apply:os.system ['touch owned']",
    "pickle.json": b"cos\nsystem\n(S'touch owned'\ntR.",
    "surrogate.json": b'{"name": "\\ud800"}',
    "key.json": json.dumps({"k" * 10_000: 1}).encode(),
}


@pytest.mark.parametrize("name", BOMBS)
def test_a_hostile_file_is_one_line(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / name).write_bytes(BOMBS[name])
    with pytest.raises(ConfigError) as refused:
        Experiment.from_file(tmp_path / name)
    assert len(str(refused.value)) < 500
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_what_is_no_file_is_refused_without_waiting(tmp_path):
    os.mkfifo(tmp_path / "pipe.toml")
    for path, why in [
        (tmp_path / "pipe.toml", "is not a regular file"),
        (tmp_path, "is not a regular file"),
        ("/dev/zero", "is not a regular file"),
        (tmp_path / "none.toml", "no such file or directory"),
    ]:
        with pytest.raises(ConfigError, match=why):
            Experiment.from_file(path)


@pytest.mark.parametrize("value", ["9" * 100_000, "[" * 100_000, "{" * 10_000, "\x1b]0;title\x07", "'" * 1000])
def test_a_hostile_override_is_one_line(value):
    with pytest.raises(ConfigError) as refused:
        Experiment().override([f"seed={value}"])
    assert len(str(refused.value)) < 300
    assert str(refused.value).isprintable()


# --- 300 configurations ----------------------------------------------------------------------------------------------


@st.composite
def configurations(draw) -> dict:
    """Small configurations, mostly valid; in some, an arbitrary value replaces one setting."""
    heads = draw(st.sampled_from([1, 2, 3]))
    values = {
        "task": {"p": draw(st.integers(2, 6))},
        "model": {
            "n_layers": draw(st.integers(1, 2)),
            "n_heads": heads,
            "d_model": heads * draw(st.integers(1, 3)),
            "d_mlp": draw(st.integers(1, 5)),
            "act_fn": draw(st.sampled_from(["relu", "gelu", "silu"])),
            "normalization": draw(st.sampled_from([None, "LN", "LNPre"])),
            "attention": draw(st.sampled_from(["causal", "bidirectional"])),
            "biases": draw(st.booleans()),
        },
        "split": {
            "fraction": draw(st.floats(0, 1)),
            "pairs": draw(st.sampled_from(["ordered", "unordered"])),
            "seed": draw(st.none() | st.integers(0, 2**63 - 1)),
        },
        "optimization": {
            "lr": draw(st.floats(1e-6, 1)),
            "weight_decay": draw(st.floats(0, 2)),
            "betas": draw(st.lists(st.floats(0, 1, exclude_max=True), min_size=2, max_size=2)),
            "warmup_steps": draw(st.integers(0, 5)),
            "loss": draw(st.sampled_from(SOFTMAX_FORMS)),
        },
        "steps": draw(st.integers(1, 5)),
        "evaluate_every": 1,
        "seed": draw(st.integers(0, 2**63 - 1)),
    }
    if draw(st.integers(0, 3)) == 0:
        table = draw(st.sampled_from([values, *(part for part in values.values() if isinstance(part, dict))]))
        key = draw(st.sampled_from(sorted(table)) | st.text(max_size=5))
        anything = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5)
        table[key] = draw(anything | st.lists(anything, max_size=3) | st.dictionaries(st.text(max_size=3), anything))
    return values


outcomes: Counter[str] = Counter()


@settings(max_examples=300)
@given(values=configurations())
def test_a_configuration_is_refused_in_one_line_or_trains(values):
    try:
        experiment = Experiment.from_dict(values)
        problem = Problem.of(experiment)
    except ConfigError as error:
        outcomes["refused"] += 1
        if "\n" in str(error):
            pytest.fail(str(error))
        return
    if experiment.task.p > 100 or max(experiment.model.d_model, experiment.model.d_mlp) > 100:
        return
    step = Step(experiment.build_model(), problem, experiment.optimization)
    step.prepare()
    for at in range(2):
        step.gradients(at)
        step.apply(at)
    assert bool(step.finite())
    assert int(step.applied) == 2
    outcomes["trained"] += 1


def test_the_generated_configurations_were_of_both_kinds():
    assert min(outcomes["refused"], outcomes["trained"]) > 20, outcomes


# --- what follows from a configuration -------------------------------------------------------------------------------


def test_initial_weights_follow_the_seed_and_leave_the_global_generator_alone():
    torch.manual_seed(0)
    state = torch.get_rng_state()
    one, same, other = (changed(seed=seed).build_model().W_E for seed in (3, 3, 4))
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(one, same)
    assert not torch.equal(one, other)


def test_the_learning_rate_warms_up_linearly():
    warm = Optimization(lr=0.1, warmup_steps=4)
    assert [warm.learning_rate(step) for step in range(6)] == pytest.approx([0.025, 0.05, 0.075, 0.1, 0.1, 0.1])
    assert Optimization(lr=0.1, warmup_steps=0).learning_rate(0) == 0.1


def test_the_model_is_shown_an_equals_sign_where_it_wants_one():
    with_equals = changed(task={"p": 5})
    assert with_equals.tokens().tolist() == [[a, b, 5] for a in range(5) for b in range(5)]
    assert (with_equals.d_vocab, with_equals.n_ctx) == (6, 3)
    without = changed(task={"p": 5}, model={"read_at": "last"})
    assert without.tokens().tolist() == [[a, b] for a in range(5) for b in range(5)]
    assert (without.d_vocab, without.n_ctx) == (5, 2)


def test_toml_of_the_tests_is_toml():
    assert tomllib.loads(toml({"a": 1, "b": {"c": [0.5], "d": None}})) == {"a": 1, "b": {"c": [0.5]}}


@pytest.mark.parametrize("per_decade", [*range(1, 13), 1000])
def test_log_spaced_steps_are_the_rounded_powers(per_decade):
    save = SaveAt(per_decade=per_decade)
    expected = sorted({round(10 ** (k / per_decade)) for k in range(3 * per_decade + 1)})
    assert [step for step in range(1001) if save.is_log_spaced(step)] == expected == save.log_spaced(1000)
    assert save.log_spaced(0) == []
    assert save.log_spaced(expected[-1] - 1) == expected[:-1]
    far = save.log_spaced(10**9)
    assert far[0] == 1
    assert far[-1] == 10**9
    assert all(map(save.is_log_spaced, far))
