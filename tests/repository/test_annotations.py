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


WITHOUT = {"grokinterp.experiment.experiment"}
"""Its shapes are those of ``Split`` and ``Problem``, which are checked."""


def test_every_module_that_annotates_shapes_is_checked(root, pytestconfig):
    *checked, _ = pytestconfig.getoption("jaxtyping_packages").split(",")
    modules = [
        ".".join(file.relative_to(root).with_suffix("").parts)
        for file in (root / "grokinterp").rglob("*.py")
        if "jaxtyping import" in file.read_text(encoding="utf-8")
    ]
    left_out = {name for name in modules if not any(f"{name}.".startswith(f"{package}.") for package in checked)}
    assert left_out == WITHOUT
