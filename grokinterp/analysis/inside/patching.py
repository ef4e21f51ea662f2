"""Activation patching: an activation of one input is inserted into the forward pass of another input."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from grokinterp.errors import NotDefined
from grokinterp.experiment.problem import Problem
from grokinterp.interventions.patch import patched, place_of
from grokinterp.models import Model, PatchSite
from grokinterp.runs.checkpoint import Checkpoint

PAIRS = 256

AXES = {"patch_site": lambda setting: list(setting.model.patch_sites)}


class ActivationPatching(NamedTuple):
    """Effect of patched activations on the answer.

    patching_effect: share of the logit difference between two inputs restored by the clean activation [1]
    """

    patching_effect: Float[Tensor, "patch_site position"]


class Pairs(NamedTuple):
    """Pairs of inputs with different answers, clean and corrupted."""

    clean: Int[Tensor, "pair position"]
    corrupted: Int[Tensor, "pair position"]
    clean_label: Int[Tensor, "pair"]
    corrupted_label: Int[Tensor, "pair"]


def activation_patching(checkpoint: Checkpoint) -> ActivationPatching:
    """Return the share of the logit difference that a single clean activation restores on a corrupted input.

    Let D = z_y - z_y' be the logit of the clean input's answer minus that of the corrupted input's answer. The effect
    of a site at a position is Σ (D_patched - D_corrupted) / Σ (D_clean - D_corrupted), with sums over pairs of
    examples: 0 if the activation carries none of the difference between the inputs, 1 if it carries all of it.

    The sites are those of ``Model.patch_sites``; the activation of the clean forward pass is inserted at one position
    only. A hook without positions is patched as a whole and reported at the last position, with NaN at the others. The
    sums are over at most 256 pairs with different answers, the same at every checkpoint.

    Source: Meng et al. 2022, §2.1 (causal tracing); Wang et al. 2023, §2.1 (activation patching).

    Raises:
        NotDefined: it is unknown which activations are parallel branches.
    """
    model, pairs = checkpoint.model, drawn_pairs(checkpoint.problem)
    if not model.patch_sites:
        raise NotDefined("activation_patching", f"{model.lacks('known parallel branches')}; patch() takes any hook")
    sites = model.patch_sites.values()
    with torch.no_grad():
        logits, *values = model.catch(pairs.clean, *(site.hook for site in sites))
        clean, corrupted = (difference(z[:, -1], pairs) for z in (logits, model(pairs.corrupted)))
        rows = [restored(model, pairs, site, value) for site, value in zip(sites, values, strict=True)]
    return ActivationPatching((torch.stack(rows) - corrupted).double() / (clean - corrupted))


def drawn_pairs(problem: Problem, most: int = PAIRS) -> Pairs:
    """Draw at most ``most`` examples, each paired with an example of another answer; none if all answers agree."""
    generator, n, device = torch.Generator().manual_seed(0), len(problem.label), problem.tokens.device
    clean, corrupted = (torch.randperm(n, generator=generator)[: 4 * most].to(device) for _ in range(2))
    different = problem.label[clean] != problem.label[corrupted]
    clean, corrupted = clean[different][:most], corrupted[different][:most]
    return Pairs(problem.tokens[clean], problem.tokens[corrupted], problem.label[clean], problem.label[corrupted])


def difference(logits: Float[Tensor, "pair class"], pairs: Pairs) -> Float[Tensor, ""]:
    """Return the sum over the pairs of the clean answer's logit minus the corrupted answer's logit."""
    labels = torch.stack([pairs.clean_label, pairs.corrupted_label], 1)
    clean, corrupted = logits.gather(1, labels).sum(0)
    return clean - corrupted


def restored(model: Model, pairs: Pairs, site: PatchSite, value: Tensor) -> Float[Tensor, "position"]:
    """Return the summed logit difference with a site patched at each position; NaN at positions that it lacks."""
    n_ctx = pairs.clean.shape[1]
    positions: Sequence[int | None] = range(n_ctx) if site.has_positions else [None]
    places = [place_of(site.hook, value, n_ctx, position=position, head=site.head) for position in positions]
    found = [difference(patched(model, pairs.corrupted, site.hook, value, place), pairs) for place in places]
    missing = torch.full_like(found[0], torch.nan)
    return torch.stack([*[missing] * (n_ctx - len(found)), *found])
