"""Memory for analyses: the estimate, what is available, the refusal in one line, and parts that add up."""

import pytest
import torch

from grokinterp.analysis.engine import memory
from grokinterp.analysis.engine.memory import bytes_available, bytes_needed, require_memory, workers_that_fit
from grokinterp.analysis.structure.progress import excluded_losses
from grokinterp.errors import ConfigError
from grokinterp.experiment import Experiment
from grokinterp.maths.grid import mean_by_sum
from grokinterp.models import MLPSpec
from grokinterp.tasks import ModularAddition
from tests.support.any_model import checkpoint_of
from tests.support.constructed import close

CPU = torch.device("cpu")


def tiny(task):
    return Experiment(task=task, model=MLPSpec(hidden=(16,), d_embed=16)).empty_model()


@pytest.fixture
def small_machine(tmp_path, monkeypatch):
    """Four gibibytes available, and no container."""
    (tmp_path / "meminfo").write_text("MemTotal: 8388608 kB\nMemAvailable: 4194304 kB\n")
    monkeypatch.setattr(memory, "MEMINFO", tmp_path / "meminfo")
    monkeypatch.setattr(memory, "CGROUP", tmp_path)
    return tmp_path


def test_a_group_of_720_elements_is_refused_with_its_estimate(small_machine):
    task = ModularAddition(p=720)
    assert bytes_needed(task, tiny(task)) == 8 * 720**2 * (4 * 720 + 2 * 16)
    with pytest.raises(ConfigError, match=r"518,400 examples × 720 classes: needs about 11.2 GiB .* 4.0 GiB are"):
        require_memory(task, tiny(task), CPU)
    small = ModularAddition(p=113)
    require_memory(small, tiny(small), CPU)


def test_no_more_checkpoints_at_a_time_than_fit(small_machine):
    task = ModularAddition(p=400)  # 1.9 GiB
    assert workers_that_fit(task, tiny(task), CPU, 8) == 2
    assert workers_that_fit(ModularAddition(p=113), tiny(ModularAddition(p=113)), CPU, 8) == 8
    assert workers_that_fit(ModularAddition(p=720), tiny(ModularAddition(p=720)), CPU, 8) == 1


def test_a_container_has_less_than_its_machine(small_machine):
    assert bytes_available(CPU) == 4 * 2**30
    (small_machine / "memory.current").write_text(f"{2**30}\n")
    (small_machine / "memory.max").write_text("max\n")
    assert bytes_available(CPU) == 4 * 2**30
    (small_machine / "memory.max").write_text(f"{3 * 2**30}\n")
    assert bytes_available(CPU) == 2 * 2**30


def test_parts_of_the_logits_add_up_to_the_whole(monkeypatch):
    """Excluded losses, means over a + b and gradients, in one part and in many."""
    p, generator = 7, torch.Generator().manual_seed(0)
    logits = torch.randn(p * p, p, generator=generator, dtype=torch.float64)
    removed = torch.randn(3, p, p, generator=generator, dtype=torch.float64)
    is_train = torch.rand(p * p, generator=generator) < 0.5

    def measured():
        table = mean_by_sum(logits)
        gradients = checkpoint_of(MLPSpec(hidden=(3,))).gradients
        return [table, excluded_losses(logits, is_train, table, removed), *gradients.values()]

    whole = measured()
    monkeypatch.setattr("grokinterp.analysis.structure.progress.CELLS", 1)
    monkeypatch.setattr("grokinterp.maths.grid.CELLS_AT_ONCE", 1)
    monkeypatch.setattr("grokinterp.runs.checkpoint.CELLS_AT_ONCE", 20)
    for part, all_at_once in zip(measured(), whole, strict=True):
        close(part, all_at_once)
