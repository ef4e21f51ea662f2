"""The smallest faithful subnetwork: counted by hand on a lookup table, and by a twin with hooks on every model."""

import pytest
import torch

from grokinterp.analysis.inside.subnetwork import faithful_subnetwork
from grokinterp.experiment import Experiment
from grokinterp.models import MLPSpec
from grokinterp.runs.checkpoint import Checkpoint
from grokinterp.tasks import GroupComposition, ModularAddition
from tests.cases.models import RECURSIVE, TINY_SPECS
from tests.support.any_model import checkpoint_of, problem_of
from tests.support.constructed import close

P = 7


@torch.no_grad()
def lookup(strength: torch.Tensor, extra: int = 0) -> Checkpoint:
    """A ReLU neuron for each pair, which alone answers it; ``extra`` tiny ones that do nothing."""
    task = ModularAddition(p=P)
    experiment = Experiment(task=task, model=MLPSpec(hidden=(P * P + extra,), act_fn="relu", biases=True))
    model = experiment.empty_model().double().requires_grad_(False)
    a, b = task.tokens().T
    rows = torch.arange(P * P)
    model.layers[0].W_in[a, rows] = 1
    model.layers[0].W_in[P + b, rows] = 1
    model.layers[0].b_in[rows] = -1
    model.layers[0].W_in[0, P * P :] = 1e-6
    model.unembed.W_U[rows, task.label()] = strength
    return Checkpoint(0, model, problem_of(experiment))


@pytest.mark.parametrize("zero_last", [True, False])
def test_a_lookup_table_needs_a_neuron_for_each_answer_but_the_default(zero_last):
    """Without neurons the answer is class 0, so its pairs need no neuron, wherever they are in the order."""
    labels = ModularAddition(p=P).label()
    strength = torch.where((labels == 0) == zero_last, 1.0, 2.0).double()
    found = faithful_subnetwork(lookup(strength, extra=10))
    needed = P * P - P if zero_last else P * P
    close(found.faithful_size, needed)
    close(found.subnetwork_size[2], needed)
    assert float(found.subnetwork_size_control[2]) > P * P  # the idle neurons are among them


def test_the_largest_norms_come_first():
    """Half of the neurons are 1000 times as strong: with both kinds in place the strong ones are counted first."""
    strength = torch.ones(P * P).double()
    strength[::2] = 1000
    checkpoint = lookup(strength)
    labels = checkpoint.problem.label
    weak = [n for n in range(P * P) if n % 2]
    last = max(i for i, n in enumerate(weak) if labels[n] != 0)
    close(faithful_subnetwork(checkpoint).faithful_size, P * P - len(weak) + last + 1)


KINDS = TINY_SPECS | {"recursive": RECURSIVE}


@pytest.mark.parametrize("name", KINDS)
def test_sizes_equal_those_found_with_a_hook(name):
    checkpoint = checkpoint_of(KINDS[name], ModularAddition(p=5), scale=2)
    of, model = checkpoint.problem, checkpoint.model
    hook = [name for name in model.hook_dict if name.endswith("hook_post")][-1]
    linear = name not in ("two layers, LN, biases", "recursive", "recursive, once")
    last = model.W_L if linear else model.net.W_out if "recursive" in name else model.W_out[-1]
    norms = model.neuron_weights.norm(dim=0) * last.norm(dim=1)
    order, whole = norms.argsort(descending=True), checkpoint.logits.argmax(1)
    masks = (of.is_train, of.is_test, torch.ones_like(of.is_train))
    wanted = [(whole == of.label)[mask].double().mean() - 0.01 for mask in masks]
    expected: list[int | None] = [None] * 4
    for size in range(len(order) + 1):

        def keep(h, hook, kept=order[:size]):
            mask = torch.zeros_like(h)
            mask[..., kept] = 1
            return h * mask

        answers = model.run_with_hooks(of.tokens, fwd_hooks=[(hook, keep)])[:, -1].argmax(1)
        reached = [(answers == of.label)[mask].double().mean() >= w for mask, w in zip(masks, wanted, strict=True)]
        reached.append((answers == whole).double().mean() >= 0.99)
        expected = [size if old is None and new else old for old, new in zip(expected, reached, strict=True)]
    found = faithful_subnetwork(checkpoint)
    assert [*found.subnetwork_size.tolist(), float(found.faithful_size)] == expected


def test_it_needs_no_group_and_no_known_split():
    found = faithful_subnetwork(checkpoint_of(MLPSpec(hidden=(8,)), GroupComposition(group="S3"), fraction=0))
    assert found.subnetwork_size.isnan().tolist() == [True, False, False]
    assert 0 <= float(found.faithful_size) <= 8
