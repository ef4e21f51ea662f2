"""Patterns and tables: sizes that follow from each other, axes split and merged, one-line refusals."""

from pathlib import Path

import pytest
import torch

from grokinterp.errors import ConfigError
from grokinterp.experiment import Experiment
from grokinterp.interop.fitting import fitted, own_shapes
from grokinterp.interop.layout import Layout, layout, layout_names
from grokinterp.interop.patterns import Equation, Pattern, PatternError, solved
from grokinterp.interop.text_files import ForeignFileError
from grokinterp.models import MLPSpec, TransformerSpec
from grokinterp.tasks import ModularAddition

FILE = Path("weights.pt")
X = torch.arange(24.0).reshape(6, 4)


@pytest.mark.parametrize(
    ("pattern", "sizes", "part", "expected"),
    [
        ("a b -> b a", {"a": 6, "b": 4}, {}, X.T),
        ("(h d) b -> h b d", {"h": 2, "d": 3, "b": 4}, {}, X.reshape(2, 3, 4).transpose(1, 2)),
        ("(h d) b -> b (d h)", {"h": 2, "d": 3, "b": 4}, {}, X.reshape(2, 3, 4).permute(2, 1, 0).reshape(4, 6)),
        ("(q d) b -> d b", {"q": 2, "d": 3, "b": 4}, {"q": (1, 2)}, X[3:]),
        ("a class -> class a", {"a": 6, "class": 4}, {"class": (1, 3)}, X[:, 1:3].T),
        ("a b", {"a": 6, "b": 4}, {"a": (0, 1)}, X[:1]),
    ],
)
def test_a_pattern_is_applied(pattern, sizes, part, expected):
    assert torch.equal(Pattern.parse(pattern).apply(X, sizes, part), expected)


@pytest.mark.parametrize(
    ("pattern", "words"),
    [
        ("a a -> a", "has the axis a twice on one side"),
        ("a b -> b a c", "has c on the right side only"),
        ("(a (b c)) -> a b c", r"has '\(', which is neither a name nor a matching parenthesis"),
        ("(a b", "has an unclosed parenthesis"),
        ("a ... -> ... a", r"has '...', which is neither"),
        ("a 3 -> a", "has '3', which is neither"),
        ("a) b", r"has '\)', which is neither"),
    ],
)
def test_a_pattern_that_cannot_be_read(pattern, words):
    with pytest.raises(PatternError, match=words):
        Pattern.parse(pattern)


def test_sizes_follow_from_each_other_in_any_order():
    equations = [Equation(("h", "d"), 128, "W_O"), Equation(("m",), 64, "W_E"), Equation(("h",), 4, "W_Q")]
    assert solved(equations) == solved(equations[::-1]) == {"h": 4, "d": 32, "m": 64}
    assert solved([Equation(("a", "b"), 6, "x")]) == {}
    with pytest.raises(PatternError, match=r"W_K contradicts h=4 \(W_Q\)"):
        solved([*equations, Equation(("h",), 5, "W_K")])
    with pytest.raises(PatternError, match="contradicts h=4"):
        solved([*equations[2:], Equation(("h", "d"), 6, "W_O")])


@pytest.mark.parametrize("name", ["nanda", "transformer-lens"])
def test_our_tables_name_every_weight_of_the_model(name):
    """A table maps a file with all weights that it names to a complete state of the model."""
    experiment = Experiment(
        task=ModularAddition(p=5), model=TransformerSpec(d_model=8, n_heads=2, d_mlp=12, biases=True, n_layers=2)
    )
    state = experiment.build_model().state_dict()
    theirs = dict(state)
    if name == "nanda":
        theirs = {key: value for key, value in state.items() if ".b_" not in key or ".mlp." in key}
        theirs["embed.W_E"] = theirs["embed.W_E"].T
        for key in list(theirs):
            if key.endswith(("W_Q", "W_K", "W_V")):
                theirs[key] = theirs[key].transpose(1, 2)
            elif key.endswith("W_O"):
                theirs[key] = theirs[key].flatten(0, 1).T
            elif key.endswith(("W_in", "W_out")):
                theirs[key] = theirs[key].T
    mapped = layout(name).read(theirs, FILE, own_shapes(experiment, FILE))
    assert mapped.n_layers == 2
    ours = fitted(mapped.state, experiment, FILE)
    assert all(torch.equal(ours[key], state[key]) for key in state)
    assert layout_names() == ("chughtai-mlp", "nanda", "pizza-linear", "transformer-lens")


def test_several_tensors_are_one_weight_and_a_factor_is_applied():
    task, spec = ModularAddition(p=5), MLPSpec(d_embed=3, embedding="separate", hidden=(4,), act_fn="relu")
    experiment = Experiment(task=task, model=spec)
    table = {"weights": {
        "embed.W_E": {"from": ["x", "y"], "pattern": "operand token d"},
        "layers.0.W_in": {"from": "w", "pattern": "neuron (operand d) -> (operand d) neuron", "scale": 0.5},
        "unembed.W_U": "u",
    }}  # fmt: skip
    state = {"x": torch.ones(5, 3), "y": torch.zeros(5, 3), "w": torch.rand(4, 6), "u": torch.rand(4, 5)}
    mapped = Layout.from_table(table).read(state, FILE, own_shapes(experiment, FILE))
    assert torch.equal(mapped.state["embed.W_E"], torch.stack([state["x"], state["y"]]))
    assert torch.equal(mapped.state["layers.0.W_in"], state["w"].T * 0.5)
    assert mapped.sizes["operand"] == 2


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ({"from": "x", "patern": "a"}, r'weights."w".patern=a: unknown key'),
        ({"from": 3}, r'weights."w".from=3: must be a name, or a list of names'),
        ({"from": "x.{layer}"}, "must contain {layer} exactly if"),
        ({"pattern": "a -> b"}, r'weights."w".pattern=a -> b: has b on the right side only'),
        ({"pattern": "(q a) -> a"}, r'weights."w".part.q=none: must be an index, since the pattern drops this axis'),
        ({"pattern": "a", "part": {"b": 1}}, r'weights."w".part.b=1: must be an axis that the pattern names'),
        ({"pattern": "a", "part": {"a": 1}}, r"part.a=1: must be \[start, stop\], 0 <= start < stop"),
        ({"pattern": "a", "part": {"a": [3, 1]}}, r"part.a=\[3, 1\]: must be \[start, stop\]"),
        ({"pattern": "(q a) -> a", "part": {"q": -1}}, "part.q=-1: must be an index from 0"),
        ({"scale": 0}, r'weights."w".scale=0: must be a number other than 0'),
        ({"scale": float("nan")}, "scale=nan: must be a number"),
        ({"optional": "yes"}, "optional=yes: must be true or false"),
        (3, r'weights."w"=3: must be a name, or a table'),
    ],
)
def test_a_line_that_cannot_be(line, words):
    with pytest.raises(ConfigError, match=words):
        Layout.from_table({"weights": {"w": line}})


@pytest.mark.parametrize(
    ("weights", "state", "words"),
    [
        ({"w": "x"}, {"y": X}, "has no x; it has y"),
        ({"w": "x"}, {"x": X, "y": X}, "holds y, which no line of its layout names"),
        (
            {"w": {"from": "x", "pattern": "(a b) c"}},
            {"x": X},
            r"x: no shape determines the size of a; give it under \[axes\]",
        ),
        ({"w": {"from": "x", "pattern": "a"}}, {"x": X}, r"x has shape \(6, 4\), but its pattern names 1 axes"),
        ({"w": {"from": "x", "pattern": "a b", "part": {"b": [0, 9]}}}, {"x": X}, r"x has b=4; part requires \[0, 9\]"),
        ({"w": {"from": ["x", "y"]}}, {"x": X, "y": X[:2]}, r"shapes differ: x \(6, 4\), y \(2, 4\)"),
        ({"w": "x"}, {"x": X[:0]}, r"x has shape \(0, 4\): it is empty"),
        ({"w.{layer}": "x.{layer}"}, {"x.0": X, "x.2": X}, r"has no layers 0, 1, ... such as x.0; it has x.0, x.2"),
    ],
)
def test_a_file_that_does_not_fit_its_table(weights, state, words):
    with pytest.raises(ForeignFileError, match=words):
        Layout.from_table({"weights": weights}).read(state, FILE)


def test_the_model_says_what_a_weight_must_be():
    own = {"w": (4, 3)}
    table = Layout.from_table({"weights": {"w": {"from": "x", "pattern": "a b -> b a"}}})
    with pytest.raises(
        ForeignFileError, match=r"the model's w with shape \(4, 3\) contradicts a=6 \(x with shape \(6, 4\)\)"
    ):
        table.read({"x": X}, FILE, own)
    with pytest.raises(ForeignFileError, match="has w, but the model has only v"):
        table.read({"x": X}, FILE, {"v": (1,)})
    kept = Layout.from_table({"weights": {"w": {"from": "x", "pattern": "a b -> b a", "part": {"a": [0, 3]}}}})
    assert torch.equal(kept.read({"x": X}, FILE, own).state["w"], X[:3].T)
