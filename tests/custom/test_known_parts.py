"""Plain PyTorch with a task and named parts gives the numbers of our own network with the same weights."""

import pytest
import torch
from torch import nn
from torch.nn import functional

from grokinterp.analysis import ANALYSES
from grokinterp.analysis.engine.evaluator import result_of
from grokinterp.custom.recorder import Recorder
from grokinterp.errors import NotDefined
from grokinterp.experiment import Experiment, Split
from grokinterp.models import MLPSpec, TransformerSpec
from grokinterp.runs.trajectory import Trajectory
from grokinterp.tasks import ModularAddition
from tests.support.plain_twins import plain_mlp, plain_transformer
from tests.support.small_runs import draw_checkpoints

P = 7
TASK = ModularAddition(p=P)
TRANSFORMER = {"embedding": "emb", "unembedding": "out", "attention": "attn", "neurons": "down.hook_in",
               "pre_activations": "up"}  # fmt: skip
ONE_HOT = {"embedding": "first", "unembedding": "W", "neurons": "W.hook_in", "pre_activations": "first"}
NOT_COMPARED = {
    *("gradient_weight_alignment", "gradient_flow", "gradient_noise", "weight_norms", "weight_path", "singular_values"),
    *("class_similarity", "linear_probes", "frequency_probes", "activation_statistics", "grafts", "loss_line"),
    *("hessian_eigenvalues", "local_learning_coefficient", "sharpness"),
}
"""Analyses whose axes are parameters, parts and hooks, which have the module's own names, and slow ones of the loss
alone, which tests/custom/test_recorded_runs.py compares."""

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
        split.append((tokens[chosen], problem.label[chosen]))
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


KEYS = {"key_frequencies": torch.tensor([1, 3]), "key_irreps": torch.tensor([0, 2]), "branch_keys": torch.tensor([0])}
DEFINED = {
    *("performance", "embedding_spectrum", "embedding_circles", "neuron_frequencies", "neuron_logit_spectrum"),
    *("logit_spectrum", "irrep_spectrum", "irrep_fve", "irrep_progress", "progress_measures", "operand_spectrum"),
    *(
        "attention_pattern",
        "attention_map",
        "attention_periodicity",
        "class_cosine",
        "circuit_verdict",
        "causal_evidence",
    ),
    *("logit_map", "class_matrix", "isolated_circles", "idealized_network", "neuron_ablation"),
}
"""Analyses that the named parts suffice for, where our network has them."""


@pytest.mark.parametrize("name", ["transformer", "mlp"])
@pytest.mark.parametrize("analysis", COMPARED, ids=lambda analysis: analysis.__name__)
def test_plain_pytorch_has_the_numbers_of_our_network(analysis, name, twins):
    own, other = (result_of(analysis, checkpoint, KEYS) for checkpoint in twins[name])
    if isinstance(own, NotDefined):
        assert isinstance(other, NotDefined) or analysis.__name__ == "isolated_circles"  # first's rows are a table
    elif isinstance(other, NotDefined):  # takes more than the parts that a recorder can be given
        assert "does not show" in other.why or analysis.__name__ == "integrated_gradients"
        assert analysis.__name__ not in DEFINED
    else:
        compared(own, other)


@pytest.mark.parametrize("name", ["transformer", "mlp"])
def test_operands_are_added_as_in_our_network(name, twins):
    own, other = (checkpoint.model.adds_operands for checkpoint in twins[name])
    assert own == other == (name == "mlp")


class Added(nn.Module):
    """Ways to bring two embedded tokens together."""

    def __init__(self, way: str) -> None:
        super().__init__()
        self.way, self.emb, self.out = way, nn.Embedding(P, 8), nn.Linear(8, P)
        self.up = nn.Linear(16, 8)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        a, b = self.emb(tokens).unbind(1)
        x = {
            "sum": lambda: functional.relu(a + b),
            "in place": lambda: functional.relu(a.clone().add_(b)),
            "layer": lambda: functional.gelu(self.up(torch.cat([functional.relu(a), b], 1))),
            "product": lambda: a * b,
            "sum and product": lambda: a * b + 0.001 * functional.relu(a + b),
            "gated by the sum": lambda: torch.sigmoid(a + b) * a * b,
            "nonlinear first": lambda: functional.relu(self.up(functional.layer_norm(torch.cat([a, b], 1), (16,)))),
        }[self.way]()
        return self.out(x)


@pytest.mark.parametrize(("way", "adds"), [("sum", True), ("in place", True), ("layer", True), ("product", False),
                                           ("sum and product", False), ("gated by the sum", None),
                                           ("nonlinear first", False)])  # fmt: skip
def test_how_operands_first_meet(way, adds, tmp_path):
    checkpoint = whole(tmp_path, Added(way))[0]
    assert checkpoint.model.adds_operands is adds


def whole(path, module: nn.Module, *, tokens=None, task=TASK, labels=None, parts=None, **options) -> Trajectory:
    """A recording of one step on all pairs, of which every third is trained on."""
    pairs = torch.cartesian_prod(torch.arange(P), torch.arange(P))
    tokens = pairs if tokens is None else tokens(pairs)
    labels = pairs.sum(1) % P if labels is None else labels
    third = torch.arange(P * P) % 3 == 0
    split = [(take(tokens, of), labels[of]) for of in (third, ~third)]
    with Recorder(path, module, train=split[0], test=split[1], task=task, parts=parts, **options) as recorder:
        recorder.record(0)
    return Trajectory.open(path, module)


def take(inputs, of):
    if isinstance(inputs, tuple):
        return tuple(x[of] for x in inputs)
    return {name: x[of] for name, x in inputs.items()} if isinstance(inputs, dict) else inputs[of]
