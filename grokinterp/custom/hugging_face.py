"""A callback of Hugging Face's Trainer that records a trajectory and detects grokking.

Only this module imports transformers' Trainer: ``pip install "grokinterp[huggingface]"``.
"""

from typing import Any

try:
    from transformers.trainer_callback import TrainerCallback, TrainerControl, TrainerState
    from transformers.training_args import TrainingArguments
except ImportError:
    raise ImportError('needs the extra "huggingface": pip install "grokinterp[huggingface]"') from None

from grokinterp.custom.observer import MakeRecorder, Observer
from grokinterp.errors import ConfigError
from grokinterp.phases import GrokkingDetector, GrokkingStatus


class GrokkingTrainerCallback(TrainerCallback):
    """Records the model that a Trainer trains, and stops ``patience`` training steps after grokking is detected.

    ``transformers.Trainer(model, …, callbacks=[GrokkingTrainerCallback(lambda model, optimizer: Recorder("run", model,
    …))])`` leaves a run directory. The model is evaluated on the recorder's examples in evaluation mode, which leaves
    training unchanged to the bit. A recorder with ``resume=True`` continues after an interruption; nothing is needed
    from the Trainer's own checkpoint. Steps are optimizer steps, as counted by ``state.global_step``. The Trainer
    reports no exception to its callbacks: call ``finish("interrupted")`` after one.

    Args:
        recorder: makes the recorder of the model and its optimizer, when training begins.
        every: number of training steps between evaluations; the start and the end are evaluated as well.
        save_every: number of training steps between checkpoints (default: every evaluation).
        detector: follows the accuracies; its ``patience`` is in training steps, and None never stops the Trainer.

    Attributes:
        detector: the detector, with the histories of all evaluations.

    Source: docs/any_model.md.

    Raises:
        ConfigError: an interval is not a positive integer; when training begins, if it uses several processes.
    """

    def __init__(
        self,
        recorder: MakeRecorder,
        *,
        every: int = 100,
        save_every: int | None = None,
        detector: GrokkingDetector | None = None,
    ) -> None:
        self.observer = Observer(recorder, every=every, save_every=save_every, detector=detector)
        self.detector = self.observer.detector

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **others: Any
    ) -> None:
        """Open the recording, and evaluate the model before its first step.

        Raises:
            ConfigError: several processes train the model.
        """
        if args.world_size > 1:
            raise ConfigError("world_size", args.world_size, "must be 1: several processes cannot be recorded")
        given = others["optimizer"]
        optimizer = getattr(given, "optimizer", given)  # accelerate wraps it, without the hooks of an optimizer
        stop_if(self.observer.begin(others["model"], optimizer, state.global_step), control)

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **others: Any
    ) -> TrainerControl:
        """Evaluate the model if this is due."""
        return stop_if(self.observer.observe(state.global_step), control)

    def on_train_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **others: Any
    ) -> None:
        """Evaluate the final weights, and close the recording."""
        self.observer.observe(state.global_step, is_last=True)
        self.observer.finish()

    def finish(self, status: str = "finished") -> None:
        """Close the recording with a status, if it is open."""
        self.observer.finish(status)


def stop_if(status: GrokkingStatus | None, control: TrainerControl) -> TrainerControl:
    """Return the control of a Trainer, which stops it once the patience after a detection is exhausted."""
    control.should_training_stop = control.should_training_stop or (status is not None and status.should_stop)
    return control
