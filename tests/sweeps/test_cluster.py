"""Which tasks a cluster is given, and how it is reached, without a cluster."""

import socket
import sys
from pathlib import Path

import pytest

from grokinterp.errors import ConfigError
from grokinterp.sweeps.cluster import Share, chosen_share, connected, environment_of, require_address
from grokinterp.sweeps.entry import entries_in
from grokinterp.sweeps.grid import Grid
from grokinterp.sweeps.jobs import MOST_STACKED, jobs_of
from grokinterp.sweeps.sweep import Sweep, plan
from tests.support.small_runs import TINY, changed

CORES, GPUS = {"CPU": 16.0}, {"CPU": 16.0, "GPU": 4.0}


@pytest.mark.parametrize(
    ("gpus", "nodes", "tasks"),
    [
        (0, [CORES, GPUS], 32),
        (1, [CORES, GPUS, GPUS], 8),
        (0.5, [CORES, GPUS], 8),
        (0.3, [GPUS], 12),  # a task does not use parts of two GPUs
        (0.1, [GPUS], 16),  # the cores of the node are fewer
        (1, [{"GPU": 2.0}], 0),
        (0, [{"memory": 1e9}], 0),
    ],
)
def test_the_number_of_tasks_follows_from_the_nodes(gpus, nodes, tasks):
    assert Share(gpus).tasks(nodes) == tasks


def test_by_default_whole_gpus_are_used_where_there_are_any():
    assert chosen_share(None, [CORES]) == Share(0.0)
    assert chosen_share(None, [CORES, GPUS]) == Share(1.0)
    assert (Share(1.0).device, Share(0.2).device, Share(0.0).device) == ("cuda", "cuda", "cpu")
    with pytest.raises(ConfigError, match=r"gpus=0.5: the cluster has no GPU"):
        chosen_share(0.5, [CORES])


def test_runs_that_fit_together_are_divided_among_whole_gpus(tmp_path):
    listed = [changed(seed=seed, task={"p": p}) for p in (7, 11) for seed in range(5)]
    entries = entries_in(tmp_path, listed)
    assert [len(job.entries) for job in jobs_of(entries, Share(0.5), slots=4)] == [1] * 10
    jobs = jobs_of(entries, Share(1.0), slots=2)
    assert [len(job.entries) for job in jobs] == [3, 2, 3, 2]
    assert [{entry.experiment.task.p for entry in job.entries} for job in jobs] == [{7}, {7}, {11}, {11}]
    many = entries_in(tmp_path, [changed(seed=seed) for seed in range(150)])
    sizes = [len(job.entries) for job in jobs_of(many, Share(1.0), slots=1)]
    assert (sum(sizes), max(sizes)) == (150, MOST_STACKED)


def test_addresses_are_checked_before_any_work(monkeypatch, tmp_path):
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    assert require_address(None) is None
    for right in ("auto", "head-1:6379", "[::1]:6379"):
        assert require_address(right) == right
    for wrong in ("head", "ray://head:10001", "http://localhost:8265", "head:port", ""):
        with pytest.raises(ConfigError, match=r"^address=.*: must be HOST:PORT"):
            require_address(wrong)
    monkeypatch.setenv("RAY_ADDRESS", "ray://head:10001")
    with pytest.raises(ConfigError, match=r"^RAY_ADDRESS=ray://head:10001: must be HOST:PORT"):
        require_address(None)
    sweep = Sweep.of("s", Grid(TINY, {"seed": [0, 1]}))
    for values, message in (
        ({"address": "head:1"}, "address=head:1: is for --engine ray"),
        ({"engine": "local", "gpus": 1.0}, "gpus=1.0: is for --engine ray"),
        ({"engine": "ray", "gpus": 2.0}, "gpus=2.0: must be from 0 to 1"),
    ):
        with pytest.raises(ConfigError, match=message):
            plan(sweep, tmp_path, **values)


def test_a_cluster_that_does_not_answer_is_named():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # without listening
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        with (
            pytest.raises(ConfigError, match=f"address={address}: no cluster answers there"),
            connected(address, workers=None),
        ):
            pass


def test_without_ray_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    missing = r'engine=ray: needs the extra "sweeps": pip install "grokinterp\[sweeps\]"'
    with pytest.raises(ConfigError, match=missing), connected(None, workers=1):
        pass


def test_clusters_are_guarded_by_a_token_unless_the_user_says_otherwise(monkeypatch, tmp_path):
    for name in ("RAY_AUTH_MODE", "RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    started = environment_of(None)
    assert started["RAY_USAGE_STATS_ENABLED"] == "0"
    assert (started["RAY_AUTH_MODE"], len(started["RAY_AUTH_TOKEN"])) == ("token", 64)
    assert environment_of(None) == started
    assert environment_of("head:1") == {"RAY_USAGE_STATS_ENABLED": "0"}
    (tmp_path / ".ray").mkdir()
    Path(tmp_path / ".ray" / "auth_token").write_text("a" * 64)
    guarded = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_AUTH_MODE": "token"}
    assert [environment_of(where) for where in (None, "head:1")] == [guarded, guarded]
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")
    assert environment_of(None) == {"RAY_USAGE_STATS_ENABLED": "0"}
