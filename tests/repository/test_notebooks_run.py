"""The notebooks that train their own networks run from top to bottom, with the solutions of their exercises."""

import os
from collections.abc import Iterator

import pytest
from jupyter_client import BlockingKernelClient

from tests.support.notebooks import FOLDER, NOTEBOOKS, complaints, executed, figures, kernel, read

pytestmark = [pytest.mark.notebook, pytest.mark.slow, pytest.mark.timeout(600)]

TRAINING = {path.stem: path for path in NOTEBOOKS[2:8]}
"""Those before them are about the run of test_demo.py."""


@pytest.fixture(scope="module")
def client(tmp_path_factory) -> Iterator[BlockingKernelClient]:
    """A kernel in an empty folder, in which notebooks leave their runs for later notebooks."""
    folder = tmp_path_factory.mktemp("notebooks")
    added = {"GROKINTERP_QUICK": "1", "IPYTHONDIR": str(folder), "PYTHONPATH": str(FOLDER.parent)}
    with kernel(folder, os.environ | added) as client:
        yield client


@pytest.mark.parametrize("name", TRAINING)
def test_it_runs(name, client):
    outputs = executed(read(TRAINING[name]), client)
    assert complaints(outputs) == []
    assert figures(outputs) >= 3


def test_the_one_about_published_networks_runs(client, published):
    path = NOTEBOOKS[8]
    client.execute_interactive(f"import os; os.environ['GROKINTERP_PUBLISHED'] = {str(published)!r}", timeout=60)
    assert complaints(executed(read(path), client)) == []


def test_a_run_that_does_not_fit_is_refused_in_one_line(client):
    """Notebook 1 in a folder whose latest run is about permutations."""
    for source in (
        "import os, shutil; os.chdir(os.environ['IPYTHONDIR'])",
        "shutil.copytree('checkpoints/notebooks', 'other/checkpoints', ignore=lambda _, names: "
        "[name for name in names if name.startswith(('pizza', 'prieto', 'own', 'fraction', 'published'))])",
        "os.chdir('other')",
    ):
        client.execute_interactive(source, timeout=60)
    with pytest.raises(AssertionError, match="must be a transformer that learns addition"):
        executed(read(NOTEBOOKS[0]), client)


def test_missing_published_networks_are_named(client, tmp_path):
    client.execute_interactive(f"import os; os.environ['GROKINTERP_PUBLISHED'] = {str(tmp_path)!r}", timeout=60)
    with pytest.raises(AssertionError, match=r"must contain model_p99zdpze5l\.pt and A5_MLP_seed1/model\.pt"):
        executed(read(NOTEBOOKS[8]), client)
