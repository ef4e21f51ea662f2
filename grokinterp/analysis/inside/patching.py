"""Which activation carries the difference between two inputs: one is put into the run of the other."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from grokinterp.errors import GrokinterpError, NotDefined, short
from grokinterp.experiment.problem import Problem
from grokinterp.models import Model, RecordedModel, RecursiveModel, Transformer
from grokinterp.runs.checkpoint import Checkpoint

PAIRS = 256
PATTERNS = ("hook_pattern", "hook_attn_scores")

AXES = {"patch_site": lambda setting: list(patch_sites(setting.model))}


class ActivationPatching(NamedTuple):
    """Where the answer to another question can be put into the network.

    patching_effect: share of the logit difference of two inputs restored by the activation of one [1]
    """

    patching_effect: Float[Tensor, "patch_site position"]


class Site(NamedTuple):
    """A hook, or one head of a hook whose activation is [batch, position, head, d_head]."""

    hook: str
    head: int | None = None


class Pairs(NamedTuple):
    """Inputs of different answers, clean and corrupted."""

    clean: Int[Tensor, "pair position"]
    corrupted: Int[Tensor, "pair position"]
    clean_label: Int[Tensor, "pair"]
    corrupted_label: Int[Tensor, "pair"]


def activation_patching(checkpoint: Checkpoint) -> ActivationPatching:
    """The logit difference restored by the clean activation of one place in the run on a corrupted input.

    With D = z_y - z_y' the logit of the clean input's answer less that of the corrupted one's, the effect of a
    site at a position is Σ (D_patched - D_corrupted) / Σ (D_clean - D_corrupted), sums over pairs of examples:
    0 where the place carries nothing of the difference, 1 where all of it. Sites are those of ``patch_sites``;
    the activation is taken from the clean run and put at this position only. A hook without positions is patched
    as a whole and stands at the last position, with NaN at the others. Up to 256 pairs with different answers, the
    same at every checkpoint.

    Source: Meng et al. 2022, §2.1 (causal tracing); Wang et al. 2023, §2.1 (activation patching).

    Raises:
        NotDefined: nobody knows which activations stand side by side.
    """
    model, pairs = checkpoint.model, drawn_pairs(checkpoint.problem)
    if isinstance(model, RecordedModel):
        raise NotDefined("activation_patching", f"{model.lacks('a branch beside others')}; patch() takes any hook")
    sites = patch_sites(model).values()
    with torch.no_grad():
        logits, *values = model.catch(pairs.clean, *(site.hook for site in sites))
        clean, corrupted = (difference(z[:, -1], pairs) for z in (logits, model(pairs.corrupted)))
        rows = [restored(model, pairs, site, value) for site, value in zip(sites, values, strict=True)]
    return ActivationPatching((torch.stack(rows) - corrupted).double() / (clean - corrupted))


def patch_sites(model: Model) -> dict[str, Site]:
    """The ``patch_site`` coordinate of ``activation_patching``, in the order of the forward pass.

    A transformer's are the residual stream before each block, each head (``L0H1``), what attention and MLP add; a
    recursive model's the embedding, and each supervision step's last latent and answer; an MLP's the embedding, for
    any layer of it carries all.
    """
    if isinstance(model, RecursiveModel):
        latent = f"hook_latent.{model.spec.n_latent - 1}"
        inside = [
            f"steps.{step}.{point}" for step in range(model.spec.n_supervision) for point in (latent, "hook_answer")
        ]
        return {name: Site(name) for name in ("hook_embed", *inside)}
    if isinstance(model, RecordedModel):
        return {}
    if not isinstance(model, Transformer):
        return {"hook_embed": Site("hook_embed")}
    sites: dict[str, Site] = {}
    for layer in range(model.n_layers):
        block = f"blocks.{layer}"
        sites[f"{block}.hook_resid_pre"] = Site(f"{block}.hook_resid_pre")
        sites |= {f"L{layer}H{head}": Site(f"{block}.attn.hook_z", head) for head in range(model.n_heads)}
        sites |= {f"{block}.{point}": Site(f"{block}.{point}") for point in ("hook_attn_out", "hook_mlp_out")}
    return sites


def patch(
    model: Model,
    clean: Int[Tensor, "batch position"],
    corrupted: Int[Tensor, "_ _"],
    *,
    hook: str,
    position: int | None = None,
    head: int | None = None,
) -> Float[Tensor, "batch class"]:
    """The answer's logits for ``corrupted`` while the activation at a hook is that of ``clean``.

    Args:
        model: the network.
        clean: token sequences whose activation is taken.
        corrupted: as many token sequences, into whose run it is put.
        hook: where, by name.
        position: at this position only (default: at all).
        head: this head only, at a hook [batch, position, head, d_head] (default: all).

    Raises:
        GrokinterpError: no such hook, position or head, or inputs of different shapes.
    """
    if hook not in model.hook_dict:
        raise GrokinterpError(f"hook={short(hook)}: must be among {', '.join(model.hook_dict)}")
    if clean.shape != corrupted.shape:
        raise GrokinterpError(f"corrupted: must have the shape of clean, {tuple(clean.shape)}")
    with torch.no_grad():
        value = model.catch(clean, hook)[1]
        place = place_of(hook, value, clean.shape[1], position=position, head=head)
        return patched(model, corrupted, hook, value, place)


def patched(
    model: Model, corrupted: Int[Tensor, "batch position"], hook: str, value: Tensor, place: Bool[Tensor, "..."]
) -> Float[Tensor, "batch class"]:
    """The answer's logits while a hook's activation is replaced by a value at a place."""

    def put(own: Tensor, *, hook: Any) -> Tensor:
        return torch.where(place, value, own)

    return model.run_with_hooks(corrupted, fwd_hooks=[(hook, put)])[:, -1]


def place_of(hook: str, value: Tensor, n_ctx: int, *, position: int | None, head: int | None) -> Bool[Tensor, "..."]:
    """Where an activation is to be replaced, with axes of length one where that does not matter.

    >>> place_of("hook_embed", torch.zeros(5, 3, 2), 3, position=1, head=None).tolist()
    [[[False], [True], [False]]]
    """
    place = torch.ones((1,) * value.ndim, dtype=torch.bool, device=value.device)
    head_axis, position_axis = (1, 2) if hook.endswith(PATTERNS) else (2, 1)
    has_positions = value.ndim > 2 and value.shape[position_axis] == n_ctx
    sizes = n_ctx if has_positions else 0, value.shape[head_axis] if value.ndim == 4 else 0
    chosen = ("position", position, position_axis), ("head", head, head_axis)
    for (name, index, axis), size in zip(chosen, sizes, strict=True):
        if index is None:
            continue
        if not 0 <= index < size:
            raise GrokinterpError(f"{name}={index}: {hook} has {size or 'no'} {name}s")
        there = torch.arange(size, device=value.device) == index
        place = place & there.view([-1 if i == axis else 1 for i in range(value.ndim)])
    return place


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


def restored(model: Model, pairs: Pairs, site: Site, value: Tensor) -> Float[Tensor, "position"]:
    """The summed logit difference with the clean activation of a site put at each position, NaN where it has none."""
    n_ctx = pairs.clean.shape[1]
    has_positions = site.hook == "hook_embed" or isinstance(model, Transformer)
    positions: Sequence[int | None] = range(n_ctx) if has_positions else [None]
    places = [place_of(site.hook, value, n_ctx, position=position, head=site.head) for position in positions]
    found = [difference(patched(model, pairs.corrupted, site.hook, value, place), pairs) for place in places]
    missing = torch.full_like(found[0], torch.nan)
    return torch.stack([*[missing] * (n_ctx - len(found)), *found])
