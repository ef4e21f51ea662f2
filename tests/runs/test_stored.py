"""A run whose configuration this version cannot read names itself and the version that wrote it."""

import pytest

from grokinterp._version import __version__
from grokinterp.errors import RunDirectoryError
from grokinterp.runs.trajectory import Trajectory
from grokinterp.storage import RunDirectory
from grokinterp.training import branched
from tests.support.small_runs import TINY


@pytest.mark.parametrize("version", ["99.0", __version__])
def test_a_setting_of_a_newer_version_is_named_with_the_versions(version, tmp_path):
    values = TINY.to_dict()
    values["optimization"]["rotation"] = 3
    RunDirectory.create(tmp_path / "run", values, {"grokinterp": version})
    for call in (Trajectory.open, lambda path: branched(path, 0)):
        with pytest.raises(RunDirectoryError) as refused:
            call(tmp_path / "run")
        assert str(refused.value).startswith(
            f"run directory {tmp_path / 'run'}: experiment.json: optimization.rotation=3"
        )
        assert ("the run is of grokinterp 99.0, and this is" in str(refused.value)) == (version == "99.0")
