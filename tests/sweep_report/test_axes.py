"""The settings that a set of runs varies: axes, settings tied to them, and the ratio of width to prime."""

import pytest

from grokinterp.experiment.varied import differing
from grokinterp.sweep_report.axes import axes_of


def runs(**values: list) -> list[dict]:
    """Settings of several runs, by their last words."""
    keys = {"p": "task.p", "d": "model.d_model", "mlp": "model.d_mlp", "decay": "optimization.weight_decay",
            "lr": "optimization.lr", "kind": "model.kind"}  # fmt: skip
    return [
        dict(zip([keys.get(key, key) for key in values], row, strict=True))
        for row in zip(*values.values(), strict=True)
    ]


def ratio(one: dict) -> float | None:
    return one["model.d_model"] / one["task.p"] if {"model.d_model", "task.p"} <= one.keys() else None


def axes(of: list[dict]) -> list[str]:
    found, _ = axes_of(of, [ratio(one) for one in of])
    return [f"{axis.name}: {', '.join(axis.texts)}" for axis in found]


def test_width_and_mlp_are_one_axis_measured_as_ratio():
    of = runs(p=[16] * 6, d=[8, 8, 16, 16, 32, 32], mlp=[32, 32, 64, 64, 128, 128], seed=[0, 1] * 3)
    assert axes(of) == ["ratio d/p: 0.5, 1, 2"]


def test_the_ratio_comes_first_whatever_varies_most():
    of = runs(p=[16] * 8, d=[8, 16] * 4, decay=[1.0, 1.0, 2.0, 2.0, 3.0, 3.0, 4.0, 4.0])
    assert axes(of) == ["ratio d/p: 0.5, 1", "weight decay: 1, 2, 3, 4"]


def test_primes_with_widths_of_their_own_are_one_axis():
    of = runs(p=[19, 23, 29, 31], d=[16, 20, 28, 28], mlp=[64, 80, 112, 112])
    found, tied = axes_of(of, [one["model.d_model"] / one["task.p"] for one in of])
    assert [axis.key for axis in found] == ["task.p"]
    assert {(one.key, one.axis) for one in tied} == {("model.d_model", "task.p"), ("model.d_mlp", "task.p")}


def test_a_setting_that_follows_an_axis_is_tied_to_it():
    of = runs(d=[8, 16] * 3, decay=[0.1, 0.1, 1.0, 1.0, 2.0, 2.0], lr=[0.01, 0.01, 0.002, 0.002, 0.002, 0.002])
    found, tied = axes_of(of, [None] * 6)
    assert [axis.name for axis in found] == ["width", "weight decay"]
    assert tied == [("optimization.lr", "optimization.weight_decay")]


def test_kinds_and_lists_are_values_without_numbers():
    of = runs(kind=["mlp", "transformer"] * 2, betas=[[0.9, 0.98], [0.9, 0.98], [0.9, 0.999], [0.9, 0.999]])
    found, _ = axes_of(of, [None] * 4)
    assert [(axis.name, axis.texts, axis.is_numeric) for axis in found] == [
        ("model", ["mlp", "transformer"], False), ("betas", ["0.9,0.98", "0.9,0.999"], False)
    ]  # fmt: skip


@pytest.mark.parametrize(("of", "expected"), [
    (runs(seed=[0, 1, 2]), []),
    (runs(decay=[1.0], seed=[0]), []),
    (runs(steps=[100, 200], seed=[0, 0]), ["number of steps: 100, 200"]),
    (runs(steps=[100, 200], decay=[1.0, 2.0]), ["weight decay: 1, 2"]),
])  # fmt: skip
def test_seeds_and_lengths_are_no_axes_unless_nothing_else_varies(of, expected):
    assert axes(of) == expected


def test_a_setting_that_some_runs_lack_differs():
    assert differing([{"model.kind": "mlp", "model.d_hidden": 8}, {"model.kind": "transformer"}]) == [
        "model.kind", "model.d_hidden",
    ]  # fmt: skip


def test_settings_that_always_change_together_are_companions_of_the_axis():
    of = runs(p=[16] * 4, d=[8, 16] * 2, mlp=[32, 64] * 2, decay=[0.1, 0.1, 1.0, 1.0], lr=[0.01, 0.01, 0.002, 0.002])
    found, tied = axes_of(of, [ratio(one) for one in of])
    assert [(axis.name, axis.companions) for axis in found] == [
        ("ratio d/p", ()), ("weight decay", ("optimization.lr",))
    ]  # fmt: skip
    assert tied == []
