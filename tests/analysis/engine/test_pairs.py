"""Every task with every model: it trains, every analysis has a result or a reason, and there is a report."""

from dataclasses import replace

import numpy as np
import pytest

from grokinterp.analysis import ENTRIES
from grokinterp.experiment import Experiment, Optimization, SaveAt, Split
from grokinterp.experiment.problem import Problem
from grokinterp.models import MODELS
from grokinterp.report import render
from grokinterp.report.chapters import CHAPTERS
from grokinterp.runs.results import Results
from grokinterp.runs.summary import lines as summary_lines
from grokinterp.training import train
from tests.cases.analyses import analyze_briefly
from tests.cases.models import MODEL_SPECS
from tests.cases.tasks import TASKS
from tests.support.report_page import UNDRAWN

pytestmark = pytest.mark.slow

MODEL_OF = {
    "transformer": MODEL_SPECS["one layer"],
    "pooled": MODEL_SPECS["boundaries"],
    "mlp": MODEL_SPECS["mlp, embedded"],
    "one-hot mlp": MODEL_SPECS["mlp, deep"],
    "recursive": MODEL_SPECS["recursive"],
}

WITHOUT_ATTENTION = {"attention_pattern", "attention_map", "attention_periodicity"}
CYCLIC = {"addition", "subtraction", "multiplication", "division", "ambiguous"}
MORE_OPERANDS = {"sum of three", "sampled sum", "product of three", "operators"}
"""Tasks whose answers are products in a cyclic group, of more than two operands or of several operators."""
WITH_GROUP = {*CYCLIC, *MORE_OPERANDS, "S3", "three of S3", "D4 the other way", "invertible matrices"}
BY_FREQUENCY = {
    "embedding_spectrum", "embedding_circles", "neuron_logit_spectrum", "neuron_frequencies", "logit_spectrum",
    "progress_measures", "attention_periodicity",
}  # fmt: skip
BY_PAIR = {"neuron_frequencies", "attention_periodicity"}
"""Those of them that need a grid of two operands."""

DEPENDENT = {*BY_FREQUENCY, *WITHOUT_ATTENTION, "irrep_spectrum", "attention_map"} - {"embedding_circles"}
"""Analyses whose definition depends on the task's group and operands and on attention, not on what was learned."""

ALWAYS = {"performance", "circuit_verdict", "weight_path", "gradient_flow", "gradient_noise", "sharpness", "loss_line"}
ALWAYS |= {"class_similarity", "class_matrix", "linear_probes", "activation_statistics"}
ALWAYS |= {"neuron_ablation", "activation_patching", "grafts"}
"""Analyses that are defined for every task and model."""

LIKE_OTHERS = {"digits, lowest first", "copy", "reverse", "place of maximum", "repeated"}
"""Tasks that differ from another task of the table in their labels or their examples only."""

PAIRS = [(task, "transformer") for task in TASKS if task not in LIKE_OTHERS]
PAIRS += [(task, "mlp") for task in ("addition", "S3", "parity", "table", "sum of three", "operators", "ambiguous")]
PAIRS += [(task, model) for task in ("addition", "parity") for model in ("pooled", "one-hot mlp", "recursive")]

DRAWN = {("S3", "transformer"), ("composition", "transformer"), ("parity", "transformer"), ("table", "transformer")}
DRAWN |= {("addition", model) for model in MODEL_OF}
"""Reports with figures, which take most of the time: a task of every kind, and every model."""

OTHER_SHAPES = ("digits", "sort", "repeated, sampled", "brackets", "sum of three", "operators", "ambiguous")
REPORTED = {*DRAWN, *((task, "transformer") for task in OTHER_SHAPES)}
"""Pairs with a report: those with figures, and tasks of several answers, operands, operators, or groups."""


def small(task: str, model: str) -> Experiment:
    return Experiment(
        name="pair",
        task=TASKS[task],
        model=MODEL_OF[model],
        split=Split(fraction=0.6),
        optimization=Optimization(lr=1e-2, weight_decay=0.1),
        save=SaveAt(every=4),
        steps=4,
        evaluate_every=2,
    )


def test_every_kind_of_model_is_here():
    assert {model.kind for model in MODEL_OF.values()} == set(MODELS)


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize(("task", "model"), PAIRS)
def test_a_pair_trains_is_analyzed_and_reported(task, model, tmp_path):
    experiment = small(task, model)
    assert Experiment.from_dict(experiment.to_dict()) == experiment
    results = analyze_briefly(train(experiment, tmp_path / "run"))
    problem = Problem.of(experiment).at_answer()
    there, missing = set(results.analyses), results.not_defined
    assert there.isdisjoint(missing)
    assert there | set(missing) == {entry.name for entry in ENTRIES if entry.where is None or entry.where(problem)}
    assert results.dataset["step"].values.tolist() == [0, 4]
    lacking = set() if experiment.model.kind == "transformer" else set(WITHOUT_ATTENTION)
    if task not in CYCLIC:
        lacking |= BY_PAIR if task in MORE_OPERANDS else BY_FREQUENCY
    if task not in WITH_GROUP:
        lacking |= {"irrep_spectrum"}
    if experiment.task.n_ctx != 2 or not hasattr(experiment.task, "table"):
        lacking |= {"attention_map"}
    assert set(missing) & DEPENDENT == lacking & DEPENDENT
    assert there >= ALWAYS
    assert all("\n" not in why and len(why) > 10 for why in missing.values())
    for name in ("train_loss", "test_loss", "weight_norm", "class_cosine_between"):
        assert np.isfinite(results.dataset[name].values).all(), name
    if (task, model) in REPORTED:
        page = render(results, CHAPTERS if (task, model) in DRAWN else UNDRAWN)
        assert experiment.task.kind in page
    assert all(line for line in summary_lines(results))


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("model", ["transformer", "mlp"])
def test_label_noise_batches_validation_and_squared_error(model, tmp_path):
    experiment = replace(
        small("addition", model),
        split=Split(fraction=0.6, validation=0.1, stratified=True, label_noise=0.3),
        optimization=Optimization(lr=1e-2, weight_decay=0.1, batch_size=5, loss="mse", constrain_norm=True),
    )
    results = analyze_briefly(train(experiment, tmp_path / "run"))
    assert {"noisy_accuracy", "restored_accuracy", "restricted_loss"} <= set(results.dataset)
    assert {"validation_loss", "validation_accuracy", "noisy_accuracy"} <= set(results.metrics)
    assert Results.open(tmp_path / "run").history.verdict
