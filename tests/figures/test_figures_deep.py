"""Figures of circuit, inside and landscape: planted values are what is drawn, whatever is missing."""

from collections.abc import Callable

import numpy as np
import pytest
import xarray as xr
from matplotlib.colors import to_hex
from matplotlib.figure import Figure

from grokinterp import figures
from grokinterp.figures.circuit import CIRCUIT_COLORS, verdicts
from grokinterp.figures.heatmaps import log_norm, short
from grokinterp.phases import Phase, learning_order
from grokinterp.report.sections import dataset
from grokinterp.runs.results import Results
from tests.support import report_data
from tests.support.deep_data import CIRCUITS, PARTS
from tests.support.figure_axes import is_color_bar, labeled, plots

PHASES = (Phase("memorization", 0, 155), Phase("circuit formation", 155, 3001))

DRAWN: dict[str, tuple[Callable[[xr.Dataset], Figure | None], tuple[str, ...]]] = {
    "circuit_verdict": (lambda data: figures.circuit_verdict(data, PHASES), ("circuit",)),
    "causal_evidence": (lambda data: figures.causal_evidence(data, PHASES), ("causal_evidence",)),
    "irrep_similarity": (lambda data: figures.irrep_similarity(data, PHASES), ("irrep_spectrum",)),
    "explained": (lambda data: figures.explained(data, PHASES), ("irrep_spectrum", "irrep_fve")),
    "idealized_network": (lambda data: figures.idealized_network(data, PHASES), ("idealized_network",)),
    "operand_power": (figures.operand_power, ("operand_spectrum",)),
    "cosets": (figures.cosets, ("coset_scores",)),
    "circles_alone": (figures.circles_alone, ("isolated_circles",)),
    "neuron_modes": (lambda data: figures.neuron_modes(data, PHASES), ("mode_families",)),
    "logit_modes": (lambda data: figures.logit_modes(data, PHASES), ("mode_families",)),
    "key_directions": (lambda data: figures.key_directions(data, PHASES), ("key_directions",)),
    "phase_alignment": (lambda data: figures.phase_alignment(data, PHASES), ("phase_alignment",)),
    "representations": (figures.representations, ("class_similarity", "frequency_probes")),
    "class_probes": (figures.class_probes, ("linear_probes",)),
    "activation_statistics": (figures.activation_statistics, ("activation_statistics",)),
    "class_matrix": (figures.class_matrix, ("class_matrix",)),
    "logit_attribution": (figures.logit_attribution, ("logit_attribution",)),
    "token_attribution": (lambda data: figures.token_attribution(data, PHASES), ("integrated_gradients",)),
    "ablation": (figures.ablation, ("head_ablation", "neuron_ablation")),
    "patching": (figures.patching, ("activation_patching",)),
    "grafts": (figures.grafts, ("grafts",)),
    "gradient_shares": (figures.gradient_shares, ("gradient_flow",)),
    "update_directions": (lambda data: figures.update_directions(data, PHASES), ("gradient_flow",)),
    "weight_decay_share": (lambda data: figures.weight_decay_share(data, PHASES), ("gradient_flow",)),
    "weight_distances": (lambda data: figures.weight_distances(data, PHASES), ("weight_path",)),
    "weight_directions": (lambda data: figures.weight_directions(data, PHASES), ("weight_path",)),
    "gradient_noise": (lambda data: figures.gradient_noise(data, PHASES), ("gradient_noise",)),
    "learning_coefficient": (
        lambda data: figures.learning_coefficient(data, PHASES), ("local_learning_coefficient",)),
    "learning_coefficient_traces": (figures.learning_coefficient_traces, ("local_learning_coefficient",)),
    "curvature": (lambda data: figures.curvature(data, PHASES), ("hessian_eigenvalues",)),
    "sharpness": (lambda data: figures.sharpness(data, PHASES), ("sharpness",)),
    "loss_barrier": (lambda data: figures.loss_barrier(data, PHASES), ("loss_line",)),
    "loss_lines": (figures.loss_lines, ("loss_line",)),
    "learning_order": (
        lambda data: figures.learning_order(learning_order(data), PHASES, last=3000), ("irrep_spectrum",)),
    "neuron_participation": (figures.neuron_participation, ("neuron_participation",)),
    "neuron_pruning": (figures.neuron_pruning, ("neuron_pruning",)),
    "faithful_subnetwork": (lambda data: figures.faithful_subnetwork(data, PHASES), ("faithful_subnetwork",)),
    "head_entropy": (figures.head_entropy, ("head_patterns",)),
    "head_correlation": (figures.head_correlation, ("head_patterns",)),
    "logit_bounds": (lambda data: figures.logit_bounds(data, PHASES), ("norm_bounds",)),
    "norm_products": (lambda data: figures.norm_products(data, PHASES), ("norm_bounds",)),
    "certified_accuracy": (lambda data: figures.certified_accuracy(data, PHASES), ("certified_accuracy",)),
}  # fmt: skip


@pytest.fixture(scope="module")
def results(tmp_path_factory) -> Results:
    return Results.open(report_data.write_run(tmp_path_factory.mktemp("runs") / "planted", deep=True, n_heads=4))


def drawn(results: Results, name: str) -> Figure:
    draw, analyses = DRAWN[name]
    figure = draw(dataset(results, *analyses))
    assert figure is not None
    return figure


@pytest.mark.parametrize("name", DRAWN)
def test_every_axis_is_labelled_and_nothing_leaves_the_figure(name, results):
    figure = drawn(results, name)
    figure.draw_without_rendering()
    for axes in plots(figure):
        assert is_color_bar(axes) or labeled(figure, axes, "x"), axes.get_title(loc="left")
        assert labeled(figure, axes, "y") or is_color_bar(axes), axes.get_title(loc="left")
        assert "[" in axes.get_ylabel() or not is_color_bar(axes)
    box, (width, height) = figure.get_tightbbox(), figure.get_size_inches()
    assert min(box.x0, box.y0) > -0.01
    assert box.x1 < width + 0.01
    assert box.y1 < height + 0.01


@pytest.mark.parametrize("name", DRAWN)
def test_nothing_is_drawn_from_nothing(name, results):
    draw, analyses = DRAWN[name]
    assert draw(xr.Dataset(coords={"step": np.array([], dtype=np.int64)})) is None
    assert draw(dataset(results, *analyses).isel(step=slice(0, 0))) is None


@pytest.mark.parametrize("name", DRAWN)
def test_one_checkpoint_and_values_that_are_not_finite(name, results):
    draw, analyses = DRAWN[name]
    data = dataset(results, *analyses)
    nan = data.map(lambda values: values.where(False) if values.dtype.kind == "f" else values)
    first = data.copy()
    first[{"step": 0}] = nan.isel(step=0)
    for changed in (data.isel(step=[-1]), first, nan):
        figure = draw(changed)
        assert figure is None or figure.draw_without_rendering() is None
    assert (draw(nan) is None) == (
        name not in {"circuit_verdict", "learning_coefficient", "operand_power", "cosets", "learning_order"}
    )


def test_a_single_checkpoint_has_bars_with_their_values(results):
    for name in ("causal_evidence", "gradient_shares", "circuit_verdict", "learning_coefficient"):
        draw, analyses = DRAWN[name]
        figure = draw(dataset(results, *analyses).isel(step=[-1]))
        figure.draw_without_rendering()
        axes = figure.axes[0]
        assert len(axes.patches) == len(axes.texts) == len(axes.get_yticklabels()), name
        assert axes.get_xlabel()
        assert axes.get_ylabel()
        box, (width, height) = figure.get_tightbbox(), figure.get_size_inches()
        assert min(box.x0, box.y0) > -0.01
        assert box.x1 < width + 0.01
        assert box.y1 < height + 0.01
    found = dataset(results, "causal_evidence").isel(step=[-1])
    values = [bar.get_width() for bar in figures.causal_evidence(found).axes[0].patches]
    names = ("causal_score", "necessity", "necessity_control", "sufficiency", "sufficiency_control")
    np.testing.assert_allclose(values, [float(found[name][0]) for name in names])


@pytest.mark.parametrize("name", ["grafts", "loss_lines", "loss_barrier", "weight_distances", "weight_directions"])
def test_one_checkpoint_has_no_way(name, results):
    draw, analyses = DRAWN[name]
    assert draw(dataset(results, *analyses).isel(step=[-1])) is None


def test_the_same_data_give_the_same_bytes(results):
    for name in ("circuit_verdict", "grafts"):
        assert figures.to_svg(drawn(results, name)) == figures.to_svg(drawn(results, name))


def test_the_strip_has_the_color_of_every_verdict(results):
    found = dataset(results, "circuit")
    names = verdicts(found)
    assert names[0] == "none"
    assert names[-1] == "clock"
    assert {"memorizer", "mixed"} < set(names)
    strip = drawn(results, "circuit_verdict").axes[0]
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
    found = dataset(results, "circuit")
    assert len(figures.circuit_verdict(found[["is_circuit"]]).axes) == 1


def test_neurons_are_counted_by_the_order_of_their_subgroup(results):
    axes = drawn(results, "cosets").axes[0]
    assert [text.get_text() for text in axes.get_xticklabels()] == ["none", "2", "6"]
    assert [bar.get_height() for bar in axes.patches] == [8, 8, 8, 12, 12, 0]


def test_only_key_representations_are_drawn_above_their_threshold(results):
    figure = drawn(results, "irrep_similarity")
    labels = [line.get_label() for line in figure.axes[0].lines]
    assert labels[:3] == ["rho_3", "rho_5", "highest threshold"]
    found = dataset(results, "irrep_spectrum")
    without = found.assign(is_key_irrep=found["is_key_irrep"] & False)
    assert len(figures.irrep_similarity(without).axes[0].lines) == 5  # the three largest, threshold, zero


def test_heatmaps_hold_what_was_measured(results):
    found = dataset(results, "grafts")
    axes = drawn(results, "grafts").axes
    np.testing.assert_allclose(axes[0].collections[0].get_array(), found["graft_loss"].transpose("part", "step").values)
    assert [text.get_text() for text in axes[0].get_yticklabels()] == list(PARTS)
    norms = [axes[i].collections[0].norm for i in (0, 2)]
    assert (norms[0].vmin, norms[0].vmax) == (norms[1].vmin, norms[1].vmax)


def test_patching_is_written_where_there_is_room(results):
    found = dataset(results, "activation_patching")["patching_effect"].isel(step=-1)
    texts = [text.get_text() for text in drawn(results, "patching").axes[0].texts]
    assert texts == [f"{value:.2f}".replace("-", "−") for value in found.values.reshape(-1)]


def test_diverged_chains_are_crosses_without_a_value(results):
    axes = drawn(results, "learning_coefficient").axes[0]
    found = dataset(results, "local_learning_coefficient")
    bad = found["step"].values[found["llc_diverged"].values]
    crosses = next(line for line in axes.lines if line.get_marker() == "x")
    assert list(crosses.get_xdata()) == list(bad)
    assert len(bad) > 0
    assert axes.get_ylim()[1] < 500


def test_gradient_shares_fill_the_plot_and_beyond_eight_parts_the_rest_is_one(results):
    found = dataset(results, "gradient_flow")
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
    found = dataset(results, "loss_line")
    figure = drawn(results, "loss_lines")
    labels = [text.get_text() for text in figure.axes[1].get_legend().get_texts()]
    assert labels == [f"step {step}" for step in found["step"].values]
    np.testing.assert_allclose(figure.axes[1].lines[0].get_ydata(), found["line_test_loss"].isel(step=0).values)
    without = found.assign(line_test_loss=found["line_test_loss"] * np.nan)
    assert len(figures.loss_lines(without).axes) == 1


def test_all_neurons_are_there_in_the_order_of_their_effect(results):
    axes = drawn(results, "ablation").axes
    effects = dataset(results, "neuron_ablation")["neuron_ablation_loss"].isel(step=-1).values
    np.testing.assert_allclose(axes[1].lines[0].get_ydata(), np.sort(effects)[::-1])
    assert [text.get_text() for text in axes[0].get_xticklabels()] == ["0.0", "0.1", "0.2", "0.3"]


def test_a_logarithmic_scale_has_few_decades_and_room_for_one_value():
    wide = log_norm(xr.DataArray([1e-30, 0.0, np.nan, 10.0]))
    assert wide.vmin == pytest.approx(1e-5)
    one = log_norm(xr.DataArray([2.0]))
    assert one.vmin < one.vmax
    assert len(short("a" * 60)) == 24


def test_chains_are_drawn_after_a_gray_burn_in(results):
    found = dataset(results, "local_learning_coefficient")
    axes = drawn(results, "learning_coefficient_traces").axes[0]
    shown = found["llc_trace"].isel(step=0)
    np.testing.assert_allclose(axes.lines[0].get_ydata(), shown.isel(chain=0).values)
    np.testing.assert_allclose(axes.lines[0].get_xdata(), found["stretch"].values * 250)
    assert axes.patches[0].get_bbox().x1 == 150


def test_checkpoints_that_are_not_converged_are_open(results):
    axes = drawn(results, "learning_coefficient").axes[0]
    found = dataset(results, "local_learning_coefficient")
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
