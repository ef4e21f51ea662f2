"""Finite problems whose every example can be listed."""

from grokinterp.tasks.modular import ModularAddition
from grokinterp.tasks.task import BinaryTask, Task

TASKS: dict[str, type[Task]] = {task.kind: task for task in (ModularAddition,)}
"""Every task a configuration may name, by its ``kind``; a new one joins this tuple."""

__all__ = ["TASKS", "BinaryTask", "ModularAddition", "Task"]
