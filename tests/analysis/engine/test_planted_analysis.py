"""An analysis of another package, added to the table, is run, kept, labeled and described like our analyses."""

import sys
import textwrap
from importlib import import_module

import pytest

from grokinterp.analysis import ENTRIES, Entry, analyze, evaluate
from grokinterp.runs.datasets import read_analysis
from tests.support.small_runs import TINY, draw_checkpoints

ANALYSIS = '''
    from typing import NamedTuple

    import torch
    from jaxtyping import Float
    from torch import Tensor

    from grokinterp.runs.checkpoint import Checkpoint

    SIGNS = ("negative", "positive")
    AXES = {"sign": SIGNS, "residue": lambda setting: [10 * a for a in range(setting.task.p)]}


    class LogitBalance(NamedTuple):
        """How the logits are distributed over signs and residues.

        sign_share: share of the logits of each sign [1]
        residue_logit: mean logit of each class [nats]
        """

        sign_share: Float[Tensor, "sign"]
        residue_logit: Float[Tensor, "residue"]


    def logit_balance(checkpoint: Checkpoint) -> LogitBalance:
        """Return the share of negative and of positive
        logits.

        Both sum to 1.

        Source: Nanda et al. 2023, §4.1.
        """
        z = checkpoint.logits
        return LogitBalance(torch.stack([(z < 0).double().mean(), (z >= 0).double().mean()]), z.double().mean(0))
'''


@pytest.fixture
def planted(tmp_path, monkeypatch):
    """The module of the analysis."""
    (tmp_path / "planted_analyses.py").write_text(textwrap.dedent(ANALYSIS))
    monkeypatch.syspath_prepend(tmp_path)
    yield import_module("planted_analyses")
    del sys.modules["planted_analyses"]


def test_a_planted_analysis_has_its_file_with_coordinates_and_words(planted, tmp_path):
    run = draw_checkpoints(tmp_path / "run")
    entries = (*ENTRIES, Entry(planted.logit_balance, title="Balance of the logits"))
    results = analyze(run, only=["logit_balance", "performance"], entries=entries)
    found = read_analysis(run.path, "logit_balance")
    assert found["sign"].values.tolist() == ["negative", "positive"]
    assert found["residue"].values.tolist() == [10 * a for a in range(TINY.task.p)]
    assert found["step"].values.tolist() == [0, 10, 20]
    assert found["sign_share"].sum("sign").values.tolist() == [1, 1, 1]
    labels = {"long_name": "sign share", "description": "share of the logits of each sign", "units": "1"}
    assert found["sign_share"].attrs == labels
    words = {name: found.attrs[name] for name in ("title", "about", "source")}
    assert words == {
        "title": "Balance of the logits",
        "about": "Return the share of negative and of positive logits.\n\nBoth sum to 1.",
        "source": "Nanda et al. 2023, §4.1.",
    }
    assert {"logit_balance", "performance"} <= set(results.analyses)


def test_evaluate_gives_the_same_with_the_words_of_a_single_analysis(planted, tmp_path):
    run = draw_checkpoints(tmp_path / "run")
    found = evaluate(planted.logit_balance, run)
    assert (found.attrs["title"], found.attrs["source"]) == ("Logit balance", "Nanda et al. 2023, §4.1.")
    assert found["sign"].values.tolist() == ["negative", "positive"]


def test_its_results_are_computed_again_when_its_file_changes(planted, tmp_path):
    run = draw_checkpoints(tmp_path / "run")
    analyze(run, entries=[Entry(planted.logit_balance)])
    before = (run.path / "analysis" / "logit_balance.nc").stat().st_mtime_ns
    analyze(run, entries=[Entry(planted.logit_balance)])
    assert (run.path / "analysis" / "logit_balance.nc").stat().st_mtime_ns == before
    prints = read_analysis(run.path, "logit_balance").attrs["fingerprint"]
    (tmp_path / "planted_analyses.py").write_text(textwrap.dedent(ANALYSIS) + "\nSIGNS = SIGNS[::-1]\n")
    analyze(run, entries=[Entry(planted.logit_balance)])
    assert read_analysis(run.path, "logit_balance").attrs["fingerprint"] != prints
