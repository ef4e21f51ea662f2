"""Metrics to TensorBoard and Weights & Biases: read back from their own files; a logger cannot cost the run."""

import json
import struct
import sys
import time

import pytest

from grokinterp.errors import ConfigError
from grokinterp.training.loggers import LOGGERS, TensorBoard, WandB, evaluation_line, finish_all, log_all, named
from grokinterp.training.loggers import open_loggers as opened
from tests.support.small_runs import TINY

ROW = {
    "step": 40, "train_loss": 0.5, "test_loss": None, "train_accuracy": 1.0, "test_accuracy": 0.25,
    "weight_norm_of": {"embed.W_E": 4.0, "unembed.W_U": 2.0},
}  # fmt: skip


def curves(directory) -> dict[str, list[tuple[int, float]]]:
    """The scalars that TensorBoard would draw."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(directory))
    events.Reload()
    return {tag: [(point.step, point.value) for point in events.Scalars(tag)] for tag in events.Tags()["scalars"]}


def rows(*steps, shift=0.0):
    return [{"step": step, "train_accuracy": step / 100 + shift, "test_accuracy": 0.25} for step in steps]


class Listed:
    """A logger of the user's own, without a finish()."""

    def __init__(self):
        self.taken = []

    def log(self, values, *, step):
        self.taken.append((step, values))


class Broken(Listed):
    def log(self, values, *, step):
        raise RuntimeError("the server\nis gone")

    def finish(self):
        raise OSError("no space left")


def test_numbers_have_their_own_names_and_the_short_ones():
    assert named(ROW) == {
        "train_loss": 0.5, "train_accuracy": 1.0, "test_accuracy": 0.25, "weight_norm_of/embed.W_E": 4.0,
        "weight_norm_of/unembed.W_U": 2.0, "train": 1.0, "eval": 0.25, "gap": 0.75,
    }  # fmt: skip


def test_held_out_is_validation_where_there_is_one():
    assert named(ROW | {"validation_accuracy": 0.5})["eval"] == 0.5
    assert named(ROW | {"validation_accuracy": 0.5})["gap"] == 0.5


def test_lambda_is_there_with_grokfast_only():
    assert "lambda" not in named(ROW)
    assert named(ROW | {"lamb": 3})["lambda"] == 3.0


def test_what_has_no_accuracies_has_no_gap():
    assert named({"step": 0, "train_loss": 1.0, "done": True, "name": "x"}) == {"train_loss": 1.0}


def test_an_evaluation_in_one_line():
    assert evaluation_line(ROW) == "train 100.0%, eval 25.0%, gap 75.0%"
    assert evaluation_line(ROW | {"lamb": 3.0}) == "train 100.0%, eval 25.0%, gap 75.0%, λ 3"
    assert evaluation_line({"step": 0}) == ""


def test_tensorboard_reads_what_was_logged(tmp_path):
    loggers = opened(["tensorboard"], tmp_path, TINY)
    assert list(tmp_path.iterdir()) == []  # a run directory has to be empty before it is made
    for row in [ROW, ROW | {"step": 50, "train_loss": 0.25}]:
        loggers = log_all(loggers, row)
    finish_all(loggers)
    found = curves(tmp_path / "tensorboard")
    assert found["train_loss"] == [(40, 0.5), (50, 0.25)]
    assert found["gap"] == [(40, 0.75), (50, 0.75)]
    assert set(found) == set(named(ROW))


def test_tensorboard_has_no_point_twice_after_a_resume(tmp_path):
    before, after = TensorBoard(tmp_path), TensorBoard(tmp_path)
    log_each(before, rows(0, 10, 20, 30))
    log_each(after, rows(20, 30, 40, shift=0.5))
    assert curves(tmp_path)["train"] == [(0, 0.0), (10, pytest.approx(0.1)), (20, pytest.approx(0.7)),
                                         (30, pytest.approx(0.8)), (40, pytest.approx(0.9))]  # fmt: skip


def log_each(logger, of):
    for row in of:
        assert log_all([logger], row) == [logger]
    logger.finish()


def test_a_logger_that_fails_is_dropped_with_one_warning():
    good, bad = Listed(), Broken()
    with pytest.warns(
        UserWarning, match="^Broken failed and is now disabled: RuntimeError: the server is gone$"
    ) as warned:
        left = log_all([bad, good], ROW)
    assert len(warned) == 1
    left = log_all(left, ROW)
    assert left == [good]
    assert [step for step, _ in good.taken] == [40, 40]


def test_loggers_do_not_share_their_values():
    class Careless(Listed):
        def log(self, values, *, step):
            values.clear()

    good = Listed()
    log_all([Careless(), good], ROW)
    assert good.taken == [(40, named(ROW))]


def test_an_interrupt_is_no_failure_of_a_logger():
    class Interrupted(Listed):
        def log(self, values, *, step):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        log_all([Interrupted()], ROW)


def test_finishing_is_optional_and_cannot_fail_either():
    with pytest.warns(UserWarning, match="no space left"):
        finish_all([Listed(), Broken()])
    TensorBoard("never/written").finish()


@pytest.mark.parametrize("name", sorted(LOGGERS))
def test_a_missing_package_names_the_extra(name, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, {"tensorboard": "torch.utils.tensorboard"}.get(name, name), None)
    with pytest.raises(ConfigError, match=rf'^log={name}: needs the extra "loggers": pip install "grokinterp\[log'):
        opened([name], tmp_path, TINY)


def test_unknown_names_are_refused_before_any_logger_is_made(tmp_path, monkeypatch):
    monkeypatch.setitem(LOGGERS, "tensorboard", lambda *_: pytest.fail("made"))
    with pytest.raises(ConfigError, match="log=comet: must be one of tensorboard, wandb"):
        opened(["tensorboard", "comet"], tmp_path, TINY)


def test_every_logger_once(tmp_path):
    assert len(opened(["tensorboard", "tensorboard"], tmp_path, TINY)) == 1
    assert opened([], tmp_path, TINY) == []


@pytest.fixture
def offline(tmp_path, monkeypatch):
    """W&B without a network, whose caches and settings stay in the test's folder."""
    for name in ("WANDB_CACHE_DIR", "WANDB_CONFIG_DIR", "WANDB_DATA_DIR"):
        monkeypatch.setenv(name, str(tmp_path / "home"))
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_SILENT", "true")
    (tmp_path / "run").mkdir()
    return tmp_path / "run"


def records(data: bytes):
    """The records of a W&B file: LevelDB's log format behind a header of 7 bytes, here all in the first block."""
    at = 7
    while at + 7 <= min(len(data), 2**15):
        _, length, kind = struct.unpack("<IHB", data[at : at + 7])
        assert kind == 1  # whole records
        yield data[at + 7 : at + 7 + length]
        at += 7 + length


def history(folder) -> list[dict[str, float]]:
    """The rows that an offline run of W&B has in its file."""
    from wandb.proto.wandb_internal_pb2 import Record

    file = next(folder.glob("*.wandb"))
    logged = [record.history.item for record in map(Record.FromString, records(file.read_bytes()))]
    return [{"/".join(x.nested_key) or x.key: json.loads(x.value_json) for x in items} for items in logged if items]


@pytest.mark.slow
def test_wandb_keeps_what_was_logged_and_goes_on_with_the_same_run(offline):
    for steps in [(0, 10), (10, 20)]:
        (logger,) = opened(["wandb"], offline, TINY)
        log_each(logger, rows(*steps))
        time.sleep(1.1)  # W&B names its folders by the second
    first, second = sorted((offline / "wandb").glob("offline-run-*"), key=lambda path: path.stat().st_mtime)
    assert first.name.split("-")[-1] == second.name.split("-")[-1]
    assert [(row["_step"], row["train"], row["gap"]) for row in history(first)] == [(0, 0.0, -0.25), (10, 0.1, -0.15)]
    assert [row["_step"] for row in history(second)] == [10, 20]


@pytest.mark.slow
def test_two_trainings_of_one_configuration_are_two_runs(offline):
    names = set()
    for place in ("a", "b"):
        (offline / place).mkdir()
        (logger,) = opened(["wandb"], offline / place, TINY)
        log_each(logger, rows(0))
        names |= {path.name.split("-")[-1] for path in (offline / place / "wandb").glob("offline-run-*")}
    assert len(names) == 2


def test_wandb_without_a_key_says_so_before_any_work(offline, monkeypatch):
    import wandb

    def refuse():
        raise wandb.errors.UsageError("No API key configured.")

    monkeypatch.setenv("WANDB_MODE", "online")
    monkeypatch.setattr(wandb, "login", refuse)
    with pytest.raises(ConfigError, match=r"log=wandb: No API key configured\. Or set WANDB_MODE=offline"):
        WandB(dir=str(offline))
    assert list(offline.iterdir()) == []
