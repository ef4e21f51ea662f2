"""Subgroups of a finite group, as masks over its elements, and their cosets.

Source: Stander et al. 2023, who find neurons that are constant on cosets.
"""

import torch
from jaxtyping import Bool, Int
from torch import Tensor

from grokinterp.maths.groups import Group
from grokinterp.maths.residues import prime_factors

MOST_CLASSES = 1000


def generated(group: Group, *generators: int) -> Bool[Tensor, "element"]:
    """The smallest subgroup that contains these elements.

    >>> from grokinterp.maths.groups import cyclic
    >>> generated(cyclic(12), 8, 6).nonzero().flatten().tolist()
    [0, 2, 4, 6, 8, 10]
    """
    edges = torch.tensor([group.identity, *generators])[:, None]
    return _generated_by_each(group, edges)[0]


def subgroups(group: Group) -> Bool[Tensor, "subgroup element"]:
    """All subgroups, one of each conjugacy class, the smallest first.

    Every subgroup is a smaller one and one more element; elements of prime power order will do.

    >>> from grokinterp.maths.groups import group
    >>> subgroups(group("S3")).sum(1).tolist()
    [1, 2, 3, 6]

    Raises:
        ValueError: more than 1000 classes of subgroups, as in powers of C2.
    """
    more = _cyclic_of_prime_power(group)
    chosen: list[tuple[int, ...]] = [()]
    seen = {_key(generated(group))}
    for generators in chosen:  # which grows meanwhile
        columns = torch.stack([*(torch.full_like(more, x) for x in generators), more])
        for subgroup, x in zip(_generated_by_each(group, columns), more.tolist(), strict=True):
            if _key(subgroup) not in seen:
                chosen.append((*generators, x))
                seen.update(map(_key, conjugate_subgroups(group, subgroup)))
        if len(chosen) > MOST_CLASSES:
            raise ValueError(f"group {group.name} has more than {MOST_CLASSES} classes of subgroups")
    masks = torch.stack([generated(group, *generators) for generators in chosen])
    return masks[masks.sum(1).argsort(stable=True)]


def conjugate_subgroups(group: Group, subgroup: Bool[Tensor, "element"]) -> Bool[Tensor, "conjugate element"]:
    """The different subgroups g·H·g⁻¹.

    >>> from grokinterp.maths.groups import group
    >>> s3 = group("S3")
    >>> len(conjugate_subgroups(s3, generated(s3, 1))), len(conjugate_subgroups(s3, generated(s3, 3)))
    (3, 1)
    """
    return subgroup[group.conjugates].unique(dim=0)


def left_cosets(group: Group, subgroup: Bool[Tensor, "element"]) -> Int[Tensor, "element"]:
    """The number of the coset x·H of every element x; cosets are numbered by their first elements.

    >>> from grokinterp.maths.groups import cyclic
    >>> left_cosets(cyclic(6), generated(cyclic(6), 3)).tolist()
    [0, 1, 2, 0, 1, 2]
    """
    return group.table[:, subgroup].amin(1).unique(return_inverse=True)[1]


def right_cosets(group: Group, subgroup: Bool[Tensor, "element"]) -> Int[Tensor, "element"]:
    """The number of the coset H·x of every element x; cosets are numbered by their first elements."""
    return group.table[subgroup].amin(0).unique(return_inverse=True)[1]


def _generated_by_each(group: Group, generators: Int[Tensor, "generator column"]) -> Bool[Tensor, "column element"]:
    """The subgroup that each column of elements generates.

    It is what is connected with the identity when x and x·g are joined: the smallest element that
    is known to be connected travels along the edges until nothing changes.
    """
    x = torch.arange(group.order)
    neighbors = group.table.T[generators]
    label, before = x.repeat(generators.shape[1], 1), None
    while before is None or not torch.equal(label, before):
        before = label
        for neighbor in neighbors:
            label = torch.minimum(label, label.gather(1, neighbor))
        label = label.gather(1, label)
    return label == label[:, group.identity, None]


def _cyclic_of_prime_power(group: Group) -> Int[Tensor, "generator"]:
    """A generator, the first, of every cyclic subgroup whose order is a power of a prime."""
    cyclic, first = _generated_by_each(group, torch.arange(group.order)[None]), {}
    for x, order in enumerate(group.element_orders.tolist()):
        if len(set(prime_factors(order))) == 1:
            first.setdefault(_key(cyclic[x]), x)
    return torch.tensor(list(first.values()), dtype=torch.int64)


def _key(subgroup: Bool[Tensor, "element"]) -> bytes:
    return subgroup.numpy().tobytes()
