"""Figures that are drawn and left blank: saving them takes most of the time of a report."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest


@contextmanager
def blank_figures() -> Iterator[None]:
    """Every figure is saved as an empty image until the block ends."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("grokinterp.figures.to_svg", lambda figure, **_: b'<svg xmlns="http://www.w3.org/2000/svg"/>')
        yield
