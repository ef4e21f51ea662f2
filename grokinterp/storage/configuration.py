"""The configuration of a run as it is stored: its hash, which identifies the run, and its planned length."""

import hashlib
from collections.abc import Mapping
from typing import Any

from grokinterp.storage.files import canonical_json
from grokinterp.storage.steps import LARGEST_STEP


def planned_steps(experiment: Mapping[str, Any]) -> Any:
    """Return the planned number of steps of a configuration, None where it is unknown.

    Recorded runs of unknown length were once stored with ``LARGEST_STEP`` steps.
    """
    model, steps = experiment.get("model"), experiment.get("steps")
    recorded = isinstance(model, Mapping) and model.get("kind") == "recorded"
    return None if recorded and steps == LARGEST_STEP else steps


def configuration_hash(experiment: Mapping[str, Any]) -> str:
    """Return the run id: 10 hex digits of the SHA-256 of the configuration's canonical JSON without its name.

    >>> configuration_hash({"name": "a", "seed": 0}) == configuration_hash({"seed": 0, "name": "b"})
    True
    """
    content = {key: value for key, value in experiment.items() if key != "name"}
    return hashlib.sha256(canonical_json(content).encode("ascii")).hexdigest()[:10]


def identity_of(experiment: Mapping[str, Any]) -> str:
    """Return the name and the run id of a configuration, ``NAME-RUN_ID``, as the documents of the run state them."""
    return f"{experiment.get('name', 'run')}-{configuration_hash(experiment)}"
