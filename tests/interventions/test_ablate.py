"""Frequencies are removed from the embedding and the unembedding, and weights are scaled, in every kind of model."""

import pytest
import torch
from torch import Tensor

from grokinterp.errors import ConfigError
from grokinterp.experiment import Experiment
from grokinterp.experiment.problem import Problem
from grokinterp.interventions import ablate_frequencies, scaled
from grokinterp.models import MLPSpec, ModelSpec, RecursiveSpec, TransformerSpec
from grokinterp.runs.checkpoint import Checkpoint
from grokinterp.tasks import GroupComposition, ModularAddition, ModularMultiplication, ModularSubtraction, Task

SPECS: dict[str, ModelSpec] = {
    "transformer": TransformerSpec(d_model=8, n_heads=2, d_mlp=12, biases=True),
    "mlp, one-hot": MLPSpec(hidden=(7,), biases=True),
    "mlp, separate": MLPSpec(d_embed=4, embedding="separate", hidden=(7,)),
    "recursive": RecursiveSpec(d_model=6, d_mlp=9, n_latent=2, n_supervision=2),
}
PRIMITIVE = 3
"""A generator of the residues modulo 7 under multiplication."""

ORDERS: dict[str, tuple[Task, list[int]]] = {
    "addition": (ModularAddition(p=7), list(range(7))),
    "subtraction": (ModularSubtraction(p=7), list(range(7))),
    "multiplication": (ModularMultiplication(p=7), [PRIMITIVE**i % 7 for i in range(6)]),
}
"""The tasks, and their tokens by exponent."""


def drawn(task: Task, spec: ModelSpec) -> Checkpoint:
    experiment = Experiment(task=task, model=spec)
    return Checkpoint(0, experiment.build_model().double(), Problem.of(experiment))


def spectrum(rows: Tensor) -> Tensor:
    """The complex Fourier components of a function of the exponent, by the definition."""
    n = len(rows)
    turns = torch.outer(torch.arange(n // 2 + 1), torch.arange(n)).double() / n
    return torch.polar(torch.ones_like(turns), -2 * torch.pi * turns) @ rows.to(torch.complex128)


@pytest.mark.parametrize("task", ORDERS)
@pytest.mark.parametrize("name", SPECS)
@pytest.mark.parametrize("keep", [False, True])
def test_only_the_named_frequencies_change(task, name, keep):
    of, tokens = ORDERS[task]
    checkpoint = drawn(of, SPECS[name])
    before = {key: value.clone() for key, value in checkpoint.model.state_dict().items()}
    rest = [0, 2] if keep else [0, 1, 3]
    for where, matrix in (("embedding", lambda model: model.embedding), ("unembedding", lambda model: model.W_U.T)):
        changed = ablate_frequencies(checkpoint, [2], where=where, keep=keep).model
        old, new = (spectrum(matrix(model)[tokens]) for model in (checkpoint.model, changed))
        torch.testing.assert_close(new[rest], old[rest], rtol=0, atol=1e-12)
        gone = [k for k in range(len(new)) if k not in rest]
        assert new[gone].abs().max() < 1e-12 < old[gone].abs().min()
        outside = [t for t in range(len(matrix(changed))) if t not in tokens]
        assert torch.equal(matrix(changed)[outside], matrix(checkpoint.model)[outside])
    assert all(torch.equal(value, before[key]) for key, value in checkpoint.model.state_dict().items())


@pytest.mark.parametrize("name", SPECS)
def test_the_norm_of_a_part_or_of_all_weights_is_scaled(name):
    checkpoint = drawn(ModularAddition(p=7), SPECS[name])
    part = next(iter(checkpoint.model.parts))
    for chosen, factors in ((None, dict.fromkeys(checkpoint.model.parts, 0.5)), (part, {part: 0.5})):
        found = scaled(checkpoint, 0.5, chosen).parameters
        for key, names in checkpoint.model.parts.items():
            for one in names:
                assert torch.equal(found[one], factors.get(key, 1.0) * checkpoint.parameters[one])


def test_what_cannot_be_edited_is_named():
    checkpoint = drawn(ModularAddition(p=7), SPECS["transformer"])
    tied = TransformerSpec(d_model=8, n_heads=2, d_mlp=12, tied_embeddings=True)
    with pytest.raises(ConfigError, match=r"^frequencies=4: must be from 1 to 3$"):
        ablate_frequencies(checkpoint, [4])
    with pytest.raises(ConfigError, match=r"^frequencies=group_composition: needs a cyclic group, which S3 is not$"):
        ablate_frequencies(drawn(GroupComposition(group="S3"), SPECS["transformer"]), [1])
    with pytest.raises(ConfigError, match=r"^where=unembedding: needs a model with an unembedding of its own$"):
        ablate_frequencies(drawn(ModularAddition(p=7), tied), [1], where="unembedding")
    with pytest.raises(ConfigError, match=r"^part=head: must be one of embed, "):
        scaled(checkpoint, 2.0, "head")
