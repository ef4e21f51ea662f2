"""The benchmark of different circuits and of losses at fixed norms: planted networks, and a toy run of the script."""

import pytest

from benchmarks import universality
from grokinterp.sweeps.entry import Entry
from tests.support.planted_networks import BASE, measure, write


def test_a_row_counts_the_networks_that_generalized(tmp_path):
    entries = []
    for seed, keys in enumerate(({1, 2, 3}, {2, 4, 6}, {1, 3, 6})):  # the second is 2 · the first
        experiment = BASE.changed({"seed": seed})
        entries.append(Entry(write(tmp_path, experiment), experiment))
        measure(entries[-1].directory, keys)
    memorizing = BASE.changed({"seed": 3})
    entries.append(Entry(write(tmp_path, memorizing, grokked=False), memorizing))
    name, networks, generalized, keys, classes, by_chance, p = universality.row("planted", entries)
    assert (name, networks, generalized, keys, classes) == ("planted", "4", "3", "3", "2")
    assert by_chance == "2.9 [2, 3]"
    assert 0.05 < float(p) < 0.15


def test_norms_have_the_medians_of_their_seeds(tmp_path):
    entries = []
    for seed, loss in enumerate((1.0, 2.0, 6.0)):
        experiment = BASE.changed({"seed": seed, "optimization.init_scale": 2.0})
        entries.append(Entry(write(tmp_path, experiment, norm=16.0, test_loss=loss), experiment))
    assert list(universality.norm_rows(entries)) == [["4.0", "2", "0.1", "2", "1.00", "1.00"]]


@pytest.mark.slow
def test_the_script_trains_analyzes_and_prints(tmp_path, capsys):
    universality.main(["--small", "--out", str(tmp_path)])
    out = capsys.readouterr().out
    assert "| ReLU MLP, x · y in S4 | 2 |" in out
    assert out.count("\n| ") == 7
