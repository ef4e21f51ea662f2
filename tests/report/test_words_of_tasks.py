"""Every task in words, and the terms of a page explained where they first stand."""

from dataclasses import asdict

import numpy as np
import pytest
import xarray as xr

from grokinterp.report.terms import marker
from grokinterp.report.vocabulary import Vocabulary, by_exponent, order_note
from grokinterp.tasks import TASKS as KINDS
from grokinterp.tasks.descriptions import WORDS, named
from tests.cases.tasks import TASKS
from tests.support.report_page import PAYLOADS


@pytest.mark.parametrize("name", TASKS)
def test_every_task_has_a_title_and_a_sentence(name):
    title, sentence = named(asdict(TASKS[name]))
    assert title[:1].isupper() or "modulo" in title or " or " in title
    assert sentence.startswith("Given ")
    assert sentence.endswith(".")
    assert not set("?{}[]()") & set(title + sentence.replace("(a ", "").replace(")", "").replace("mod", ""))


def test_every_kind_has_words():
    assert WORDS.keys() >= KINDS.keys()


@pytest.mark.parametrize("payload", PAYLOADS)
def test_no_text_of_a_task_is_markup(payload):
    for kind in WORDS:
        title, sentence = named(dict.fromkeys(("p", "n", "group", "data", "expression"), payload) | {"kind": kind})
        assert isinstance(title, str)
        assert isinstance(sentence, str)
    assert payload == "<!--" or "<scr" not in str(marker()(f"{payload} chance loss {payload}"))


def test_a_term_is_explained_once():
    explained = marker()
    first, second = explained("The clock & the pizza."), explained("A clock again.")
    assert first.count("<dfn") == 2
    assert "&amp;" in first
    assert second == "A clock again."


def test_products_are_drawn_in_the_order_of_exponents():
    """Along the anti-diagonals of a table of exponents the product is the same."""
    p, powers = 5, (1, 2, 4, 3)
    product = np.array([[a * b % p for b in range(p)] for a in range(p)])
    data = xr.Dataset({"answer": (("a", "b"), product)}, {"a": range(p), "b": range(p)})
    ordered = by_exponent(data, Vocabulary(powers=powers))["answer"].values
    assert ordered.tolist() == [[powers[(i + j) % 4] for j in range(4)] for i in range(4)]
    vocabulary = Vocabulary(powers=powers)
    assert "exponents of 2; 0 is omitted" in order_note(by_exponent(data, vocabulary), vocabulary)
    assert by_exponent(data, Vocabulary()).equals(data)
