"""A callback of Lightning's Trainer that records a trajectory and detects grokking.

Only this module imports lightning: ``pip install "grokinterp[lightning]"``.
"""

from typing import Any

try:
    from lightning.pytorch import LightningModule, Trainer
    from lightning.pytorch.callbacks import Callback
except ImportError:
    raise ImportError('needs the extra "lightning": pip install "grokinterp[lightning]"') from None

from grokinterp.custom.observer import MakeRecorder, Observer
from grokinterp.errors import ConfigError
from grokinterp.phases import GrokkingDetector, GrokkingStatus
from grokinterp.training.loggers import log_all


class GrokkingCallback(Callback):
    """Records the module that Lightning trains, and stops ``patience`` training steps after grokking is detected.

    ``lightning.Trainer(callbacks=[GrokkingCallback(lambda module, optimizer: Recorder("run", module, …))])`` leaves a
    run directory. The module is evaluated on the recorder's examples in evaluation mode, which leaves training
    unchanged to the bit. The loggers of the Trainer receive the numbers of every evaluation, with names that begin with
    ``prefix``. A recorder with ``resume=True`` continues after an interruption; nothing is needed from Lightning's own
    checkpoint. Steps are optimizer steps, as counted by ``trainer.global_step``.

    Args:
        recorder: makes the recorder of the module and its first optimizer, when training begins.
        every: number of training steps between evaluations; the start and the end are evaluated as well.
        save_every: number of training steps between checkpoints (default: every evaluation).
        detector: follows the accuracies; its ``patience`` is in training steps, and None never stops the Trainer.
        prefix: precedes the names of the numbers for the loggers.

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
        prefix: str = "grokking/",
    ) -> None:
        super().__init__()
        self.observer = Observer(recorder, every=every, save_every=save_every, detector=detector)
        self.detector, self.prefix = self.observer.detector, prefix

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Open the recording, and evaluate the module before its first step.

        Raises:
            ConfigError: several processes train the module.
        """
        if trainer.world_size > 1:
            raise ConfigError("devices", trainer.world_size, "must be 1: several processes cannot be recorded")
        self._take(trainer, self.observer.begin(pl_module, trainer.optimizers[0], trainer.global_step))

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Evaluate the module if this is due."""
        self._take(trainer, self.observer.observe(trainer.global_step))

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Evaluate the final weights, and close the recording."""
        self._take(trainer, self.observer.observe(trainer.global_step, is_last=True))
        self.observer.finish()

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """Close the recording as interrupted."""
        self.observer.finish("interrupted")

    def _take(self, trainer: Trainer, status: GrokkingStatus | None) -> None:
        """Log an evaluation, if there was one, and stop the Trainer once the patience is exhausted."""
        if status is None or self.observer.recorder is None:
            return
        detected = {"current_gap": status.current_gap, "detected": int(status.grokking_detected)}
        log_all(trainer.loggers, self.observer.recorder.last_row | detected, prefix=self.prefix)
        trainer.should_stop = trainer.should_stop or status.should_stop
