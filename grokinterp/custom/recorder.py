"""Record a training run from any loop as a run directory."""

import math
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, final, get_args

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from grokinterp.custom.module_description import Known, describe_module
from grokinterp.custom.recorded_configuration import difference_between, name_of, optimization_of, split_of
from grokinterp.custom.recorded_examples import encoded, examples_of, recorded_task, require_regression, same
from grokinterp.custom.recording import Watched, copies, undisturbed, unwrapped
from grokinterp.custom.task_examples import task_examples
from grokinterp.errors import ConfigError, RunDirectoryError, require, require_choice, short
from grokinterp.experiment import Experiment, Optimization
from grokinterp.experiment.problem import Problem
from grokinterp.losses import LossForm
from grokinterp.models import Answer, RecordedSpec
from grokinterp.models.places import ReadAt
from grokinterp.models.recorded_spec import as_recorded
from grokinterp.models.recorded_state import state_tensors
from grokinterp.runs.trajectory import UPDATE
from grokinterp.specification import require_type
from grokinterp.storage import RunDirectory
from grokinterp.storage.continuations import EXTERNAL
from grokinterp.storage.files import path_of
from grokinterp.storage.metrics_log import PROTECTION
from grokinterp.tasks import Task
from grokinterp.training.continuation import continuation
from grokinterp.training.environment import changes, describe
from grokinterp.training.metrics import logit_statistics, of_answers, row, score

Examples = Any
"""A pair: inputs (a tensor, a tuple of tensors or a dict of them) and labels."""


@final
class Recorder:
    """Saves the trajectory of any module while your own loop trains it.

        recorder = Recorder("checkpoints/mine", model, train=(x, y), test=(x_test, y_test), optimizer=optimizer)
        for step in range(steps + 1):
            if step % 100 == 0:
                recorder.record(step)
            ...  # your training step
        recorder.finish()

    The directory has the same format as that of ``train``. ``analyze(Trajectory.open(path, model))`` runs every
    analysis that needs no known architecture; after that, ``grokinterp report`` writes the report without the module.
    The inputs and the weights of the module are saved, but none of its code. The module is evaluated in evaluation
    mode, which leaves training unchanged to the bit: gradients, random numbers, modes, and normalization statistics are
    preserved.

    As a context manager, it finishes by itself, with status "interrupted" if the block raises.

    Args:
        directory: a new or empty directory; with ``resume``, that of the recording to continue.
        model: the module. Wrappers of torch.compile and data-parallel training are removed.
        train: inputs and labels of the training examples to evaluate on, all or some; at most 8,192 together with the
            test examples. Labels [example, answer] of a sequence model belong to the last positions of its output
            [example, position, class]; -100 marks those that do not count. Metrics then also give the loss and the
            accuracy of each answer, and analyses are those of the last answer, or of another with
            ``Trajectory.at_answer``. Labels that are numbers, [example] or [example, output], are the targets of a
            regression, with ``loss="mse"``.
        test: inputs and labels of examples that are not trained on.
        loss: the form of the loss whose mean the loop minimizes, as in ``losses``.
        optimizer: provides the learning rate, the weight decay, and the exact last update of every checkpoint, for
            which a copy of the weights is kept before each step.
        logits: a function that finds the logits [example, class], or [example, position, class] for several labels, in
            the module's output (default: the output, its ``logits``, or its first part). ``Trajectory.open`` needs the
            same function.
        read_at: the answer position in outputs [example, position, feature].
        reads: the name of the last linear layer, a submodule or the weight by which it multiplies; several names for an
            ensemble (default: detected by following the logits back; see ``experiment.model.reads``).
        task: the task that the examples belong to; ``train`` and ``test`` must then cover all of its examples, with its
            labels.
        parts: names of the module's "embedding", "unembedding", "neurons", "neuron_output", and "attention", for the
            analyses of the task; see docs/recorder.md.
        tolerance: in a regression, the largest root mean squared error of an answer that counts as correct.
        name: the name of the run (default: the class name).
        data: a description of the examples, for the report.
        run_steps: the planned number of optimizer steps.
        evaluate_every: the planned number of optimizer steps between two records.
        seed: the seed of the run, for its configuration.
        optimization: the optimizer and its settings, for the configuration (default: the learning rate and weight
            decay of ``optimizer``).
        updates: whether to keep the copy of the weights for updates.
        resume: continue a recording after its ``last_step``.

    Attributes:
        last_step: the last recorded step, -1 before any.
        last_row: the numbers that ``record`` wrote last, by name.

    Raises:
        ConfigError: the examples, the labels, or the module cannot be recorded.
        RunDirectoryError: the directory is taken, or is a recording of something else.
    """

    def __init__(
        self,
        directory: str | Path,
        model: nn.Module,
        *,
        train: Examples,
        test: Examples,
        loss: LossForm = "softplus",
        optimizer: Optimizer | None = None,
        logits: Answer | None = None,
        read_at: ReadAt = "last",
        reads: str | Sequence[str] = (),
        task: Task | None = None,
        parts: Mapping[str, str | Sequence[str]] | None = None,
        tolerance: float | int | None = None,
        name: str | None = None,
        data: str = "",
        run_steps: int | None = None,
        evaluate_every: int = 1,
        seed: int = 0,
        optimization: Optimization | None = None,
        updates: bool = True,
        resume: bool = False,
    ) -> None:
        directory = path_of("directory", directory)
        require_type("model", model, nn.Module)
        require_choice("loss", loss, get_args(LossForm))
        require_choice("read_at", read_at, get_args(ReadAt))
        require_type("optimization", optimization, Optimization | None)
        with undisturbed(unwrapped(model)):
            inputs, labels, is_train = examples_of(train, test)
            require_regression(labels, loss=loss, tolerance=tolerance, task=task)
            known = Known((reads,) if isinstance(reads, str) else tuple(reads), parts or {}, task)
            if task is not None:
                if data:
                    raise ConfigError(
                        "data", short(data), f"cannot be used with task={task.kind}, which describes them"
                    )
                require(labels.shape[1] == 1, "task", task.kind, "cannot be given with several labels per example")
                found = task_examples(task, inputs, labels.squeeze(1), is_train)
                known, inputs, is_train = replace(known, examples=found), found.inputs, found.is_train
            self.optimizer = optimizer
            several = labels.shape[1] > 1
            rule = "must be last: with several labels per example, the answers are at the last positions"
            require(not several or read_at == "last", "read_at", read_at, rule)
            self.watched = Watched(unwrapped(model), inputs, logits, read_at, labels.shape[1])
            file, digest = encoded(inputs)
            spec, classes = describe_module(self.watched, known)
            spec = replace(spec, regression=labels.is_floating_point())
            if task is None:
                task = recorded_task(
                    labels, classes=classes, digest=digest, same=same(inputs), data=data, tolerance=tolerance
                )
            else:
                spec = replace(spec, examples=digest)
            self.experiment = Experiment(
                name=name_of(spec) if name is None else name,
                task=task,
                model=spec,
                split=split_of(task, is_train),
                optimization=replace(optimization or optimization_of(optimizer, loss), loss=loss),
                steps=run_steps,
                evaluate_every=evaluate_every,
                seed=seed,
            )
            self.problem = Problem.of(self.experiment)
            self.before: list[Tensor] | None = None
            self.last_step, self.is_open = -1, False
            self.last_row: dict[str, Any] = {}
            self._held = ExitStack()
            self.run = self._reopened(directory) if resume else self._created(directory)
            self._begin(file, updates=updates)

    def record(self, step: int, *, save: bool = True, **extra: float | int | Tensor) -> bool:
        """Evaluate the module, append a row of metrics and, with ``save``, write a checkpoint.

        The caller chooses the schedule; metrics can be recorded more often than weights are saved.

        Args:
            step: number of optimizer steps taken so far; greater than at the last record.
            save: whether to save the weights as well.
            extra: further numbers for the row, such as a gap or a temperature.

        Returns:
            Whether all values to be written are finite; if not, nothing is written and the run is marked as diverged.

        Raises:
            ConfigError: the step was already recorded, or the name of an extra number is taken.
            RunDirectoryError: the recording is finished.
            GrokinterpError: a file cannot be written.
        """
        if not self.is_open:
            raise RunDirectoryError(self.run.path, "is finished: continue it with Recorder(..., resume=True)")
        if isinstance(step, bool) or not isinstance(step, int) or not 0 <= step < 10**12:
            raise ConfigError("step", short(step), "must be a count of optimizer steps, from 0")
        if step <= self.last_step:
            rule = f"is already recorded: record steps after recorder.last_step={self.last_step}"
            raise ConfigError("step", step, rule)
        tensors = self._tensors() if save else {}
        row = self._row(step, extra)
        if not self._is_finite(row, tensors):
            self._write_status("diverged", step, why="loss, weights, or gradient not finite; the step was not recorded")
            return False
        if save:
            self._writer.save_checkpoint(step, tensors)
        self._writer.metrics.append(row)
        self.last_row = row
        if self.run.status.get("status") != "running":
            self._write_status("running", step)
        self.last_step = step
        return True

    def finish(self, status: str = "finished") -> None:
        """Mark the run as finished and release the directory and the optimizer; later calls have no effect."""
        if not self.is_open:
            return
        self.is_open = False
        try:
            self._writer.metrics.sync()
            if self.run.status.get("status") != "diverged":
                self._write_status(status, max(self.last_step, 0))
        finally:
            self._held.close()

    def __enter__(self) -> "Recorder":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.finish("finished" if kind is None else "interrupted")

    def _created(self, directory: Path) -> RunDirectory:
        if (directory / "experiment.json").exists():
            rule = "contains a run: continue it with resume=True or choose another directory"
            raise RunDirectoryError(directory, rule)
        module = self.watched.module
        found: dict[str, Any] = {"module": f"{type(module).__module__}.{type(module).__qualname__}"}
        task = self.experiment.task
        found |= {"n_test": self.experiment.split.sizes(task).test}
        if task.allowed_error is None:
            found |= {"n_classes": task.n_classes}
        if self.optimizer is not None:
            found |= {"optimizer": type(self.optimizer).__name__, "parameter_groups": str(len(self.groups))}
        return RunDirectory.create(directory, self.experiment.to_dict(), describe(self.watched.device) | found)

    def _reopened(self, directory: Path) -> RunDirectory:
        """Return the directory of this recording.

        Raises:
            RunDirectoryError: the directory is a recording of something else.
        """
        run = RunDirectory.open(directory)
        before = Experiment.from_dict(run.experiment)
        if difference := difference_between(before, self.experiment):
            raise RunDirectoryError(directory, f"is a recording with a different {difference}; nothing was written")
        self.experiment = before
        return run

    def _begin(self, file: bytes, *, updates: bool) -> None:
        """Lock the directory, hook into the optimizer, and find the last recorded step."""
        with ExitStack() as stack:
            self._writer = stack.enter_context(self.run.lock())
            self.run.save_examples(file)
            last = self._writer.metrics.last_step
            self.last_step = max([-1 if last is None else last, *self.run.steps()[-1:]])
            if self.last_step >= 0:
                self._record_continuation()
            self._write_status("running", max(self.last_step, 0))
            if self.optimizer is not None and updates:
                stack.callback(self.optimizer.register_step_pre_hook(self._keep_weights).remove)
            self._held = stack.pop_all()
        self.is_open = True

    def _record_continuation(self) -> None:
        """Record that this process continues the recording; whether its loop continues exactly is unknown."""
        now = describe(self.watched.device)
        changed = changes(self.run.environment, now)
        self._writer.record_continuation(continuation(self.last_step, EXTERNAL, now, exact=None, changed=changed))

    def _keep_weights(self, *_: Any) -> None:
        """Keep a copy of the weights before an optimizer step."""
        weights = self._weights()
        if self.before is None:
            self.before = copies(weights)
        else:
            with torch.no_grad():
                torch._foreach_copy_(self.before, weights)

    def _weights(self) -> list[Tensor]:
        """Return the current values of the trained parameters."""
        named = dict(self.watched.module.named_parameters())
        return [named[name].detach() for name in self.spec.parameters]

    @property
    def spec(self) -> RecordedSpec:
        """The specification of the recorded module."""
        return as_recorded(self.experiment.model)

    @property
    def groups(self) -> list[dict[str, Any]]:
        """The optimizer's parameter groups, sorted by decreasing number of weights."""
        groups = [] if self.optimizer is None else self.optimizer.param_groups
        return sorted(groups, key=lambda group: -sum(weight.numel() for weight in group["params"]))

    def _tensors(self) -> dict[str, Tensor]:
        """Return the content of a checkpoint: the state and, if known, the last update."""
        state = state_tensors(self.watched.module)
        tensors = {name: state[name].detach().cpu() for name in (*self.spec.parameters, *self.spec.buffers)}
        if self.before is not None:
            pairs = zip(self.spec.parameters, self._weights(), self.before, strict=True)
            tensors |= {UPDATE + name: (now - before).cpu() for name, now, before in pairs}
        return tensors

    def _row(self, step: int, extra: Mapping[str, float | int | Tensor]) -> dict[str, Any]:
        """Return a row of metrics.jsonl with the same columns as ``train``."""
        with undisturbed(self.watched.module):
            scalars, norms = self._measured()
        own = {"step", "weight_norm_of", *scalars, *PROTECTION}
        for name, value in extra.items():
            if name in own or len(name) > 64 or not isinstance(value, float | int | Tensor):
                raise ConfigError(short(name), short(value), "must be a number with a name that no other column has")
        numbers = {name: float(value) for name, value in (scalars | dict(extra)).items()}
        return {"step": step, **row(numbers), "weight_norm_of": norms}

    def _measured(self) -> tuple[dict[str, Any], dict[str, float]]:
        """Return the metrics of the current weights, and Σθ² of every parameter."""
        problem, form = self.problem, self.experiment.optimization.loss
        train, test = problem.is_train.nonzero().flatten(), problem.is_test.nonzero().flatten()
        labels = problem.trained_labels[train]
        seen, held_out = self.watched.look(train, labels, form), self.watched.all_answers(test)
        logits = seen.logits.cpu()
        scored = partial(score, form=problem.loss, tolerance=problem.task.allowed_error)
        of_train, of_test = scored(logits, None, labels), scored(held_out.cpu(), None, problem.labels[test])
        weights = zip(self.spec.parameters, self._weights(), strict=True)
        norms = {name: float(weight.double().square().sum()) for name, weight in weights}
        return {
            "train_loss": of_train["loss"],
            "test_loss": of_test["loss"],
            "train_accuracy": of_train["accuracy"],
            "test_accuracy": of_test["accuracy"],
            **of_answers("train", of_train),
            **of_answers("test", of_test),
            "gradient_norm": seen.gradient_norm,
            "weight_norm": sum(norms.values()),
            **logit_statistics(logits.double(), labels),
            **self._settings(),
        }, norms

    def _settings(self) -> dict[str, float]:
        """Return the learning rate and weight decay of the optimizer's largest parameter group."""
        found = self.groups[0] if self.groups else {}
        names = {"learning_rate": "lr", "weight_decay": "weight_decay"}
        return {ours: float(found[theirs]) for ours, theirs in names.items() if found.get(theirs) is not None}

    def _is_finite(self, row: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> bool:
        """Return whether the metrics and the weights are finite; buffers may contain masks of -inf."""
        own = [value for name, value in row.items() if name.endswith(("_loss", "_norm")) or name.startswith("logit_")]
        weights = [value for name, value in tensors.items() if name not in self.spec.buffers]
        masks = [value for name, value in tensors.items() if name in self.spec.buffers]
        return (
            all(map(math.isfinite, [*own, *row["weight_norm_of"].values()]))
            and all(bool(value.isfinite().all()) for value in weights)
            and not any(bool(value.isnan().any()) for value in masks)
        )

    def _write_status(self, status: str, step: int, **details: str) -> None:
        self._writer.write_status({"status": status, "step": step, **details})
