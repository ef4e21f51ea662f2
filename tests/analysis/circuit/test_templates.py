"""Templates of clocks and pizzas, compared with brute force over all triples."""

import pytest
import torch

from grokinterp.analysis.circuit.rule import PREFERENCE
from grokinterp.analysis.circuit.templates import (
    agreement,
    circle_fits,
    clocks,
    fit,
    logit_table,
    offset_waves,
    pizzas,
    preference,
)
from tests.support.constructed import close
from tests.support.logit_shapes import clock, drawn, pizza, triples


@pytest.mark.parametrize("n", [5, 6])
def test_the_table_of_logits_is_their_mean_over_equal_difference_and_offset(n):
    logits, (a, b, c) = drawn(n * n, n), triples(n)
    table = logit_table(logits)
    for d in range(n):
        for e in range(n):
            same = ((a - b) % n == d) & ((a + b - c) % n == e)
            assert int(same.sum()) == n
            close(table.means[d, e], logits[same].mean() - logits.mean())
    close(table.variance, logits.var(correction=0))


@pytest.mark.parametrize("n", [5, 8])
@pytest.mark.parametrize(("shape", "template"), [(clock, clocks), (pizza, pizzas)])
def test_a_template_is_what_its_formula_says_and_explains_itself(shape, template, n):
    for k in range(1, n // 2 + 1):
        found = template(torch.tensor([k - 1]), n)
        logits = 3 + 2 * shape(k, n)
        table = logit_table(logits)
        close(table.means, 2 * found[0])
        close(fit(table, found), 1)
        close(agreement(table, found[0]), 1)
        close(agreement(logit_table(-logits), found[0]), -3)


def test_fits_are_least_squares_over_all_triples():
    n, keys = 7, torch.tensor([0, 2])
    logits = drawn(n * n, n) + clock(1, n) + 2 * pizza(3, n)
    for shape, rows in ((clock, clocks(keys, n)), (pizza, pizzas(keys, n))):
        design = torch.stack([torch.ones(n**3).double(), *(shape(k, n).flatten() for k in (1, 3))], 1)
        fitted = design @ torch.linalg.lstsq(design, logits.flatten()).solution
        expected = 1 - (logits.flatten() - fitted).var(correction=0) / logits.var(correction=0)
        close(fit(logit_table(logits), rows), expected)
        scored = [(x - x.mean()) / x.std(correction=0) for x in (logits, shape(3, n))]
        close(agreement(logit_table(logits), rows[1]), 1 - (scored[0] - scored[1]).square().mean())
    close(fit(logit_table(logits), rows[:0]), 0)
    close(fit(logit_table(pizza(1, n)), rows[[0, 0]]), 1)  # a frequency given twice


@pytest.mark.parametrize("n", [11, 16])
def test_a_rotated_pizza_is_found_with_its_phases(n):
    k, row = 3, torch.tensor([2])
    logits = pizza(k, n, phase=1.5, offset=0.4)
    fits = circle_fits(offset_waves(logit_table(logits), row))
    close(fits.difference, [1.5], rtol=0, atol=0.01)  # the phases tried are one degree apart
    close(fits.pizza_offset, [0.4], rtol=0, atol=1e-3)  # no sample has all harmonics
    table = logit_table(logits)
    assert float(agreement(table, pizzas(row, n, fits.difference, fits.pizza_offset)[0])) > 0.999
    assert float(agreement(table, pizzas(row, n)[0])) < 0.8
    close(preference(fits), 1 - fits.clock[0], rtol=0, atol=1e-4)
    assert PREFERENCE < float(preference(fits)) < 0.25


def test_clocks_are_no_pizzas_and_two_differences_are_neither():
    fits = circle_fits(offset_waves(logit_table(clock(3, 16) + clock(8, 16)), torch.tensor([2, 7])))
    close(fits.clock, [1, 1])
    assert -0.25 < float(preference(fits)) < -PREFERENCE
    close(fits.energy, [0.5, 0])
    close(preference(circle_fits(offset_waves(logit_table(drawn(25, 5)), torch.tensor([], dtype=torch.int64)))), 0)
