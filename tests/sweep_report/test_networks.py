"""The chapter on the networks, from planted run directories: key sets, different circuits, losses at fixed norms."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure

from grokinterp.sweep_report import networks
from grokinterp.sweep_report.circuits import circuits_of
from grokinterp.sweep_report.norms import landscapes_of
from grokinterp.sweep_report.plate import Absent, Plate
from grokinterp.sweep_report.study import Study, studies
from grokinterp.sweeps.database import open_db
from grokinterp.sweeps.ingest import build_db
from grokinterp.tasks import GroupComposition
from tests.support.figure_axes import assert_labeled, assert_nothing_leaves
from tests.support.planted_networks import BASE, P, measure, write


def multiplied(keys: set[int], u: int) -> set[int]:
    return {min(u * k % P, -u * k % P) for k in keys}


def drawn(plate: Plate, study: Study) -> Figure:
    """The figure of a plate, which follows the laws of figures."""
    figure = plate.draw(study)
    assert isinstance(figure, Figure)
    assert_labeled(figure)
    assert_nothing_leaves(figure)
    assert plate.text(study).endswith(".")
    return figure


def study_of(folder: Path) -> Study:
    build_db(folder, folder / "runs.db")
    (found,) = studies(open_db(folder / "runs.db"), folder)
    return found


@pytest.fixture
def planted(tmp_path) -> Study:
    """Six networks with the same circuit up to k → uk, one with another, and three that cannot be compared."""
    for seed in range(6):
        measure(write(tmp_path, BASE.changed({"seed": seed})), multiplied({1, 4, 6, 11}, seed + 2))
    measure(write(tmp_path, BASE.changed({"seed": 6})), {1, 2, 3, 4})
    measure(write(tmp_path, BASE.changed({"seed": 7})), {1, 2, 3, 4}, step=200)
    write(tmp_path, BASE.changed({"seed": 8}))
    measure(write(tmp_path, BASE.changed({"seed": 9}), grokked=False), {1, 2})
    return study_of(tmp_path)


def test_networks_with_the_same_circuit_are_one_class(planted):
    found = circuits_of(planted)
    (setting,) = found.settings
    assert (setting.group, setting.seeds, setting.sizes) == ("C31", tuple("0123456"), "4")
    assert setting.classes.tolist() == [0, 0, 0, 0, 0, 0, 1]
    assert found.left_out == {"not measured at their last checkpoint": 1, "not measured": 1}
    p = setting.by_chance.at_most(2)
    assert 0 < p < 1e-6


def test_the_chapter_shows_classes_keys_and_what_is_left_out(planted):
    keys, classes, landscape = networks.PLATES
    left, right, _ = drawn(keys, planted).axes
    assert left.texts[0].get_text() == "all runs"
    assert [text.get_text() for text in right.texts] == ["class", *"1111112"]
    same = np.ma.filled(right.collections[-1].get_array().astype(float), np.nan).reshape(-1, P // 2)[1:7]
    assert np.array_equal(same, np.broadcast_to(same[:1], same.shape), equal_nan=True)
    assert "Left out: 1 not measured at their last checkpoint and 1 not measured." in keys.text(planted)
    assert drawn(classes, planted).axes[0].lines[2].get_xdata().tolist() == [2]
    assert networks.table(planted).rows[0][:5] == ("all runs", "C31", "7", "4", "2")
    assert landscape.draw(planted) == Absent("no run kept its norm, see optimization.constrain_norm")
    (sentence,) = networks.findings(planted)
    assert sentence.startswith("all runs: 7 networks have 2 different circuits up to k → uk;")


def test_of_many_settings_those_with_most_networks_are_drawn(planted):
    found = circuits_of(planted)
    (setting,) = found.settings
    small = setting._replace(name="small", seeds=("0",), is_key=setting.is_key[:1], similarity=setting.similarity[:1])
    shown = networks.shown_of(found._replace(settings=[*[small] * 100, setting]))
    assert (len(shown), shown[-1]) == (57, setting)  # 8 rows, and 56 settings of 2 rows
    assert networks.with_most([*[small] * 100, setting])[-1] == setting
    assert len(networks.with_most([small] * 100)) == networks.MOST_SETTINGS


def test_without_measurements_the_reason_names_the_command(tmp_path):
    write(tmp_path, BASE)
    study = study_of(tmp_path)
    keys, classes, _ = networks.PLATES
    assert keys.draw(study) == classes.draw(study)
    assert "grokinterp analyze FOLDER --only irrep_spectrum --last" in keys.draw(study).why
    assert networks.table(study) is None
    assert networks.findings(study) == []


def test_networks_that_use_every_frequency_are_no_finding(tmp_path):
    for seed in range(3):
        measure(write(tmp_path, BASE.changed({"seed": seed})), set(range(1, 16)))
    study = study_of(tmp_path)
    assert networks.table(study).rows[0][-1] == "1"
    assert networks.findings(study) == []


def test_representations_of_other_groups_are_compared_as_they_are(tmp_path):
    labels = ("standard", "(2,2)", "standard_sign", "sign")
    base = replace(BASE, task=GroupComposition(group="S4"))
    for seed, keys in enumerate(({1}, {1}, {1, 3})):
        measure(write(tmp_path, base.changed({"seed": seed})), keys, labels=labels)
    study = study_of(tmp_path)
    (setting,) = circuits_of(study).settings
    assert (setting.group, setting.is_cyclic, setting.classes.tolist()) == ("S4", False, [0, 0, 1])
    figure = drawn(networks.PLATES[0], study)
    assert len(figure.axes) == 2  # one side, and the color bar
    assert [label.get_text() for label in figure.axes[0].get_xticklabels()] == list(labels)
    assert "have the same set." in networks.PLATES[0].text(study)


def test_damaged_results_are_left_out_and_counted(tmp_path):
    run = write(tmp_path, BASE)
    (run / "analysis").mkdir()
    (run / "analysis" / "irrep_spectrum.nc").write_bytes(b"no netCDF")
    assert circuits_of(study_of(tmp_path)).left_out == {"damaged": 1}


def test_the_landscape_has_the_norms_losses_and_the_zone_where_networks_generalize(tmp_path):
    kept = BASE.changed({"optimization.constrain_norm": True, "optimization.weight_decay": 0.0})
    for seed in range(2):
        for scale, loss in ((0.5, 3.0), (1.0, 0.1), (2.0, 9.0)):
            of = kept.changed({"seed": seed, "optimization.init_scale": scale})
            write(tmp_path, of, grokked=scale == 1, norm=(10 * scale + seed) ** 2, test_loss=loss + seed)
    study = study_of(tmp_path)
    found = landscapes_of(study)
    assert (found.unit, found.not_drawn, len(found.drawn)) == ("nats", 0, 1)
    assert sorted(found.drawn[0].norm) == [5, 6, 10, 11, 20, 21]
    (sentence,) = networks.findings(study)
    assert "median test loss is lowest at ‖θ‖ = 10.5, 1 times the usual initial norm" in sentence
    assert sentence.endswith("the median test accuracy reaches 95 % at ‖θ‖ = 10.5 only.")
    figure = drawn(networks.PLATES[2], study)
    assert figure.axes[0].lines[3].get_xydata() == pytest.approx(np.array([[5.5, 3.5], [10.5, 0.6], [20.5, 9.5]]))
