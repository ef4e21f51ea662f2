"""An unknown key or kind names the nearest one that exists, from the command line and from files."""

import pytest

from grokinterp.errors import ConfigError
from grokinterp.experiment import Experiment, Optimization
from grokinterp.experiment.configuration import parse_value
from grokinterp.interop.publishing.formats import format_of
from grokinterp.presets import preset

OVERRIDES = {
    "sead=1": "unknown key; did you mean seed?",
    "weight_decay=1": "unknown key; did you mean optimization.weight_decay?",
    "optimizer.lr=1": "unknown key; did you mean optimization.lr?",
    "optimization.wieght_decay=1": "unknown key; did you mean optimization.weight_decay?",
    "model.dmodel=3": "unknown key; did you mean model.d_model?",
    "save.each=3": "unknown key",
    "zzz=1": "unknown key",
}

FILES = {
    "a top-level setting of a table": ({"weight_decay": 1.0}, "weight_decay=1.0", "optimization.weight_decay?"),
    "a kind": ({"task": {"kind": "modular_adition"}}, "task.kind=modular_adition", "modular_addition?"),
    "a parameter of a kind": ({"model": {"kind": "mlp", "hiden": [5]}}, "model.hiden=[5]", "model.hidden?"),
    "a nested table": (
        {"optimization": {"schedules": {"lr": {"kind": "cosine", "warmpu": 1}}}},
        "optimization.schedules.lr.warmpu=1",
        "",
    ),
    "a filter": (
        {"optimization": {"filters": [{"kind": "grokfast_ema", "lambd": 1.0}]}},
        "optimization.filters.0.lambd=1.0",
        "optimization.filters.0.lamb?",
    ),
}


@pytest.mark.parametrize("assignment", OVERRIDES)
def test_an_unknown_override_names_the_nearest_key(assignment):
    with pytest.raises(ConfigError) as error:
        Experiment().override([assignment])
    assert str(error.value) == f"{assignment}: {OVERRIDES[assignment]}"


@pytest.mark.parametrize("name", FILES)
def test_an_unknown_key_of_a_file_names_the_nearest_key(name):
    values, start, end = FILES[name]
    with pytest.raises(ConfigError) as error:
        Experiment.from_dict(values)
    assert str(error.value).startswith(f"{start}: ")
    assert str(error.value).endswith(f"; did you mean {end}" if end else "unknown key")


@pytest.mark.parametrize(
    ("call", "name"),
    [
        (lambda: preset("deom"), "demo"),
        (lambda: Experiment().override(["model.kind=transfomer"]), "transformer"),
        (lambda: Experiment().override(["model.kind=mpl"]), "mlp"),
        (lambda: Experiment().override(["model.positions=nnoe"]), "none"),
        (lambda: Experiment().override(["model.normalization=lnper"]), "LNPre"),
        (lambda: Experiment().override(["optimization.optimizer=adamwe"]), "adamw"),
        (lambda: Optimization(precision="bfloat61"), "bfloat16"),  # ty: ignore[invalid-argument-type]
        (lambda: format_of("transformerlens"), "transformer-lens"),
        (lambda: Experiment(sede=1), "seed"),  # ty: ignore[unknown-argument]
    ],
)
def test_an_unknown_name_names_the_nearest(call, name):
    with pytest.raises(ConfigError, match=rf"; did you mean {name}\?$"):
        call()


@pytest.mark.parametrize("text", ["none", "None", "null", '"none"'])
def test_none_is_text_where_it_is_a_choice_and_null_elsewhere(text):
    model = Experiment().override([f"model.positions={text}", "model.normalization=none"]).model
    assert (model.positions, model.normalization) == ("none", None)


@pytest.mark.parametrize(("text", "value"), [("-.1", -0.1), ("+.5", 0.5), (".5e-3", 0.0005), ("-2.", -2.0)])
def test_numbers_without_digits_beside_the_point_are_numbers(text, value):
    assert parse_value(text) == value


@pytest.mark.parametrize("text", ["[+,-]", "[+, -]", '["+","-"]', "['+', '-']"])
def test_operators_in_a_list_need_no_quotes(text):
    assert parse_value(text) == ["+", "-"]
    assert parse_value("[-1,+2]") == [-1, 2]
