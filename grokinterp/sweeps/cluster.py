"""A connection to a Ray cluster, or to one that is started on this machine, and the tasks that fit on its nodes."""

import os
import re
import secrets
import signal
import socket
from collections.abc import Generator, Iterable, Mapping
from contextlib import ExitStack, contextmanager, redirect_stdout
from functools import cache
from io import StringIO
from pathlib import Path
from typing import Any, NamedTuple

from grokinterp.errors import ConfigError, GrokinterpError, require, short
from grokinterp.interrupt import STOPPING, is_main_thread
from grokinterp.streams import silent_standard_error
from grokinterp.sweeps.processes import changed_environment, cores

ADDRESS = re.compile(r"(?P<host>[A-Za-z0-9._-]+|\[[0-9A-Fa-f:]+\]):(?P<port>[0-9]{1,5})")
"""The address of a cluster: host and port of its head node."""

AUTO = "auto"
"""The address of the cluster to which this machine belongs."""

PATIENCE = 10.0
"""Seconds to wait for the head node to accept a connection."""

OBJECT_STORE = 2**28
"""Bytes of the object store of a cluster that is started here, in which little is kept: its workers share the disk."""

TOKENS = ("RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH")


class Share(NamedTuple):
    """The part of a GPU that each task takes: 0 for a core only, 1 for a whole GPU, where runs train as one program."""

    gpus: float

    @property
    def is_whole(self) -> bool:
        """Whether a task has a GPU of its own."""
        return self.gpus == 1

    @property
    def device(self) -> str:
        """The device of the runs."""
        return "cuda" if self.gpus else "cpu"

    def tasks(self, nodes: Iterable[Mapping[str, float]]) -> int:
        """Return how many tasks nodes with some resources run at a time; a task also takes a core.

        >>> node = {"CPU": 8.0, "GPU": 2.0}
        >>> Share(0).tasks([node, node]), Share(0.25).tasks([node]), Share(0.4).tasks([node]), Share(1).tasks([node])
        (16, 8, 4, 2)
        """
        return sum(min(int(node.get("CPU", 0)), self._on_gpus(int(node.get("GPU", 0)))) for node in nodes)

    def _on_gpus(self, gpus: int) -> int:
        return gpus * int(1 / self.gpus + 1e-9) if self.gpus else 2**31


def chosen_share(gpus: float | None, nodes: Iterable[Mapping[str, float]]) -> Share:
    """Return the share of a GPU of each task: as given, or by default a whole one if the cluster has any.

    Raises:
        ConfigError: the cluster has no GPU.
    """
    there = sum(node.get("GPU", 0) for node in nodes)
    if gpus is None:
        return Share(1.0 if there else 0.0)
    require(gpus == 0 or there > 0, "gpus", gpus, "the cluster has no GPU")
    return Share(float(gpus))


def require_address(address: str | None) -> str | None:
    """Return the address of a cluster, by default that in RAY_ADDRESS; None to start one here.

    Raises:
        ConfigError: it is not the address of a head node.
    """
    found = address if address is not None else os.environ.get("RAY_ADDRESS") or None
    rule = "must be HOST:PORT of the head node, or auto for the cluster to which this machine belongs"
    key = "RAY_ADDRESS" if address is None else "address"
    require(found is None or found == AUTO or ADDRESS.fullmatch(found) is not None, key, short(found), rule)
    return found


@contextmanager
def connected(address: str | None, *, workers: int | None) -> Generator[Any]:
    """Hold a connection to a cluster inside the block, and yield the module ``ray``.

    A cluster that this program has connected to before is used, and stays connected. A cluster that is started here,
    with a token of its own and without dashboard, ends with the block. No usage statistics are sent.

    Args:
        address: the address of the cluster; None to start one on this machine.
        workers: the cores of a cluster that is started here (default: all).

    Raises:
        ConfigError: Ray is not installed, or the cluster cannot be reached.
    """
    if address is not None and address != AUTO:
        require_reachable(address)
    with changed_environment(**environment_of(address)), ExitStack() as stack:
        try:
            import ray
        except ImportError as error:
            rule = f'needs the extra "sweeps": pip install "grokinterp[sweeps]" ({error})'
            raise ConfigError("engine", "ray", rule) from None
        stack.enter_context(redirect_stdout(StringIO()))  # where Ray prints notices that the sweep states itself
        if not ray.is_initialized():
            stack.callback(ray.shutdown)
            with kept_handlers():
                connect(ray, address, workers)
        else:
            require(address is None, "address", address, "cannot be used: this program is connected to a cluster")
        yield ray


def connect(ray: Any, address: str | None, workers: int | None) -> None:
    """Open the connection to a cluster, or start one. Raises ConfigError."""
    quiet = {"include_dashboard": False, "log_to_driver": False, "logging_level": "CRITICAL"}
    try:
        if address is None:
            size = {"num_cpus": workers or cores(), "object_store_memory": OBJECT_STORE}
            ray.init(address="local", **size, **quiet)
        else:
            with silent_standard_error():  # on which Ray's own library repeats a refusal for twenty seconds
                ray.init(address=address, **quiet)
    except Exception as error:  # Ray raises many kinds, also plain ones
        why = f"{type(error).__name__}: {error}"
        if address is None:
            raise GrokinterpError(f"no Ray cluster could be started on this machine: {why}") from error
        rule = "no connection: is this machine part of the cluster, with the token of its head node (docs/clusters.md)?"
        raise ConfigError("address", address, f"{rule} {short(why, 200)}") from error


def require_reachable(address: str) -> None:
    """Raise ConfigError unless something accepts connections at an address."""
    found = ADDRESS.fullmatch(address)
    assert found is not None
    try:
        socket.create_connection((found["host"].strip("[]"), int(found["port"])), PATIENCE).close()
    except (OSError, OverflowError) as error:
        raise ConfigError("address", address, f"no cluster answers there: {error}") from None


def environment_of(address: str | None) -> dict[str, str]:
    """Return the environment of Ray: no usage statistics, and token authentication, unless the user has chosen.

    A cluster that is started here without a token of the user has one of its own. A connection to another cluster uses
    the token of the user, if there is one.
    """
    found = {"RAY_USAGE_STATS_ENABLED": "0"}
    mode = os.environ.get("RAY_AUTH_MODE", "").lower()
    has_token = any(os.environ.get(name) for name in TOKENS) or (Path.home() / ".ray" / "auth_token").exists()
    if mode != "disabled" and (address is None or has_token or mode):
        found["RAY_AUTH_MODE"] = "token"
        if address is None and not has_token:
            found["RAY_AUTH_TOKEN"] = own_token()
    return found


@cache
def own_token() -> str:
    """Return the token of the clusters that this program starts; Ray reads it once."""
    return secrets.token_hex(32)


@contextmanager
def kept_handlers() -> Generator[None]:
    """Restore the handlers of signals after the block, because Ray replaces that of SIGTERM."""
    if not is_main_thread():
        yield
        return
    before = {number: signal.getsignal(number) for number in STOPPING}
    try:
        yield
    finally:
        for number, handler in before.items():
            if handler is not None:  # one that Python can restore
                signal.signal(number, handler)
