"""Every task with every model: it trains, every analysis is either there or says why not, and there is a report."""

from dataclasses import replace

import numpy as np
import pytest

from grokinterp.analysis import ANALYSES, analyze
from grokinterp.experiment import Experiment, Optimization, SaveAt, Split
from grokinterp.models import MODELS, MLPSpec, ModelSpec, RecursiveSpec, TransformerSpec
from grokinterp.report import write_report
from grokinterp.runs.results import Results
from grokinterp.runs.summary import lines as summary_lines
from grokinterp.tasks import TASKS, Table, Task
from grokinterp.training import train

SMALL_TASKS: dict[str, Task] = {
    "addition": TASKS["modular_addition"](p=7),
    "subtraction": TASKS["modular_subtraction"](p=7),
    "multiplication": TASKS["modular_multiplication"](p=7),
    "multiplication modulo 6": TASKS["modular_multiplication"](p=6),
    "division": TASKS["modular_division"](p=7),
    "polynomial": TASKS["polynomial"](p=5, expression="x^3+xy^2+y"),
    "S3": TASKS["group_composition"](group="S3"),
    "D4 the other way": TASKS["group_composition"](group="D4", convention="right_first"),
    "conjugation": TASKS["group_conjugation"](group="S3", form="xyx^-1"),
    "matrices": TASKS["matrix_multiplication"](n=2, p=2),
    "invertible matrices": TASKS["matrix_multiplication"](n=2, p=2, invertible=True),
    "recurrence": TASKS["linear_recurrence"](p=5, length=3),
    "periodic": TASKS["periodic_sequence"](p=3, periods=(2, 3), length=5),
    "formula": TASKS["boolean_formula"](n_variables=3, operators=("and", "xor")),
    "relations": TASKS["relation_composition"](n_entities=6, n_relations=3),
    "parity": TASKS["sparse_parity"](n_bits=6, k=2),
    "table": Table.from_array([[0, 1, 2], [1, 2, -1], [2, 0, 1]]),
    "composition": TASKS["composition"](outer=TASKS["modular_addition"](p=4), inner=TASKS["modular_addition"](p=4)),
}

SMALL_MODELS: dict[str, ModelSpec] = {
    "transformer": TransformerSpec(d_model=8, n_heads=2, d_mlp=12),
    "pooled": TransformerSpec(
        n_layers=2, d_model=8, n_heads=2, d_mlp=12, act_fn="gelu", read_at="mean", normalization="LN",
        norm_position="post", attention="bidirectional", biases=True,
    ),
    "mlp": MLPSpec(d_embed=6, hidden=(10,)),
    "one-hot mlp": MLPSpec(d_embed=None, embedding="shared", hidden=(9, 8), biases=True),
    "recursive": RecursiveSpec(d_model=8, d_mlp=12, n_latent=2, n_supervision=3),
}  # fmt: skip

WITHOUT_ATTENTION = {"attention_pattern", "attention_map", "attention_periodicity"}
CYCLIC = {"addition", "subtraction", "multiplication", "division"}
WITH_GROUP = {*CYCLIC, "S3", "D4 the other way", "invertible matrices"}
BY_FREQUENCY = {
    "embedding_spectrum", "embedding_circles", "neuron_logit_spectrum", "neuron_frequencies", "logit_spectrum",
    "progress_measures", "attention_periodicity",
}  # fmt: skip

DEPENDENT = {*BY_FREQUENCY, *WITHOUT_ATTENTION, "irrep_spectrum", "attention_map"} - {"embedding_circles"}
"""What is there or not by the task's group and operands and the model's attention, whatever has been learned."""

ALWAYS = {"performance", "circuit", "weight_path", "gradient_flow", "gradient_noise", "sharpness", "loss_line"}
ALWAYS |= {"class_similarity", "class_matrix", "linear_probes", "activation_statistics"}
ALWAYS |= {"neuron_ablation", "activation_patching", "grafts"}
"""What has a meaning for every task and model."""

PAIRS = [(task, model) for task in SMALL_TASKS for model in ("transformer", "mlp")]
PAIRS += [(task, model) for task in ("addition", "S3", "parity") for model in ("pooled", "one-hot mlp", "recursive")]


def small(task: str, model: str) -> Experiment:
    return Experiment(
        name="pair",
        task=SMALL_TASKS[task],
        model=SMALL_MODELS[model],
        split=Split(fraction=0.6),
        optimization=Optimization(lr=1e-2, weight_decay=0.1),
        save=SaveAt(every=4),
        steps=4,
        evaluate_every=2,
    )


def test_every_task_and_model_is_here():
    assert {task.kind for task in SMALL_TASKS.values()} == set(TASKS)
    assert {model.kind for model in SMALL_MODELS.values()} == set(MODELS)


@pytest.mark.usefixtures("quick", "brief")
@pytest.mark.parametrize(("task", "model"), PAIRS)
def test_a_pair_trains_is_analyzed_and_reported(task, model, tmp_path):
    experiment = small(task, model)
    assert Experiment.from_dict(experiment.to_dict()) == experiment
    results = analyze(train(experiment, tmp_path / "run"))
    there, missing = set(results.analyses), results.not_defined
    assert there.isdisjoint(missing)
    assert there | set(missing) == {analysis.__name__ for analysis in ANALYSES} - {"label_noise"}
    assert results.dataset["step"].values.tolist() == [0, 4]
    lacking = set() if experiment.model.kind == "transformer" else set(WITHOUT_ATTENTION)
    if task not in CYCLIC:
        lacking |= BY_FREQUENCY
    if task not in WITH_GROUP:
        lacking |= {"irrep_spectrum"}
    if experiment.task.n_ctx != 2 or not hasattr(experiment.task, "table"):
        lacking |= {"attention_map"}
    assert set(missing) & DEPENDENT == lacking & DEPENDENT
    assert there >= ALWAYS
    assert all("\n" not in why and len(why) > 10 for why in missing.values())
    for name in ("train_loss", "test_loss", "weight_norm", "class_cosine_between"):
        assert np.isfinite(results.dataset[name].values).all(), name
    page = write_report(tmp_path / "run", tmp_path / "report.html").read_text()
    assert experiment.task.kind in page
    assert all(line for line in summary_lines(results))


@pytest.mark.usefixtures("quick", "brief")
@pytest.mark.parametrize("model", SMALL_MODELS)
def test_label_noise_batches_validation_and_squared_error_on_every_model(model, tmp_path):
    experiment = replace(
        small("addition", model),
        split=Split(fraction=0.6, validation=0.1, stratified=True, label_noise=0.3),
        optimization=Optimization(lr=1e-2, weight_decay=0.1, batch_size=5, loss="mse", constrain_norm=True),
    )
    results = analyze(train(experiment, tmp_path / "run"))
    assert {"noisy_accuracy", "restored_accuracy", "restricted_loss"} <= set(results.dataset)
    assert {"validation_loss", "validation_accuracy", "noisy_accuracy"} <= set(results.metrics)
    assert Results.open(tmp_path / "run").history.verdict
    write_report(tmp_path / "run", tmp_path / "report.html")
