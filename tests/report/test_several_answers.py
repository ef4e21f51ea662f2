"""The first screen of runs with several answers, and of runs on infinite data, states what its numbers refer to."""

import pytest

from grokinterp import Results, analyze, train
from grokinterp.experiment import Experiment, Optimization, Split
from grokinterp.models import TransformerSpec
from grokinterp.report.content import view_of
from grokinterp.report.summary import dated, learned
from grokinterp.report.task_words import trained_on
from grokinterp.report.timeline import timeline_caption
from grokinterp.runs.summary import final_measures, lines
from grokinterp.tasks import RepeatedSequence


@pytest.mark.parametrize("data", ["finite", "infinite"])
def test_the_numbers_of_all_answers_and_of_the_analyzed_one_are_distinguished(data, tmp_path):
    experiment = Experiment(
        task=RepeatedSequence(p=4, length=3, shortest=2, samples=40),
        model=TransformerSpec(d_model=8, n_heads=2, d_mlp=8),
        split=Split(fraction=0.5),
        optimization=Optimization(batch_size=10),
        steps=3,
        data=data,
    )
    analyze(train(experiment, tmp_path / "run", device="cpu"), only=["performance"], answer=0)
    view = view_of(Results.open(tmp_path / "run"))
    full, one = (f"{float(table['test_accuracy'][-1]):.3g}" for table in (view.results.metrics, view.results.dataset))
    sentences = learned(view)
    assert sentences[0].startswith("At the end, all 3 answers are correct in ")
    assert sentences[1].startswith("Answer 0, counted from 0, to which the analyses refer, is correct in ")
    assert f"{float(full) * 100:.3g} % of the test examples" in sentences[0]
    assert f"{float(one) * 100:.3g} % of the test examples that ask for it (chance: 25 %)" in sentences[1]
    final = final_measures(view.results)
    assert final["test_accuracy"] == float(view.results.metrics["test_accuracy"][-1])
    assert any(line.startswith("losses") and line.endswith(" (answer 0)") for line in lines(view.results))
    assert "refer to answer 0, counted from 0" in timeline_caption(view.results.metrics, view)
    sentence = trained_on(view.results, view.vocabulary)
    assert sentence == (
        " It trains on 50 % of the examples and is tested on the others."
        if data == "finite"
        else " It trains on new examples at every step and is tested on held-out examples."
    )
    first = dated(view)[0]
    assert first == (
        "It does not memorize its training examples within 3 steps."
        if data == "finite"
        else "Its train accuracy, on new examples, does not reach 0.99."
    )
