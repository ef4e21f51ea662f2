"""Reports describe each phase by numbers of this run, and mention nothing that was not measured in it."""

import numpy as np
import pytest

from grokinterp.report.meaning import meaning
from grokinterp.report.vocabulary import Vocabulary
from tests.support.curves import run
from tests.support.diagnosed import stuck, write


def meanings(results):
    return {phase.name: meaning(phase, results.history, results, Vocabulary()) for phase in results.history.phases}


def test_only_what_was_measured_is_reported(tmp_path):
    curves = meanings(write(tmp_path / "curves", run(), checkpoints=0))
    assert curves["memorization"].startswith(
        "The network learns the training examples. Train accuracy went from 0 to 1"
    )
    assert "Σθ² from" in curves["cleanup"]
    assert not any(word in text for text in curves.values() for word in ("circuit", "frequencies", "excluded", "decay"))
    measured = {"restricted_loss": [4.0, 3.0, 0.1]}
    texts = meanings(write(tmp_path / "measured", run(), measures=measured, checkpoints=0))
    assert texts == curves  # one checkpoint in a phase shows no change


def test_the_measures_of_a_phase_with_two_checkpoints(tmp_path):
    results = write(tmp_path / "run", stuck(), measures={"excluded_loss": [0.1, 0.2, 5.0]}, checkpoints=0)
    text = meanings(results)["circuit formation"]
    assert text.endswith("The excluded loss went from 0.2 to 5.")


@pytest.mark.parametrize(("end", "name"), [(0.2, "decline"), (0.99, "generalization")])
def test_a_decline_is_named(end, name, tmp_path):
    columns = run()
    columns["test_accuracy"] = np.where(columns["steps"] > 2600, end, columns["test_accuracy"])
    results = write(tmp_path / "run", columns, checkpoints=0)
    assert results.history.phases[-1].name == name
    assert ("The network loses what it learned" in meanings(results).get("decline", "")) == (name == "decline")
