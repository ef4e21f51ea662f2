"""Docstrings become attributes: long names and units of fields, title, explanation and source of an analysis."""

from typing import NamedTuple

from jaxtyping import Float
from torch import Tensor

from grokinterp.analysis import ANALYSES
from grokinterp.analysis.engine.labeled import described, field_labels


class Pieces(NamedTuple):
    """Rows of the embedding.

    embedding: rows of W_E, the first three [1]
    """

    embedding: Float[Tensor, "token _"]


def test_labels_come_from_the_docstring():
    labels = {"long_name": "embedding", "description": "rows of W_E, the first three", "units": "1"}
    assert field_labels(Pieces) == {"embedding": labels}


def several_paragraphs():
    """Return the norm of W_E,
    per token.

        norm = √Σ_i W_i²

    >>> 0.5 + 0.5
    1.0

    The mean is not subtracted.

    Args:
        checkpoint: the network. Source: not this.

    Source: Nanda et al. 2023, §4.1 (spectrum);
        docs/formulas.md, Fourier structure.

    Raises:
        NotDefined: never.
    """


def test_paragraphs_before_the_first_section_explain_and_doctests_are_left_out():
    expected = "Return the norm of W_E, per token.\n\nnorm = √Σ_i W_i²\n\nThe mean is not subtracted."
    assert described(several_paragraphs)["about"] == expected


def test_the_source_is_one_line_and_ends_with_its_paragraph():
    source = "Nanda et al. 2023, §4.1 (spectrum); docs/formulas.md, Fourier structure."
    assert described(several_paragraphs)["source"] == source


def source_in_the_sentence():
    """Return the norms. Source: Nanda et al. 2023, §3."""


def no_docstring():
    pass


def test_a_source_may_follow_in_the_same_line():
    found = described(source_in_the_sentence, title="Norms")
    assert found == {"title": "Norms", "about": "Return the norms.", "source": "Nanda et al. 2023, §3."}


def test_an_analysis_without_docstring_has_a_title_only():
    assert described(no_docstring) == {"title": "No docstring"}


def test_every_analysis_has_a_title_an_explanation_and_a_source():
    for analysis in ANALYSES:
        assert set(described(analysis)) == {"title", "about", "source"}, analysis.__name__
