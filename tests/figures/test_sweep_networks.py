"""Figures of the networks of many runs: what is drawn where, from plain arrays."""

import numpy as np
import pytest

from grokinterp.figures.style import to_svg
from grokinterp.figures.sweeps.networks import (
    LEAST_LOSS,
    ClassCount,
    KeySets,
    Landscape,
    class_counts,
    key_sets,
    norm_landscape,
)

NAN = np.nan
SMALL = KeySets("p 5", ["0", "1"], np.array([[0.5, NAN], [NAN, 0.4]]), np.array([[0.5, NAN], [0.4, NAN]]), ["1", "1"])
LARGE = KeySets("p 7", ["0"], np.array([[NAN, 0.2, 0.3]]), np.array([[0.2, NAN, 0.3]]), ["1"])


def cells(axes) -> np.ndarray:
    """The drawn values, NaN where nothing is drawn; the mesh of the keys lies above that of the existing labels."""
    mesh = axes.collections[-1].get_array()
    return np.ma.filled(mesh.astype(float), NAN).reshape(-1, 3)


def drawn(**settings):
    texts = {"axis": "frequency k", "title": "Keys", "relabeled": "Up to k → uk"}
    return key_sets([SMALL, LARGE], ["1", "2", "3"], **{**texts, **settings})


def test_every_network_has_a_row_below_the_name_of_its_setting():
    figure = drawn()
    left, right, _ = figure.axes
    nothing = [NAN] * 3
    rows = [nothing, [0.5, NAN, NAN], [NAN, 0.4, NAN], nothing, [NAN, 0.2, 0.3]]
    assert np.array_equal(cells(left), rows, equal_nan=True)
    assert cells(right)[2].tolist()[0] == 0.4
    assert [text.get_text() for text in left.texts] == ["p 5", "p 7"]
    assert [text.get_text() for text in right.texts] == ["class", "1", "1", "class", "1"]
    assert [label.get_text() for label in left.get_yticklabels()] == ["0", "1", "0"]
    assert left.get_ylim() == (5, 0)


def test_labels_that_a_setting_does_not_have_stay_white():
    exists = drawn().axes[0].collections[0].get_array().reshape(-1, 3)
    assert (~np.ma.getmaskarray(exists)).tolist() == [
        [False] * 3, [True, True, False], [True, True, False], [False] * 3, [True] * 3,
    ]  # fmt: skip


def test_without_relabelings_there_is_one_side():
    plain = [one._replace(relabeled=None) for one in (SMALL, LARGE)]
    figure = key_sets(plain, ["a", "b", "c"], axis="representation", title="Keys", relabeled="none")
    assert len(figure.axes) == 2
    assert figure.axes[0].texts[-1].get_text() == "1"


def test_the_number_of_classes_stands_beside_that_of_random_sets():
    figure = class_counts([ClassCount("p 23: 12 networks", 3, 8.5, 6, 11, "p = 0.001")])
    interval, expected, found = (list(line.get_xdata()) for line in figure.axes[0].lines)
    assert (interval, expected, found) == ([6, 11], [8.5, 8.5], [3])
    assert figure.axes[0].texts[0].get_text() == "p = 0.001"


LANDSCAPE = Landscape(
    "p 23",
    norm=np.array([5.0, 5.1, 20.0, 20.2]),
    scale=np.array([1.0, 1.0, 4.0, 4.0]),
    train_loss=np.array([1.0, 3.0, 0.0, 1e-4]),
    test_loss=np.array([2.0, 4.0, 8.0, 10.0]),
    train_accuracy=np.array([0.5, 0.7, 1.0, 1.0]),
    test_accuracy=np.array([0.4, 0.6, 0.0, 0.2]),
)


def test_losses_are_drawn_over_the_norm_with_their_medians():
    figure = norm_landscape([LANDSCAPE, LANDSCAPE._replace(name="p 29")], unit="nats")
    loss, accuracy = figure.axes[:2]
    assert loss.get_title(loc="left") == "Loss at fixed norm: p 23"
    assert (loss.get_xscale(), loss.get_yscale(), accuracy.get_yscale()) == ("log", "log", "linear")
    runs, median = (line.get_xydata() for line in loss.lines[:2])
    assert runs[2].tolist() == [20.0, LEAST_LOSS]
    assert median == pytest.approx(np.array([[5.05, 2.0], [20.1, (LEAST_LOSS + 1e-4) / 2]]))
    assert accuracy.lines[3].get_ydata().tolist() == pytest.approx([0.5, 0.1])
    assert len(figure.axes) == 4


def test_equal_figures_give_equal_bytes():
    assert to_svg(drawn()) == to_svg(drawn())
