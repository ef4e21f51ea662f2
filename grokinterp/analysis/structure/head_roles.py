"""The roles of attention heads in sequences: attention to previous, duplicate, and following tokens, and copying."""

from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from grokinterp.errors import NotDefined
from grokinterp.experiment.problem import Problem
from grokinterp.runs.checkpoint import Checkpoint

EXAMPLES = 256
"""Largest number of sequences whose attention is measured; they are evenly spaced among the examples."""

SHORTEST = 4
"""Smallest number of tokens with which a token, its repetition and the token after it are apart."""


class HeadRoles(NamedTuple):
    """Attention of every head to the tokens that define a role, with the same for uniform attention, and copying.

    previous_token: attention to the previous token, mean over all positions but the first [1]
    duplicate_token: attention to earlier occurrences of the same token, mean over repeated tokens [1]
    prefix_matching: attention to the tokens after earlier occurrences of the same token, mean over repeated tokens [1]
    copying: share of positive eigenvalues in the map from a token, through the head, to the logits, -1 to 1 [1]
    previous_token_chance: the score of uniform attention to the previous token [1]
    duplicate_token_chance: the score of uniform attention to earlier occurrences of the same token [1]
    prefix_matching_chance: the score of uniform attention to the tokens after earlier occurrences [1]
    """

    previous_token: Float[Tensor, "layer head"]
    duplicate_token: Float[Tensor, "layer head"]
    prefix_matching: Float[Tensor, "layer head"]
    copying: Float[Tensor, "layer head"]
    previous_token_chance: Float[Tensor, ""]
    duplicate_token_chance: Float[Tensor, ""]
    prefix_matching_chance: Float[Tensor, ""]


def head_roles(checkpoint: Checkpoint) -> HeadRoles:
    """Return scores of each head as a previous-token head, a duplicate-token head, and an induction head.

    In a sequence [A][B] … [A], an induction head attends from the second [A] to [B], the token after an earlier
    occurrence (prefix matching), and increases the logit of what it attends to (copying). Scores are sums of attention
    weights over the tokens in question, from 0 to 1, averaged over the positions for which there are such tokens; they
    are compared with uniform attention over all visible positions. Copying is Σ Re λ / Σ |λ| over the eigenvalues of
    W_E W_V W_O W_U; it is NaN unless the classes are the tokens, and the weights of the heads are known.

    Source: Olsson et al. 2022 (prefix matching); Elhage et al. 2021 (copying by eigenvalues).

    Raises:
        NotDefined: the model has no attention, sequences have fewer than 4 tokens, or no token repeats in them.
    """
    model, tokens = checkpoint.model, checkpoint.problem.tokens
    if not model.pattern_hooks:
        raise NotDefined("head_roles", model.lacks("attention"))
    if tokens.shape[1] < SHORTEST or model.positions(tokens.shape[1]) != tokens.shape[1]:
        raise NotDefined("head_roles", f"the sequences have fewer than {SHORTEST} tokens, or attention sees others")
    some = tokens[torch.linspace(0, len(tokens) - 1, min(EXAMPLES, len(tokens)), device=tokens.device).long()]
    if not repeats(some).any():
        raise NotDefined("head_roles", "no token repeats in a sequence")
    with torch.no_grad():
        _, *found = model.catch(some, *model.pattern_hooks)
    pattern = torch.stack(found).double().transpose(1, 2)
    visible = (pattern > 0).any(2).any(1).any(0).double()
    uniform = (visible / visible.sum(-1, keepdim=True)).expand(1, 1, len(some), -1, -1)
    roles = (previous(some), repeats(some), follows(some))
    scores = [score(pattern, role) for role in roles]
    chances = [score(uniform, role).squeeze() for role in roles]
    return HeadRoles(*scores, copying(checkpoint), *chances)


def has_repetitions(problem: Problem) -> bool:
    """Return whether tokens repeat in long enough sequences, so that heads may find earlier occurrences."""
    return problem.tokens.shape[1] >= SHORTEST and bool(repeats(problem.tokens[:EXAMPLES]).any())


def previous(tokens: Int[Tensor, "example position"]) -> Bool[Tensor, "example query key"]:
    """Return which token is the previous one.

    >>> previous(torch.tensor([[5, 6, 5]]))[0].int().tolist()
    [[0, 0, 0], [1, 0, 0], [0, 1, 0]]
    """
    position = torch.arange(tokens.shape[1], device=tokens.device)
    return (position[:, None] == position + 1).expand(len(tokens), -1, -1)


def repeats(tokens: Int[Tensor, "example position"]) -> Bool[Tensor, "example query key"]:
    """Return which tokens are earlier occurrences of the same token.

    >>> repeats(torch.tensor([[5, 6, 5]]))[0].int().tolist()
    [[0, 0, 0], [0, 0, 0], [1, 0, 0]]
    """
    return (tokens[:, :, None] == tokens[:, None, :]).tril(-1)


def follows(tokens: Int[Tensor, "example position"]) -> Bool[Tensor, "example query key"]:
    """Return which tokens follow an earlier occurrence of the same token.

    >>> follows(torch.tensor([[5, 6, 5]]))[0].int().tolist()
    [[0, 0, 0], [0, 0, 0], [0, 1, 0]]
    """
    return torch.nn.functional.pad(repeats(tokens)[:, :, :-1], (1, 0))


def score(
    pattern: Float[Tensor, "layer head example query key"], role: Bool[Tensor, "example query key"]
) -> Float[Tensor, "layer head"]:
    """Return the attention to the tokens in a role, averaged over the positions that have such tokens."""
    has_role = role.any(-1)
    return (pattern * role).sum(-1)[..., has_role].mean(-1)


def copying(checkpoint: Checkpoint) -> Float[Tensor, "layer head"]:
    """Return Σ Re λ / Σ |λ| over the eigenvalues of W_E W_V W_O W_U, those of the smaller W_O W_U W_E W_V."""
    model, task = checkpoint.model, checkpoint.problem.task
    if model.head_values is None or task.n_classes != task.d_vocab:
        return model.W_U.new_full((model.n_layers, model.n_heads), torch.nan)
    W_V, W_O = model.head_values
    values = torch.linalg.eigvals(W_O @ model.W_U @ model.embedding[: task.d_vocab] @ W_V)
    return values.real.sum(-1) / values.abs().sum(-1)
