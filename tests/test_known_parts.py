"""Plain PyTorch with a task and named parts gives the numbers of our own network with the same weights."""

import pytest
import torch
from torch import nn
from torch.nn import functional

from grokinterp.analysis.catalogue import ANALYSES
from grokinterp.analysis.evaluate import result_of
from grokinterp.errors import NotDefined
from grokinterp.experiment import Experiment, Split
from grokinterp.models import MLPSpec, TransformerSpec
from grokinterp.tasks import ModularAddition
from grokinterp.training.recorder import Recorder
from grokinterp.trajectory import Trajectory
from tests.plain_twins import plain_mlp, plain_transformer
from tests.small_runs import draw_checkpoints

P = 7
TASK = ModularAddition(p=P)
TRANSFORMER = {"embedding": "emb", "unembedding": "out", "attention": "attn", "neurons": "down.hook_in"}
ONE_HOT = {"embedding": "first", "unembedding": "W", "neurons": "W.hook_in"}
NOT_COMPARED = {
    *("gradient_weight_alignment", "gradient_flow", "gradient_noise", "weight_norms", "weight_path", "singular_values"),
    *("class_similarity", "linear_probes", "frequency_probes", "activation_statistics", "grafts", "loss_line"),
    *("hessian_eigenvalues", "local_learning_coefficient", "sharpness"),
}
"""Analyses whose axes are parameters, parts and hooks, which have the module's own names, and slow ones of the loss
alone, which tests/test_recorded_runs.py compares."""

COMPARED = [analysis for analysis in ANALYSES if analysis.__name__ not in NOT_COMPARED]


def one_hot(tokens: torch.Tensor) -> torch.Tensor:
    return functional.one_hot(tokens, P).float().flatten(1)


def recorded(path, own: Trajectory, plain: nn.Module, parts: dict, inputs=None, **options) -> Trajectory:
    """The checkpoints of a run of ours, recorded as plain PyTorch on shuffled examples."""
    problem, order = own.problem, torch.randperm(P * P, generator=torch.Generator().manual_seed(3))
    tokens = problem.tokens if inputs is None else inputs(problem.tokens)
    split = []
    for of in (problem.is_train, problem.is_test):
        chosen = order[of[order]]
        split.append((tokens[chosen], problem.labels[chosen]))
    with Recorder(path, plain, train=split[0], test=split[1], task=TASK, parts=parts, **options) as recorder:
        recorder.record(own.steps[-1])
    return Trajectory.open(path, plain)


@pytest.fixture(scope="module")
def twins(tmp_path_factory):
    """A run of ours and the same as plain PyTorch, for a transformer and an MLP."""
    folder, found = tmp_path_factory.mktemp("twins"), {}
    specs = {
        "transformer": (TransformerSpec(d_model=16, n_heads=2, d_mlp=24), plain_transformer, TRANSFORMER, None),
        "mlp": (MLPSpec(hidden=(12,)), plain_mlp, ONE_HOT, one_hot),
    }
    for name, (spec, written, parts, inputs) in specs.items():
        own = draw_checkpoints(folder / f"{name}-own", Experiment(task=TASK, model=spec, split=Split(fraction=0.5)))
        plain = written(own.model(step=20))
        found[name] = own[20], recorded(folder / name, own, plain, parts, inputs)[20]
    return found


def compared(one, other) -> None:
    """Raise AssertionError unless all fields of two results are equal."""
    for field in one._fields:
        left, right = (torch.as_tensor(getattr(result, field)) for result in (one, other))
        if field.startswith("hidden_") and not left.isnan().all():
            assert not right.isnan().all(), field
        torch.testing.assert_close(
            right, left, rtol=1e-6, atol=1e-9, equal_nan=True, msg=lambda m, f=field: f"{f}: {m}"
        )


KEYS = {"key_frequencies": torch.tensor([1, 3]), "key_irreps": torch.tensor([0, 2])}
BEYOND = {
    "transformer": {"logit_attribution", "head_ablation", "activation_patching", "idealized_network"},
    "mlp": {"activation_patching", "idealized_network", "integrated_gradients"},
}
"""What takes more than the parts that a recorder is given."""


@pytest.mark.parametrize("name", ["transformer", "mlp"])
@pytest.mark.parametrize("analysis", COMPARED, ids=lambda analysis: analysis.__name__)
def test_plain_pytorch_has_the_numbers_of_our_network(analysis, name, twins):
    own, other = (result_of(analysis, checkpoint, KEYS) for checkpoint in twins[name])
    if isinstance(own, NotDefined):
        assert isinstance(other, NotDefined) or analysis.__name__ == "isolated_circles"  # first's rows are a table
    elif analysis.__name__ in BEYOND[name]:
        assert isinstance(other, NotDefined)
    else:
        assert not isinstance(other, NotDefined), other
        compared(own, other)
