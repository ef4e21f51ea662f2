"""Which activation carries the difference between two inputs: one is put into the run of the other."""

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
    """Where the answer to another question can be put into the network.

    patching_effect: share of the logit difference of two inputs restored by the activation of one [1]
    """

    patching_effect: Float[Tensor, "patch_site position"]


class Pairs(NamedTuple):
    """Inputs of different answers, clean and corrupted."""

    clean: Int[Tensor, "pair position"]
    corrupted: Int[Tensor, "pair position"]
    clean_label: Int[Tensor, "pair"]
    corrupted_label: Int[Tensor, "pair"]


def activation_patching(checkpoint: Checkpoint) -> ActivationPatching:
    """Return the share of the logit difference that a single clean activation restores on a corrupted input.

    With D = z_y - z_y' the logit of the clean input's answer less that of the corrupted one's, the effect of a
    site at a position is Σ (D_patched - D_corrupted) / Σ (D_clean - D_corrupted), sums over pairs of examples:
    0 where the place carries nothing of the difference, 1 where all of it. Sites are those of ``Model.patch_sites``;
    the activation is taken from the clean run and put at this position only. A hook without positions is patched
    as a whole and stands at the last position, with NaN at the others. Up to 256 pairs with different answers, the
    same at every checkpoint.

    Source: Meng et al. 2022, §2.1 (causal tracing); Wang et al. 2023, §2.1 (activation patching).

    Raises:
        NotDefined: nobody knows which activations stand side by side.
    """
    model, pairs = checkpoint.model, drawn_pairs(checkpoint.problem)
    if not model.patch_sites:
        raise NotDefined("activation_patching", f"{model.lacks('a branch beside others')}; patch() takes any hook")
    sites = model.patch_sites.values()
    with torch.no_grad():
        logits, *values = model.catch(pairs.clean, *(site.hook for site in sites))
        clean, corrupted = (difference(z[:, -1], pairs) for z in (logits, model(pairs.corrupted)))
        rows = [restored(model, pairs, site, value) for site, value in zip(sites, values, strict=True)]
    return ActivationPatching((torch.stack(rows) - corrupted).double() / (clean - corrupted))


def drawn_pairs(problem: Problem, most: int = PAIRS) -> Pairs:
    """Up to so many examples, each with another one, drawn, that has a different answer; none if all answers agree."""
    generator, n, device = torch.Generator().manual_seed(0), len(problem.labels), problem.tokens.device
    clean, corrupted = (torch.randperm(n, generator=generator)[: 4 * most].to(device) for _ in range(2))
    different = problem.labels[clean] != problem.labels[corrupted]
    clean, corrupted = clean[different][:most], corrupted[different][:most]
    return Pairs(problem.tokens[clean], problem.tokens[corrupted], problem.labels[clean], problem.labels[corrupted])


def difference(logits: Float[Tensor, "pair class"], pairs: Pairs) -> Float[Tensor, ""]:
    """Σ over the pairs of the clean answer's logit less the corrupted one's."""
    labels = torch.stack([pairs.clean_label, pairs.corrupted_label], 1)
    clean, corrupted = logits.gather(1, labels).sum(0)
    return clean - corrupted


def restored(model: Model, pairs: Pairs, site: PatchSite, value: Tensor) -> Float[Tensor, "position"]:
    """The summed logit difference with the clean activation of a site put at each position, NaN where it has none."""
    n_ctx = pairs.clean.shape[1]
    positions: Sequence[int | None] = range(n_ctx) if site.has_positions else [None]
    places = [place_of(site.hook, value, n_ctx, position=position, head=site.head) for position in positions]
    found = [difference(patched(model, pairs.corrupted, site.hook, value, place), pairs) for place in places]
    missing = torch.full_like(found[0], torch.nan)
    return torch.stack([*[missing] * (n_ctx - len(found)), *found])
