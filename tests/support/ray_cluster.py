"""A Ray cluster of several nodes on this machine, whose processes are not those of the tests.

As a script: starts a head without cores and some nodes with one core each, prints the address and the process ids of
the nodes, and kills the node whose number is on a line of standard input.
"""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
GUARDED = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": "0123456789abcdef" * 4, "RAY_USAGE_STATS_ENABLED": "0"}


class RayCluster:
    """A cluster that starts meanwhile."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process

    @cached_property
    def started(self) -> list[str]:
        """The address and the process ids of the nodes, once it has started."""
        assert self.process.stdout is not None
        return self.process.stdout.readline().split()

    @property
    def address(self) -> str:
        """Host and port of the head."""
        return self.started[0]

    def node_of(self, worker: int) -> int:
        """The number of the node to which a worker process belongs."""
        parent = Path(f"/proc/{worker}/stat").read_text().rpartition(")")[2].split()[1]
        return self.started[1:].index(parent)

    def kill_node(self, number: int) -> None:
        """Kill all processes of a node."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(f"{number}\n")
        self.process.stdin.flush()
        assert self.process.stdout.readline() == f"killed {number}\n"


@contextmanager
def ray_cluster(nodes: int, scratch: Path) -> Iterator[RayCluster]:
    """A cluster whose workers have ``scratch`` as their current and as their temporary folder."""
    folder = Path(tempfile.mkdtemp(prefix="ray", dir="/tmp"))  # sockets need a short path
    environment = os.environ | GUARDED | {"RAY_TMPDIR": str(folder), "TMPDIR": str(scratch), "PYTHONPATH": str(ROOT)}
    command, pipe = [sys.executable, __file__, str(nodes)], subprocess.PIPE
    with subprocess.Popen(
        command,
        env=environment,
        cwd=scratch,
        stdin=pipe,
        stdout=pipe,
        stderr=subprocess.DEVNULL,
        text=True,
        start_new_session=True,
    ) as process:
        try:
            yield RayCluster(process)
        finally:
            os.killpg(process.pid, signal.SIGKILL)
            shutil.rmtree(folder, ignore_errors=True)


def serve(nodes: int) -> None:
    """Start the cluster, and kill nodes until the standard input ends."""
    from ray.cluster_utils import Cluster

    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False})
    workers = [cluster.add_node(num_cpus=1, wait=False) for _ in range(nodes)]
    cluster.wait_for_nodes()
    raylets = [node.all_processes["raylet"][0].process.pid for node in workers]
    print(cluster.address, *raylets, flush=True)
    for line in sys.stdin:
        cluster.remove_node(workers[int(line)], allow_graceful=False)
        print("killed", line.strip(), flush=True)


if __name__ == "__main__":
    serve(int(sys.argv[1]))
