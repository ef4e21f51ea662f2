"""The weights with which a branch starts: those of a step of another run, after edits."""

from collections.abc import Mapping
from typing import NamedTuple

from torch import Tensor

from grokinterp.errors import CheckpointError, ConfigError, errors_named, require, short
from grokinterp.experiment import Experiment, Origin
from grokinterp.experiment.edits import Graft
from grokinterp.interventions.edited import edited
from grokinterp.models import Model
from grokinterp.runs.trajectory import Trajectory
from grokinterp.storage import RunDirectory, configuration_hash, encode_tensors
from grokinterp.storage.files import canonical_json, parse_json
from grokinterp.torch_settings import computing
from grokinterp.training.origin import listed
from grokinterp.training.packing import Packed, pack, unpack

STATE = "state"
"""The text in the file of a start that holds the values of the optimizer state."""


class Start(NamedTuple):
    """The start of a branch.

    Args:
        weights: the state dict of the model.
        inherited: the optimizer state of the parent, packed; None if the branch starts without it.
    """

    weights: dict[str, Tensor]
    inherited: Packed | None

    @classmethod
    @computing()
    def from_parent(cls, experiment: Experiment) -> "Start":
        """Return the start of a branch from the files of its parent, after the edits.

        Raises:
            GrokinterpError: if a checkpoint is damaged, an edit cannot be applied, or the weights do not fit the model.
        """
        origin = experiment.origin
        assert origin is not None
        parent = Trajectory.open(origin.run)
        checkpoint = parent[origin.step]
        for i, edit in enumerate(origin.edits):
            grafted = isinstance(edit, Graft) and edit.run is not None
            with errors_named(f"origin.edits.{i}"):
                checkpoint = edited(checkpoint, edit, Trajectory.open(edit.run) if grafted else parent)
        weights = fitting(checkpoint.model.state_dict(), experiment, origin)
        return cls(weights, optimizer_state(parent, experiment, origin) if origin.optimizer_state else None)

    @classmethod
    def of(cls, run: RunDirectory, experiment: Experiment) -> "Start | None":
        """Return the start of a branch from its own directory; None for a run that is not a branch.

        Raises:
            CheckpointError: if the file is missing or damaged, or belongs to another run.
        """
        if experiment.origin is None:
            return None
        stored = run.load_start()
        names = experiment.empty_model(device="meta").state_dict().keys()
        weights = {name: stored.tensors.pop(name) for name in names if name in stored.tensors}
        if len(weights) != len(names):
            raise CheckpointError(run.start_path.name, "does not hold this model's parameters")
        plan = stored.extra.get(STATE)
        return cls(weights, None if plan is None else (stored.tensors, parse_json(plan)))

    def encode(self, experiment: Experiment) -> bytes:
        """Return the content of the file of the branch that holds its start."""
        tensors, plan = self.inherited or ({}, None)
        extra = {} if self.inherited is None else {STATE: canonical_json(plan)}
        run_id = configuration_hash(experiment.to_dict())
        return encode_tensors(self.weights | tensors, step=0, run_id=run_id, extra=extra)

    def model(self, experiment: Experiment) -> Model:
        """Return the model with these weights, on the CPU."""
        model = experiment.empty_model()
        model.load_state_dict(self.weights)
        return model


def fitting(state: Mapping[str, Tensor], experiment: Experiment, origin: Origin) -> dict[str, Tensor]:
    """Return weights in the precision of the model. Raises ConfigError if the model has others."""
    expected = experiment.empty_model(device="meta").state_dict()
    for name in sorted({*state, *expected}):
        there, here = (tuple(tensors[name].shape) if name in tensors else "missing" for tensors in (state, expected))
        rule = f"does not fit the model: {name} is {there} there, {here} here"
        require(there == here, "origin.run", short(origin.run), rule)
    return {name: value.to(expected[name].dtype) for name, value in state.items()}


def optimizer_state(parent: Trajectory, experiment: Experiment, origin: Origin) -> Packed:
    """Return the optimizer state of the parent at the step of the branch, with the memory of the filters.

    Raises:
        ConfigError: if the parent has no resume state at the step, or was trained by another optimizer.
    """
    key, there, here = "origin.optimizer_state", parent.experiment.optimization, experiment.optimization
    for name in ("optimizer", "filters", "parts"):
        require(getattr(there, name) == getattr(here, name), key, True, f"needs the parent's optimization.{name}")
    same = parent.experiment.model.scales_rates == experiment.model.scales_rates
    require(same, key, True, "needs the parent's model.initialization, on which the groups of the optimizer depend")
    store = parent.directory.resume
    saved = store.load(at_most=origin.step)
    if saved is None or saved.step != origin.step:
        rule = f"needs a resume state at step {origin.step}; {parent.path} has {listed(store.steps())}"
        raise ConfigError(key, True, rule)
    try:
        state = unpack(saved.state["training_step"], saved.tensors)
        return pack({name: state[name] for name in ("optimizer", "averaged", "seen")}, "step")
    except (KeyError, TypeError, ValueError):
        raise ConfigError(key, True, f"the resume state of {parent.path} was written by another version") from None
