"""Read a run directory as data: steps, parameters, metrics, and checkpoints."""

import copy
from bisect import bisect_left
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple, SupportsIndex, final, overload

import torch
import xarray as xr
from torch import Tensor, nn

from grokinterp.display import Facts, html_table, one_line, specification
from grokinterp.errors import CheckpointError, ConfigError, NotDefined, RunDirectoryError, require, warn
from grokinterp.experiment import Experiment
from grokinterp.experiment.problem import Problem
from grokinterp.models import Answer, Model, RecordedInputs, RecordedModel
from grokinterp.models.recorded_spec import as_recorded
from grokinterp.runs.checkpoint import Checkpoint
from grokinterp.runs.datasets import read_metrics
from grokinterp.runs.results import Results
from grokinterp.runs.stored import stored_experiment
from grokinterp.runs.window import WHOLE, Window, listed, step_of
from grokinterp.storage import RunDirectory
from grokinterp.storage.files import path_of
from grokinterp.storage.staging import is_staging
from grokinterp.tasks import RecordedTask
from grokinterp.torch_settings import computing

UPDATE = "update/"
AVERAGE = "average/"


class Weights(NamedTuple):
    """The content of a checkpoint file: the model's state dict, the last update, and the averaged weights.

    ``previous_update`` is the update in the previous checkpoint file; it is None unless that file was read as well.
    """

    state: dict[str, Tensor]
    update: dict[str, Tensor] | None
    average: dict[str, Tensor] | None = None
    previous_update: dict[str, Tensor] | None = None


@final
@dataclass(frozen=True)
class Trajectory:
    """A run as data: its steps, parameters, and metrics. Files are read when needed.

    Numbers in brackets are optimizer steps, and negative numbers count checkpoints from the end: ``run[1200]`` is the
    checkpoint saved at step 1200, and ``run[-1]`` is the last. ``run[100:2000]`` is the part of the run with
    100 <= step < 2000. ``len(run)`` is the number of checkpoints, and ``for checkpoint in run`` reads them in order,
    one at a time.

    >>> run = Trajectory.open("checkpoints/demo")  # doctest: +SKIP
    >>> run[1200].logits.shape  # doctest: +SKIP
    torch.Size([2809, 53])
    """

    directory: RunDirectory
    experiment: Experiment
    module: nn.Module | None = None
    logits: Answer | None = None
    answer: int | None = None
    """The answer that checkpoints are about, of several; None is the last."""
    window: Window = WHOLE
    """The part of the run that is shown."""

    @classmethod
    def open(cls, path: str | Path, module: nn.Module | None = None, *, logits: Answer | None = None) -> "Trajectory":
        """Open a run directory.

        Args:
            path: the run directory.
            module: the network of a run written by a ``Recorder``, with any weights; it is copied. The run directory
                does not contain its code; without the module, only the weights are available.
            logits: the function passed to the recorder that finds the logits in the module's output.

        Raises:
            RunDirectoryError: the path is not a run directory, or its configuration is invalid here.
            ConfigError: the module does not fit the run.
            CheckpointError: the recorded inputs are damaged or missing.
        """
        directory = RunDirectory.open(path)
        run = cls(directory, stored_experiment(directory), module, logits)
        if module is not None:
            _ = run._template
        return run

    def __repr__(self) -> str:
        return one_line("Trajectory", self._facts())

    def _repr_html_(self) -> str:
        return html_table("Trajectory", self._facts())

    def _facts(self) -> Facts:
        """Return the task, model, saved steps, and status, without reading checkpoints."""

        def saved() -> str:
            steps = self.steps
            if len(steps) == 1:
                return f"1 checkpoint, step {steps[0]:,}"
            return f"{len(steps):,} checkpoints{f', steps {steps[0]:,}–{steps[-1]:,}' if steps else ''}"

        return {
            "run": lambda: repr(str(self.path)),
            "task": lambda: specification(self.experiment.task, sized=True),
            "model": lambda: specification(self.experiment.model),
            "checkpoints": saved,
            "part": lambda: "" if self.window.is_whole else f"part {self.window}",
            "status": lambda: self.directory.status["status"],
        }

    def __getattr__(self, name: str) -> Any:
        """Raise AttributeError for an unknown name, which says so if a checkpoint has it."""
        if hasattr(type(self), name):  # an AttributeError inside this property led here: raise it again as it was
            return object.__getattribute__(self, name)
        hint = ": it belongs to a checkpoint of the run, as run[-1]" if hasattr(Checkpoint, name) else ""
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}{hint}", name=name, obj=self)

    def empty_model(self) -> Model:
        """Return the model without the weights of the run, built from the recorded module if it was given."""
        return self.experiment.empty_model() if self.module is None else copy.deepcopy(self._template)

    @property
    def lacks_module(self) -> bool:
        """Whether the run was recorded from a module but opened without it."""
        return self.module is None and self.experiment.model.is_recorded

    @cached_property
    def _template(self) -> Model:
        """The recorded module as a model, in float32 on the CPU."""
        task, module = self.experiment.task, self.module
        if not self.experiment.model.is_recorded or module is None:
            raise ConfigError("module", type(module).__name__, "applies only to recorded runs, which this is not")
        spec = as_recorded(self.experiment.model)
        digest = task.digest if isinstance(task, RecordedTask) else spec.examples
        assert digest is not None  # a recorded model of a task has its examples
        if spec.own_logits != (self.logits is not None):
            rule = f"{'must be the function' if spec.own_logits else 'was not'} passed to the recorder"
            raise ConfigError("logits", "a function" if self.logits else None, rule)
        inputs = self.directory.load_examples(digest)
        own = copy.deepcopy(module).requires_grad_(True).cpu().float()
        before = 0 if self.answer is None else task.n_answers - 1 - self.answer
        stored = RecordedInputs.stored(inputs, task.n_examples)
        return RecordedModel(spec, own, stored, self.logits, before=before)

    @property
    def path(self) -> Path:
        return self.directory.path

    @property
    def steps(self) -> tuple[int, ...]:
        """The steps with a checkpoint file, in ascending order."""
        return tuple(step for step in self.directory.steps() if step in self.window)

    @property
    def results(self) -> Results:
        """The results of ``analyze`` for the whole run, as they are now; keep them, since each access opens them anew.

        The files are read on first use.
        """
        return Results(self.directory)

    def at_answer(self, answer: int) -> "Trajectory":
        """Return the run with checkpoints that are about one of several answers (by default, about the last).

        A recorded module is given its whole inputs at every answer, because it may not be causal.

        Args:
            answer: the index of the answer; negative indices count from the end.

        Raises:
            ConfigError: if there is no such answer.
        """
        count = self.experiment.task.n_answers
        require(-count <= answer < count, "answer", answer, f"must be from {-count} to {count - 1}")
        last = answer % count == count - 1
        return replace(self, answer=None if last else answer % count)

    @cached_property
    def problem(self) -> Problem:
        """All examples of the task with the labels of the answer, and their assignment to the training set."""
        return Problem.of(self.experiment).at_answer(self.answer)

    @property
    def metrics(self) -> xr.Dataset:
        """The training metrics over the evaluated steps; parameter norms have a ``parameter`` dimension."""
        table, _ = read_metrics(self.directory, loss=self.experiment.optimization.loss)
        shown = [step in self.window for step in table["step"].values.tolist()]
        return table if all(shown) else table.isel(step=shown)

    def weights(self, step: int) -> Weights:
        """Read and verify one checkpoint file.

        Raises:
            CheckpointError: the step was not saved, or its file is damaged, belongs to another run or model, or
                contains a NaN.
        """
        if not self.directory.has_checkpoint(step):
            raise CheckpointError(step, f"not saved; the run has {listed(self.directory.steps())}")
        stored = self.directory.load_checkpoint(step).tensors
        state = {name: value for name, value in stored.items() if not name.startswith((UPDATE, AVERAGE))}
        update, average = (_after(prefix, stored) for prefix in (UPDATE, AVERAGE))
        self._check_shapes(step, state, set(self.shapes))
        for part in (update, average):
            self._check_shapes(step, part, self.trained if part else set())
        for name, value in stored.items():
            mask = name in state and name not in self.trained  # buffers such as attention masks may contain -inf
            if value.is_floating_point() and not (~value.isnan() if mask else value.isfinite()).all():
                raise CheckpointError(self.directory.checkpoint_path(step).name, f"{name} is not finite")
        return Weights(state, update or None, average or None)

    @computing()
    def model(self, step: SupportsIndex | None = None, *, averaged: bool = False) -> Model:
        """Return the model at ``step`` (default: the last), in float32, with TransformerLens hooks.

        Args:
            step: a saved step; negative numbers count checkpoints from the end.
            averaged: use the moving average of the weights (``optimization.average``).

        Raises:
            CheckpointError: the step was not saved, or its file is damaged.
            NotDefined: the run has no moving average of the weights.
        """
        weights = self.weights(self._step(step))
        if averaged and weights.average is None:
            raise NotDefined("average", "the run keeps no moving average of the weights (optimization.average)")
        model = self.empty_model()
        model.load_state_dict(weights.state | (weights.average or {} if averaged else {}))
        return model

    def each_weights(self, steps: Iterable[int]) -> Iterator[tuple[int, Weights | CheckpointError]]:
        """Yield each step with its weights and previous update, or with the read error; each file is read once."""
        saved, last = self.directory.steps(), (-1, None)
        for step in steps:
            try:
                weights = self.weights(step)
            except CheckpointError as error:
                yield step, error
                continue
            place = bisect_left(saved, step)
            before = saved[place - 1] if place else -1
            previous = last[1] if last[0] == before else self._update(before)
            last = (step, weights.update)
            yield step, weights._replace(previous_update=previous)

    def _update(self, step: int) -> dict[str, Tensor] | None:
        """Return the last update stored in a checkpoint; None if it has none or cannot be read."""
        try:
            return self.weights(step).update
        except CheckpointError:
            return None

    def __len__(self) -> int:
        """Return the number of checkpoints."""
        return len(self.steps)

    def __bool__(self) -> bool:
        """Return True: a run without checkpoints is a run, too."""
        return True

    def __iter__(self) -> Iterator[Checkpoint]:
        """Yield every checkpoint in order of its step; damaged checkpoints are left out with a warning.

        Each file is read when its checkpoint is due, and once.
        """
        for step, weights in self.each_weights(self.steps):
            if isinstance(weights, CheckpointError):
                warn(f"left out: {weights}", stacklevel=2)
            else:
                yield self._checkpoint(step, weights)

    def __contains__(self, step: object) -> bool:
        """Return whether a step was saved."""
        return step in self.steps

    @overload
    def __getitem__(self, step: SupportsIndex) -> Checkpoint: ...

    @overload
    def __getitem__(self, step: slice) -> "Trajectory": ...

    def __getitem__(self, step: SupportsIndex | slice) -> "Checkpoint | Trajectory":
        """Return the checkpoint of a saved step, in float64, or the part of the run between two steps.

        ``run[1200]`` is step 1200; ``run[-1]`` is the last checkpoint, and ``run[-2]`` the one before it.
        ``run[100:2000]`` holds the checkpoints and metrics with 100 <= step < 2000, and ``run[-5:]`` the last five
        checkpoints.

        Raises:
            CheckpointError: the step was not saved, or its file is damaged.
            ConfigError: the number is not an integer, or a slice has a stride, which could count steps or checkpoints.
        """
        if isinstance(step, slice):
            return replace(self, window=self.window.narrowed(step, self.steps))
        return self.checkpoint(step)

    def checkpoint(self, step: SupportsIndex | None = None) -> Checkpoint:
        """Return the checkpoint of ``step`` (default: the last), in float64."""
        ((number, weights),) = self.each_weights([self._step(step)])
        if isinstance(weights, CheckpointError):
            raise weights
        return self._checkpoint(number, weights)

    def _step(self, step: SupportsIndex | None) -> int:
        """Return a saved step of this part of the run (default: the last)."""
        saved = self.steps
        if not saved:
            where = "" if self.window.is_whole else f" in the part {self.window}"
            raise RunDirectoryError(self.path, f"has no checkpoint{where or ' yet'}")
        return step_of(-1 if step is None else step, saved)

    @computing()
    def _checkpoint(self, step: int, weights: Weights) -> Checkpoint:
        model = self.empty_model().double()
        model.load_state_dict(weights.state)
        update, previous = _double(weights.update), _double(weights.previous_update)
        return Checkpoint(step, model, self.problem, update, previous_update=previous)

    @computing()
    def params(self, names: Iterable[str], *, steps: Iterable[int] | None = None) -> dict[str, Tensor]:
        """Return weights with a leading ``step`` axis: ``params(["embed.W_E"])["embed.W_E"]`` [step, token, d_model].

        Raises:
            KeyError: the model has no parameter with that name.
        """
        names = [names] if isinstance(names, str) else list(names)
        for name in names:
            if name not in self.shapes:
                raise KeyError(f"no parameter {name!r}; the model has {', '.join(self.shapes)}")
        wanted = self.steps if steps is None else tuple(steps)
        if not wanted:
            raise RunDirectoryError(self.path, "has no checkpoint yet")
        kept: dict[str, list[Tensor]] = {name: [] for name in names}
        for step in wanted:  # one file in memory at a time
            state = self.weights(step).state
            for name, values in kept.items():
                values.append(state[name])
        return {name: torch.stack(values) for name, values in kept.items()}

    @cached_property
    def _meta_model(self) -> Model:
        """The model on the meta device, for the names and shapes of its weights."""
        return self.experiment.empty_model(device="meta")

    @cached_property
    def shapes(self) -> dict[str, torch.Size]:
        """The shape of every weight and buffer of the model, by its name."""
        return {name: value.shape for name, value in self._meta_model.state_dict().items()}

    @cached_property
    def trained(self) -> set[str]:
        """The names of the parameters, which are the weights without the buffers."""
        return {name for name, _ in self._meta_model.named_parameters()}

    def _check_shapes(self, step: int, tensors: dict[str, Tensor], names: set[str]) -> None:
        """Raise CheckpointError unless the tensors have these names and the shapes of the model."""
        path = self.directory.checkpoint_path(step).name
        if set(tensors) != names:
            odd = sorted(set(tensors) ^ names)
            raise CheckpointError(path, f"does not hold this model's parameters: {', '.join(odd[:3])}")
        for name, value in tensors.items():
            if value.shape != self.shapes[name]:
                shapes = f"{tuple(value.shape)}, but {tuple(self.shapes[name])} in the model"
                raise CheckpointError(path, f"{name} has shape {shapes}")


def _after(prefix: str, stored: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return the tensors whose names start with a prefix, keyed by the rest of their names."""
    return {name.removeprefix(prefix): value for name, value in stored.items() if name.startswith(prefix)}


def _double(update: dict[str, Tensor] | None) -> dict[str, Tensor] | None:
    return None if update is None else {name: value.double() for name, value in update.items()}


def latest_run(root: str | Path = "checkpoints") -> Trajectory:
    """Return the run in a folder whose metrics were written last.

    Raises:
        RunDirectoryError: the folder contains no run directory.
    """
    runs = [path.parent for path in path_of("root", root).glob("*/experiment.json")]
    runs = [run for run in runs if not is_staging(run)]
    if not runs:
        raise RunDirectoryError(root, "contains no run directory")
    return Trajectory.open(max(runs, key=last_written))


def last_written(run: Path) -> tuple[int, str]:
    """Return when the metrics of a run, or else its configuration, were last written, and the name of the run."""
    for file in (run / "metrics.jsonl", run / "experiment.json"):
        with suppress(OSError):
            return file.stat().st_mtime_ns, run.name
    return 0, run.name
