"""Products of experiments, the named sweeps, and sweeps in files."""

import json

import numpy as np
import pytest

from grokinterp.cli.sweeping import chosen_grid
from grokinterp.errors import ConfigError
from grokinterp.experiment import Experiment
from grokinterp.models import MLPSpec, TransformerSpec
from grokinterp.presets import BOUNDARIES
from grokinterp.storage import configuration_hash
from grokinterp.sweeps.grid import Grid, plain, points, product
from grokinterp.sweeps.grid_file import read_grid
from grokinterp.sweeps.named import EXTENDED, SWEEPS, named
from grokinterp.sweeps.sweep import Sweep
from grokinterp.tasks import ModularAddition

STATED = {
    "exp1_weight_decay": (5, 50_000, {"optimization.weight_decay": {0.1, 0.5, 1.0, 3.0, 10.0}}),
    "exp2_hidden_dim": (4, 50_000, {"model.d_model": {32, 64, 128, 256}}),
    "exp3_prime": (4, 50_000, {"task.p": {23, 47, 59, 97}}),
    "exp4_matched": (4, 20_000, {}),
    "exp5_ratio_wd1": (40, 20_000, {"optimization.weight_decay": {1.0}, "seed": set(range(5))}),
    "exp5_ratio_wd0p1": (40, 100_000, {"optimization.weight_decay": {0.1}, "seed": set(range(5))}),
    "exp5_ratio_wd0p01": (40, 200_000, {"optimization.weight_decay": {0.01}, "seed": set(range(5))}),
    "prime53_ratio": (11, 20_000, {"task.p": {53}}),
    "omnigrok_norm": (30, 3_000, {"optimization.weight_decay": {0.0}, "optimization.constrain_norm": {True}}),
}
"""The stated number of runs, steps, and values of every named sweep."""


def made(name: str, scale: str = "full") -> tuple[Experiment, ...]:
    grid = named(name, scale)
    return product(grid.base, **grid.axes)


@pytest.mark.parametrize("name", STATED)
def test_the_named_sweeps_have_the_stated_values(name):
    runs, steps, values = STATED[name]
    found = made(name)
    assert (len(found), {one.steps for one in found}) == (runs, {steps})
    assert {key: {one.flat[key] for one in found} for key in values} == values
    assert {one.patience for one in found} == {None}
    assert len(made(name, "small")) == runs


def test_widths_are_multiples_of_the_heads_at_every_ratio():
    found = made("exp5_ratio_wd1_extended")
    assert {one.flat["model.d_model"] % one.flat["model.n_heads"] for one in found} == {0}
    assert {one.flat["model.d_mlp"] / one.flat["model.d_model"] for one in found} == {4}
    widths = {one.flat["model.d_model"] for one in found}
    assert widths >= {192, 776, 1552}
    assert len(widths) == len(EXTENDED)


def test_an_extended_sweep_repeats_every_run():
    for scale in SWEEPS:
        for name in ("exp5_ratio_wd1", "exp5_ratio_wd0p1", "exp5_ratio_wd0p01"):
            before, after = (
                {configuration_hash(one.to_dict()) for one in made(n, scale)} for n in (name, f"{name}_extended")
            )
            assert before < after
            assert len(after) == 50


def test_experiments_with_the_same_configuration_are_one_run():
    shared = {name: {configuration_hash(one.to_dict()) for one in made(name)} for name in list(STATED)[:3]}
    assert len(set.intersection(*shared.values())) == 1


def test_a_product_takes_lists_tables_and_joint_axes():
    betas = [[0.9, 0.98], (0.9, 0.999)]
    found = product(Experiment(), **{"optimization.betas": betas, "steps": 7})
    assert [(one.optimization.betas, one.steps) for one in found] == [((0.9, 0.98), 7), ((0.9, 0.999), 7)]
    found = product(Experiment(), task=[ModularAddition(p=5)], model=[MLPSpec(hidden=(3,)), TransformerSpec(d_mlp=3)])
    assert [one.model.kind for one in found] == ["mlp", "transformer"]
    found = product(Experiment(), **{"task.p,seed": [(5, 1), (7, 2)], "task.kind": ["modular_division"]})
    assert [(one.task.kind, one.task.p, one.seed) for one in found] == [
        ("modular_division", 5, 1),
        ("modular_division", 7, 2),
    ]
    base = Experiment(task=ModularAddition(p=11), model=TransformerSpec(d_model=8, n_heads=4, d_mlp=16))
    assert len(product(base, ratio=[0.8, 0.9])) == 1
    assert product(Experiment()) == (Experiment(),)


@pytest.mark.parametrize(
    ("axes", "why"),
    [
        ({"task.p": [5, 1]}, r"sweep=task.p=1: is impossible: task.p=1: must be"),
        ({"task.p": []}, r"task.p=\[\]: an axis needs at least one value"),
        ({"task.q": [5]}, "task.q=5: unknown key"),
        ({"task.p,seed": [5]}, "task.p,seed=5: must be a list of 2 values"),
        ({"ratio": [0.01]}, "ratio=0.01: gives a width below 4"),
        ({"ratio": ["wide"]}, "ratio=wide: must be a number above 0"),
        ({"ratio": [1], "model.kind": ["mlp"]}, "ratio=1: needs a task with task.p and a transformer"),
    ],
)
def test_impossible_combinations_are_named(axes, why):
    with pytest.raises(ConfigError, match=why):
        product(Experiment(), **axes)


def test_the_possible_combinations_remain():
    found = list(points(Experiment(), {"task.p": [5, 1], "seed": [0, 1]}))
    assert [point.experiment is not None for point in found] == [True, True, False, False]
    with pytest.raises(ConfigError, match=r"the run with task.p=1, seed=0 is impossible \(and 1 more\): task.p=1"):
        Sweep.of("a", Grid(Experiment(), {"task.p": [5, 1]}), seeds=2).require_possible()


def test_settings_and_axes_of_a_grid_can_be_replaced():
    grid = named("exp3_prime").changed({"steps": 50, "task.p": 23}, {"optimization.lr": [1e-3, 1e-2]})
    found = product(grid.base, **grid.axes)
    assert [(one.task.p, one.steps, one.optimization.lr) for one in found] == [(23, 50, 1e-3), (23, 50, 1e-2)]
    for name, key in (("exp2_hidden_dim", "model.d_model"), ("exp5_ratio_wd1", "model.d_mlp")):
        with pytest.raises(ConfigError, match=f"{key}=16: is set by the axis"):
            named(name).changed({key: 16}, {})


@pytest.mark.parametrize(
    ("axes", "why"),
    [
        ({"ratio": [1, 2], "model.d_model": [8, 16]}, "axis=model.d_model: sets model.d_model, which the axis ratio"),
        (
            {"task.p,model.d_model": [[7, 8]], "task.p": [5]},
            "axis=task.p: sets task.p, which the axis task.p,model.d_m",
        ),
        ({"task": [ModularAddition(p=5)], "task.p": [7]}, "axis=task.p: sets task.p, which the axis task sets as well"),
        ({"seed,seed": [[0, 1]]}, "axis=seed,seed: sets a setting twice"),
    ],
)
def test_every_setting_is_set_by_one_axis(axes, why, tmp_path):
    with pytest.raises(ConfigError, match=why):
        product(Experiment(), **axes)
    with pytest.raises(ConfigError, match=why):
        Grid(Experiment(), {}).changed({}, axes)
    file = tmp_path / "both.json"
    file.write_text(json.dumps({"axes": {axis: list(map(plain, values)) for axis, values in axes.items()}}))
    with pytest.raises(ConfigError, match=why):
        read_grid(file)


def test_a_fixed_setting_that_an_axis_sets_is_refused(tmp_path):
    why = "model.d_mlp=64: is set by the axis ratio: change that axis, or leave out the setting"
    with pytest.raises(ConfigError, match=why):
        Grid(Experiment(), {}).changed({"model.d_mlp": 64}, {"ratio": [1, 2]})
    file = tmp_path / "both.toml"
    file.write_text("[base]\nmodel.d_mlp = 64\n[axes]\nratio = [1, 2]\n")
    with pytest.raises(ConfigError, match=why):
        read_grid(file)


@pytest.mark.parametrize(
    ("arguments", "options", "why"),
    [
        (["seed=1,2"], {"seeds": 2}, "seeds=2: give it or seed=..., not both"),
        (["exp5_ratio_wd1", "seed=3"], {"seeds": 2}, "seeds=2: give it or seed=..., not both"),
        (["decay.toml"], {"scale": "small"}, "scale=small: is for named sweeps"),
        (["task.p=7,11"], {"scale": "full"}, "scale=full: is for named sweeps"),
        (["task.p=7,11", "exp3_prime"], {}, "sweep=exp3_prime: a named sweep or a file must come before the settings"),
        (["task.p=7,11", "steps"], {}, "sweep=steps: must be written key=value"),
        (["ratio=1,2", "task.p=11", "model.d_model=8,16"], {}, "axis=model.d_model: sets model.d_model, which"),
    ],
)
def test_conflicts_of_a_command_line_are_named(arguments, options, why):
    chosen = {"scale": None, "seeds": None} | options
    with pytest.raises(ConfigError, match=why):
        chosen_grid(arguments, None, None, **chosen)


def test_an_impossible_combination_is_stated_once():
    [point] = points(Experiment(), {"task.p": [1]})
    assert point.refusal.startswith("task.p=1: must be")
    [point] = points(Experiment(), {"task.p": [1], "seed": [0]})
    assert point.refusal.startswith("task.p=1, seed=0: task.p=1: must be")


def test_runs_without_enough_evaluations_are_named():
    sweep = Sweep.of("a", Grid(Experiment(evaluate_every=10), {"steps": [80, 90], "seed": [0, 1]}))
    why = "cannot be detected with fewer than 10 evaluations, as in 2 of 4 runs (at most 9): lower"
    assert why in sweep.undetectable
    assert not Sweep.of("a", Grid(Experiment(steps=81, evaluate_every=9), {})).undetectable


@pytest.mark.parametrize(
    ("axes", "why"),
    [
        ({"task.p": [5, 7, 5.0]}, r"task.p=5.0: is given twice"),
        ({"optimization.betas": [[0.9, 0.98], [0.9, 0.98]]}, r"is given twice"),
        ({"ratio": [1, 1]}, "ratio=1: is given twice"),
    ],
    ids=str,
)
def test_a_value_that_an_axis_has_twice_is_refused(axes, why):
    with pytest.raises(ConfigError, match=why):
        Sweep.of("a", Grid(Experiment(), axes))


def test_equal_combinations_are_counted():
    base = Experiment(task=ModularAddition(p=11), model=TransformerSpec(d_model=8, n_heads=4, d_mlp=16))
    assert Sweep.of("a", Grid(base, {"ratio": [0.8, 0.9, 1.5]})).equal == 1
    assert Sweep.of("a", Grid(base, {"ratio": [0.8, 1.5]})).equal == 0


def test_a_file_is_a_sweep(tmp_path):
    file = tmp_path / "decay.toml"
    file.write_text(
        'about = "two primes"\npreset = "boundaries"\n[base]\nsteps = 30\noptimization.lr = 0.01\n'
        "[axes]\ntask.p = [5, 7]\noptimization.betas = [[0.9, 0.98], [0.9, 0.999]]\n"
        '"model.d_model,model.d_mlp" = [[8, 32]]\n'
    )
    name, grid = read_grid(file)
    found = product(grid.base, **grid.axes)
    assert (name, grid.about, len(found)) == ("decay", "two primes", 4)
    assert {(one.steps, one.model.read_at, one.flat["model.d_mlp"]) for one in found} == {
        (30, BOUNDARIES.model.read_at, 32)
    }
    for text, why in (
        ("axis.p = 1", "axis=.*unknown key"),
        ("axes = 3", "axes=3: must be a table"),
        ("[", "not valid TOML"),
    ):
        file.write_text(text)
        with pytest.raises(ConfigError, match=why):
            read_grid(file)


def test_fixed_settings_outlive_an_axis_of_kinds():
    """A change of kind resets the settings of its table, also those that were given for all runs."""
    kinds = {"task.kind": ["modular_addition", "modular_multiplication"]}
    for axes, given in (({}, kinds), (kinds, {})):
        grid = Grid(Experiment(), axes).changed({"task.p": 11, "seed": 4}, given)
        found = [point.experiment for point in points(grid.base, grid.axes)]
        assert [(one.task.kind, one.task.p, one.seed) for one in found] == [
            (kind, 11, 4) for kind in kinds["task.kind"]
        ]


def test_values_of_numpy_are_numbers():
    found = product(Experiment(), seed=np.arange(2), **{"optimization.lr": np.logspace(-3, -2, 2)})
    assert [(one.seed, one.optimization.lr) for one in found] == [(0, 0.001), (0, 0.01), (1, 0.001), (1, 0.01)]
