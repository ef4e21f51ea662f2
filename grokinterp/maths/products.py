"""Functions of examples, averaged over the examples with the same product of their operands."""

from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

CELLS_AT_ONCE = 2**24
"""Numbers per block of ``mean_by_product``, which avoids a copy of large arrays."""


class Products(NamedTuple):
    """The examples with each product, in ascending order, padded to equal numbers with the first example of each.

    ``present`` is False in the padded places; without any example of a product, they hold example 0.
    """

    example: Int[Tensor, "product row"]
    present: Bool[Tensor, "product row"]

    @property
    def counts(self) -> Float[Tensor, "product"]:
        """The number of examples with each product."""
        return self.present.sum(1).double()

    def to(self, device: torch.device | str) -> "Products":
        """Return the same examples on another device."""
        return Products(self.example.to(device), self.present.to(device))

    def of(self, mask: Bool[Tensor, "example"]) -> Bool[Tensor, "product row"]:
        """Return in which places there is an example of a mask."""
        return mask[self.example] & self.present


def by_product(element: Int[Tensor, "example"], n: int) -> Products:
    """Return the examples with each product 0 … n - 1; examples with another product are left out.

    >>> by_product(torch.tensor([1, 0, 1, 2]), 2).example.tolist()
    [[1, 1], [0, 2]]
    >>> by_product(torch.tensor([1, 0, 1, 2]), 2).present.tolist()
    [[True, False], [True, True]]
    """
    inside = (element < n).nonzero().flatten()
    order = inside[element[inside].argsort(stable=True)]
    product, count = element[order], element[order].bincount(minlength=n)
    start = count.cumsum(0) - count
    row = torch.arange(len(order), device=element.device) - start[product]
    first = torch.where(count > 0, torch.cat([order, order.new_zeros(1)])[start], 0)
    example = first[:, None].repeat(1, int(count.max()))
    example[product, row] = order
    return Products(example, torch.arange(example.shape[1], device=element.device) < count[:, None])


def mean_by_product(x: Float[Tensor, "example feature"], products: Products) -> Float[Tensor, "product feature"]:
    """Return the mean over the examples with each product; every product must have an example.

    >>> x = torch.tensor([[1.0], [2.0], [4.0], [8.0]])
    >>> mean_by_product(x, by_product(torch.tensor([1, 0, 1, 2]), 2)).tolist()
    [[2.0], [2.5]]
    """
    some = max(1, CELLS_AT_ONCE // max(1, products.example.shape[1] * x.shape[1]))
    parts = []
    for example, present in zip(products.example.split(some), products.present.split(some), strict=True):
        rows = x.index_select(0, example.flatten()).view(*example.shape, -1)
        if present.all():
            parts.append(rows.mean(1))
        else:
            parts.append((rows * present[..., None]).sum(1) / present.sum(1)[:, None])
    return parts[0] if len(parts) == 1 else torch.cat(parts)
