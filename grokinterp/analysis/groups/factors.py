"""Spectra of the embeddings of any number of operands."""

from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from grokinterp.analysis.groups.irreps import irrep_names, power_by_irrep
from grokinterp.analysis.structure.answer_spectrum import AnswerGrid, product_answers
from grokinterp.errors import NotDefined
from grokinterp.maths.groups import positions
from grokinterp.models import Model
from grokinterp.runs.checkpoint import Checkpoint

AXES = {
    "irrep": lambda setting: irrep_names(setting.task),
    "factor": lambda setting: range(1, 1 + len(setting.task.operand_positions)),
}


class FactorPower(NamedTuple):
    """Spectrum of the embedding of each operand over the representations of the group.

    factor_power: share of the variance of the operand's embedding, over the elements, that the representation has [1]
    """

    factor_power: Float[Tensor, "factor irrep"]


def factor_power(checkpoint: Checkpoint) -> FactorPower:
    """Return the share of the variance of each operand's embedding at every irreducible representation of the group.

    The embedding of operand i is a function f_i on the group, by the elements of its tokens; factor_power is
    ‖P_ρ f_i‖² / ‖f_i - mean f_i‖², where P_ρ projects onto the span of the matrix entries of ρ, and sums to 1 over the
    representations. In C_p, freq_k has the entries cos(w_k t) and sin(w_k t). The embedding is a token's contribution
    to the first layer's neurons in an MLP and W_E otherwise; operands with a shared table have equal rows.

    Source: Nanda et al. 2023, §4.1 (spectrum of the embedding); docs/formulas.md, Groups.

    Raises:
        NotDefined: the labels are not products in a known group, or an operand has no token for some element.
    """
    task, answers = checkpoint.problem.task, product_answers(checkpoint, "factor_power")
    algebra, n = task.operand_algebra, len(answers.class_of)
    if algebra is None:
        raise NotDefined("factor_power", task.no_group)
    if not all(len(place[place >= 0].unique()) == n for place in algebra.operands):
        raise NotDefined("factor_power", f"not every element of {algebra.group.name} is a token of each operand")
    device = answers.table.device
    orders = [positions(place, n).to(device) for place in algebra.operands]
    pairs = zip(tables_at(checkpoint.model, task.operand_positions), orders, strict=True)
    return FactorPower(torch.stack([shares(table.detach().double()[order], answers) for table, order in pairs]))


def shares(f: Float[Tensor, "element feature"], answers: AnswerGrid) -> Float[Tensor, "irrep"]:
    """Return the share of the variance of f over the elements at every representation."""
    f = f - f.mean(0)
    return power_by_irrep(f, answers) / f.square().sum()


def tables_at(model: Model, places: tuple[int, ...]) -> list[Float[Tensor, "token feature"]]:
    """Return the table from which the network reads each position."""
    tables = model.position_tables
    return [tables[min(at, len(tables) - 1)] for at in places]
