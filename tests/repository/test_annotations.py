"""Shape annotations are executed under pytest (jaxtyping and beartype), so that wrong annotations are noticed."""

import subprocess
import sys

import pytest
import torch
from jaxtyping import TypeCheckError

from grokinterp.losses import cross_entropy


def test_a_wrong_shape_is_refused_under_pytest():
    with pytest.raises(TypeCheckError, match="labels"):
        cross_entropy(torch.zeros(2, 3), torch.zeros(4, dtype=torch.int64))


def test_a_wrong_dtype_is_refused_under_pytest():
    with pytest.raises(TypeCheckError, match="labels"):
        cross_entropy(torch.zeros(2, 3), torch.zeros(2))


def test_nothing_is_checked_outside_pytest(root):
    script = "import grokinterp.losses, sys; print('beartype.roar' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], cwd=root, capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"
