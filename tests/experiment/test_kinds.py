"""Tasks and models by their kind: overrides, defaults, refusals."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from grokinterp.errors import ConfigError
from grokinterp.experiment import Experiment
from grokinterp.models import MODELS
from grokinterp.optim import GrokfastEMA
from grokinterp.tasks import TASKS, ModularAddition, ModularDivision, Polynomial


def made(*assignments: str) -> Experiment:
    return Experiment().override(assignments)


@pytest.mark.parametrize("kind", sorted(set(TASKS) - {"table"}))
def test_another_task_comes_with_its_defaults(kind):
    experiment = made(f"task.kind={kind}")
    assert experiment.task == TASKS[kind]()
    assert Experiment.from_dict(experiment.to_dict()) == experiment
    added = not experiment.task.answers_every_token
    assert experiment.tokens().shape == (experiment.task.n_examples, experiment.task.n_ctx + added)


@pytest.mark.parametrize("kind", MODELS)
def test_another_model_comes_with_its_defaults(kind):
    experiment = made(f"model.kind={kind}")
    assert experiment.model == MODELS[kind]()
    assert Experiment.from_dict(json.loads(json.dumps(experiment.to_dict()))) == experiment


def test_the_order_of_overrides_does_not_matter_for_kinds():
    assert made("task.p=13", "task.kind=modular_division").task == ModularDivision(p=13)
    assert made("task.kind=modular_division", "task.p=13").task == ModularDivision(p=13)
    composed = made("task.outer.p=5", "task.inner.p=5", "task.outer.kind=polynomial", "task.kind=composition").task
    assert (composed.outer, composed.inner) == (Polynomial(p=5), ModularAddition(p=5))


def test_the_same_kind_again_keeps_what_was_set():
    base = made("task.p=13")
    assert base.override(["task.kind=modular_addition"]).task.p == 13


@pytest.mark.parametrize(
    "written", ["[grokfast_ema]", '[{kind="grokfast_ema"}]', '[{"kind": "grokfast_ema"}]', "[{kind=grokfast_ema}]"]
)
def test_filters_in_every_notation(written):
    assert made(f"optimization.filters={written}").optimization.filters == (GrokfastEMA(),)


REFUSED = {
    "optimization.filters=[{}]": "optimization.filters={}: must name the kind of each filter",
    "optimization.filters=[{alpha=0.9}]": "optimization.filters={'alpha': 0.9}: must name the kind of each filter",
    "task.kind=sorting": "task.kind=sorting: must be one of modular_addition, ",
    "task.kind=sorting task.p=7": "task.kind=sorting: must be one of modular_addition, ",
    "model.kind=sorting model.d_model=16": "model.kind=sorting: must be one of ",
    "task.kind=[1]": "task.kind=[1]: must be one of ",
    "task.kind=none": "task.kind=None: must be one of ",
    "task.kind=modular_division task.p=6": "task.p=6: must be prime",
    "task.kind=modular_division task.q=5": "task.q=5: unknown key",
    "task.kind=polynomial task.expression=x^2+": "task.expression=x^2+: ",
    "task.kind=group_composition task.group=S12": "task.group=S12: ",
    "task.kind=group_composition task.group=Q8": "task.group=Q8: ",
    "task.kind=matrix_multiplication task.p=97": "task.p=97: ",
    "task.kind=table": "task.path=None: must be a CSV file",
    "task.kind=table task.path=/nowhere.csv": "task.path=/nowhere.csv: no such file",
    "task.kind=composition task.inner.kind=sorting": "task.inner.kind=sorting: must be one of ",
    "task.kind=composition task.inner.p=101": "task.inner",
    "task.kind=composition task.outer.kind=sparse_parity": "task.outer.kind=sparse_parity: must be one of modular_",
    "task.kind=composition task.outer.kind=composition": "task.outer.kind=composition: must be one of modular_",
    "task.kind=sparse_parity task.n_bits=60": "task.n_bits=60: ",
    "model.kind=mlp model.d_mlp=3": "model.d_mlp=3: unknown key",
    "model.kind=mlp model.hidden=[]": "model.hidden=",
    "model.kind=recursive model.n_supervision=0": "model.n_supervision=0: ",
    "model.kind=recursive model.n_supervision=1000 model.n_latent=1000": "model.n_supervision=1000: times n_latent + 1",
    "split.kind=ordered": "split.kind=ordered: unknown key",
}


@pytest.mark.parametrize("assignments", REFUSED)
def test_what_does_not_fit_is_refused_in_one_line(assignments):
    with pytest.raises(ConfigError) as refused:
        made(*assignments.split())
    assert str(refused.value).startswith(REFUSED[assignments])
    assert str(refused.value).isprintable()


def test_a_model_that_does_not_fit_the_task_is_refused_by_its_key():
    experiment = made("task.kind=matrix_multiplication", "task.p=2", "model.tied_embeddings=true")
    assert experiment.build_model().W_U.shape == (128, 16)
    parity = made("task.kind=sparse_parity", "task.n_bits=4", "model.tied_embeddings=true", "model.read_at=last")
    assert parity.build_model().W_U.shape == (128, 2)
    relations = made("task.kind=periodic_sequence", "model.tied_embeddings=true")
    assert relations.build_model().W_U.shape[1] == relations.task.n_classes


@settings(max_examples=300)
@given(
    kind=st.sampled_from(sorted(set(TASKS) - {"table"})),
    values=st.lists(
        st.integers(-2, 40) | st.sampled_from([None, True, "S3", "x+y", 10**9, -1.5, [1], [2, 3]]), max_size=4
    ),
    model=st.sampled_from(sorted(MODELS)),
)
def test_a_configuration_is_refused_in_one_line_or_has_its_examples(kind, values, model):
    """Any values in the places of a task's parameters."""
    names = [name for name in Experiment().override([f"task.kind={kind}"]).to_dict()["task"] if name != "kind"]
    task = {"kind": kind} | dict(zip(names, values, strict=False))
    try:
        experiment = Experiment.from_dict({"task": task, "model": {"kind": model}, "split": {"fraction": 0.5}})
    except ConfigError as error:
        if "\n" in str(error) or len(str(error)) > 700:
            pytest.fail(str(error))
        return
    if experiment.task.n_examples <= 50_000:
        tokens, labels = experiment.tokens(), experiment.task.labels()
        assert tokens.shape == (experiment.task.n_examples, experiment.n_ctx)
        assert -(experiment.task.n_answers > 1) <= int(labels.min()) <= int(labels.max()) < experiment.task.n_classes
        assert 0 <= int(tokens.min()) <= int(tokens.max()) < experiment.d_vocab
