"""Figures of circuit, inside and landscape draw the planted values, also if others are missing."""

import numpy as np
import pytest
import xarray as xr
from matplotlib.colors import to_hex

from grokinterp import figures
from grokinterp.figures.circuit.verdict import CIRCUIT_COLORS, verdicts
from grokinterp.figures.heatmaps import log_norm, short
from grokinterp.phases import Phase
from grokinterp.runs.results import Results
from tests.support import report_data
from tests.support.deep_data import CIRCUITS, PARTS
from tests.support.figure_axes import assert_nothing_leaves

PHASES = (Phase("memorization", 0, 155), Phase("circuit formation", 155, 3001))


@pytest.fixture(scope="module")
def results(tmp_path_factory) -> Results:
    return Results.open(report_data.write_run(tmp_path_factory.mktemp("runs") / "planted", deep=True, n_heads=4))


def test_a_single_checkpoint_has_bars_with_their_values(results):
    drawings = {
        "causal_evidence": figures.causal_evidence, "gradient_flow": figures.gradient_shares,
        "circuit_verdict": figures.circuit_verdict, "local_learning_coefficient": figures.learning_coefficient,
    }  # fmt: skip
    for name, draw in drawings.items():
        figure = draw(results.joined(name).isel(step=[-1]))
        assert_nothing_leaves(figure)
        axes = figure.axes[0]
        assert len(axes.patches) == len(axes.texts) == len(axes.get_yticklabels()), name
        assert axes.get_xlabel()
        assert axes.get_ylabel()
    found = results.joined("causal_evidence").isel(step=[-1])
    values = [bar.get_width() for bar in figures.causal_evidence(found).axes[0].patches]
    names = ("causal_score", "necessity", "necessity_control", "sufficiency", "sufficiency_control")
    np.testing.assert_allclose(values, [float(found[name][0]) for name in names])


def test_the_strip_has_the_color_of_every_verdict(results):
    found = results.joined("circuit_verdict")
    names = verdicts(found)
    assert names[0] == "none"
    assert names[-1] == "clock"
    assert {"memorizer", "mixed"} < set(names)
    strip = figures.circuit_verdict(results.joined("circuit_verdict")).axes[0]
    bands = [
        (to_hex(patch.get_facecolor()), patch.get_x(), patch.get_x() + patch.get_width()) for patch in strip.patches
    ]
    for step, name in zip(found["step"].values, names, strict=True):
        inside = [color for color, left, right in bands if left <= step < right or step == right == 3000]
        assert inside == [CIRCUIT_COLORS[name]]
    assert {text.get_text() for text in strip.get_legend().get_texts()} == set(names)


def test_every_circuit_has_a_color():
    assert set(CIRCUIT_COLORS) == set(CIRCUITS)


def test_a_circuit_without_evidence_is_a_strip_alone(results):
    found = results.joined("circuit_verdict")
    assert len(figures.circuit_verdict(found[["is_circuit"]]).axes) == 1


def test_neurons_are_counted_by_the_order_of_their_subgroup(results):
    axes = figures.cosets(results.joined("coset_scores")).axes[0]
    assert [text.get_text() for text in axes.get_xticklabels()] == ["none", "2", "6"]
    assert [bar.get_height() for bar in axes.patches] == [8, 8, 8, 12, 12, 0]


def test_only_key_representations_are_drawn_above_their_threshold(results):
    figure = figures.irrep_similarity(results.joined("irrep_spectrum"))
    labels = [line.get_label() for line in figure.axes[0].lines]
    assert labels[:3] == ["rho_3", "rho_5", "highest threshold"]
    found = results.joined("irrep_spectrum")
    without = found.assign(is_key_irrep=found["is_key_irrep"] & False)
    assert len(figures.irrep_similarity(without).axes[0].lines) == 5  # the three largest, threshold, zero


def test_heatmaps_hold_what_was_measured(results):
    found = results.joined("grafts")
    axes = figures.grafts(results.joined("grafts")).axes
    np.testing.assert_allclose(axes[0].collections[0].get_array(), found["graft_loss"].transpose("part", "step").values)
    assert [text.get_text() for text in axes[0].get_yticklabels()] == [name.removeprefix("blocks.") for name in PARTS]
    norms = [axes[i].collections[0].norm for i in (0, 2)]
    assert (norms[0].vmin, norms[0].vmax) == (norms[1].vmin, norms[1].vmax)


def test_patching_is_written_where_there_is_room(results):
    found = results.joined("activation_patching")["patching_effect"].isel(step=-1)
    texts = [text.get_text() for text in figures.patching(results.joined("activation_patching")).axes[0].texts]
    assert texts == [f"{value:.2f}".replace("-", "−") for value in found.values.reshape(-1)]


def test_diverged_chains_are_crosses_without_a_value(results):
    axes = figures.learning_coefficient(results.joined("local_learning_coefficient")).axes[0]
    found = results.joined("local_learning_coefficient")
    bad = found["step"].values[found["llc_diverged"].values]
    crosses = next(line for line in axes.lines if line.get_marker() == "x")
    assert list(crosses.get_xdata()) == list(bad)
    assert len(bad) > 0
    assert axes.get_ylim()[1] < 500


def test_gradient_shares_fill_the_plot_and_beyond_eight_parts_the_rest_is_one(results):
    found = results.joined("gradient_flow")
    shares = np.tile(found["gradient_share_of_layer"].values, 6)[:, :27]
    many = xr.Dataset(
        {"gradient_share_of_layer": (("step", "part"), shares / shares.sum(1, keepdims=True))},
        {"step": found["step"], "part": [f"blocks.{i}.mlp" for i in range(27)]},
    )
    axes = figures.gradient_shares(many).axes[0]
    assert [one.get_label() for one in axes.collections][-1] == "all others"
    assert len(axes.collections) == 9
    top = axes.collections[-1].get_paths()[0].vertices[:, 1].max()
    np.testing.assert_allclose(top, 1)


def test_a_line_for_each_of_few_checkpoints(results):
    found = results.joined("loss_line")
    figure = figures.loss_lines(results.joined("loss_line"))
    labels = [text.get_text() for text in figure.axes[1].get_legend().get_texts()]
    assert labels == [f"step {step}" for step in found["step"].values]
    np.testing.assert_allclose(figure.axes[1].lines[0].get_ydata(), found["line_test_loss"].isel(step=0).values)
    without = found.assign(line_test_loss=found["line_test_loss"] * np.nan)
    assert len(figures.loss_lines(without).axes) == 1


def test_all_neurons_are_there_in_the_order_of_their_effect(results):
    axes = figures.ablation(results.joined("head_ablation", "neuron_ablation")).axes
    effects = results.joined("neuron_ablation")["neuron_ablation_loss"].isel(step=-1).values
    np.testing.assert_allclose(axes[1].lines[0].get_ydata(), np.sort(effects)[::-1])
    assert [text.get_text() for text in axes[0].get_xticklabels()] == ["0.0", "0.1", "0.2", "0.3"]


def test_a_logarithmic_scale_has_few_decades_and_room_for_one_value():
    wide = log_norm(xr.DataArray([1e-30, 0.0, np.nan, 10.0]))
    assert wide.vmin == pytest.approx(1e-5)
    one = log_norm(xr.DataArray([2.0]))
    assert one.vmin < one.vmax
    assert len(short("a" * 60)) == 24


def test_chains_are_drawn_after_a_gray_burn_in(results):
    found = results.joined("local_learning_coefficient")
    axes = figures.learning_coefficient_traces(results.joined("local_learning_coefficient")).axes[0]
    shown = found["llc_trace"].isel(step=0)
    np.testing.assert_allclose(axes.lines[0].get_ydata(), shown.isel(chain=0).values)
    np.testing.assert_allclose(axes.lines[0].get_xdata(), found["stretch"].values * 250)
    assert axes.patches[0].get_bbox().x1 == 150


def test_checkpoints_that_are_not_converged_are_open(results):
    axes = figures.learning_coefficient(results.joined("local_learning_coefficient")).axes[0]
    found = results.joined("local_learning_coefficient")
    closed, unsettled = (container.lines[0] for container in axes.containers)
    settled = found["llc_converged"].values.astype(bool)
    unsettled_steps = found["step"].values[~settled & ~found["llc_diverged"].values.astype(bool)]
    assert list(closed.get_xdata()) == list(found["step"].values[settled])
    assert list(unsettled.get_xdata()) == list(unsettled_steps)
    assert unsettled.get_markerfacecolor() == "white"


def calibration() -> xr.Dataset:
    """A map on which a large step diverges and a small one does not converge."""
    shape = (2, 3, 2)
    llc = np.arange(12.0).reshape(shape) * 10
    llc[:, :, 1] = np.nan
    dims = ("inverse_temperature", "localization", "step_size")
    variables = {"llc": llc, "llc_converged": np.isfinite(llc) & (llc > 0), "llc_diverged": np.isnan(llc)}
    axes = {"inverse_temperature": [70.0, 230.0], "localization": [1.0, 10.0, 100.0], "step_size": [1e-5, 1e-3]}
    return xr.Dataset({name: (dims, values) for name, values in variables.items()}, axes)


def test_a_calibration_is_a_map_for_each_temperature():
    data = calibration()
    figure = figures.llc_calibration(data)
    maps = [axes for axes in figure.axes if axes.get_title(loc="left")]
    assert [axes.get_title(loc="left") for axes in maps] == ["nβ = 70", "nβ = 230"]
    texts = [text.get_text() for text in maps[0].texts]
    assert texts == ["(0)", "×", "20", "×", "40", "×"]
    figure.draw_without_rendering()
    box, (width, height) = figure.get_tightbbox(), figure.get_size_inches()
    assert min(box.x0, box.y0) > -0.01
    assert box.x1 < width + 0.01
    assert box.y1 < height + 0.01
    diverged = data.assign(llc=data["llc"].where(False))
    assert {text.get_text() for text in figures.llc_calibration(diverged).axes[0].texts} == {"×"}
