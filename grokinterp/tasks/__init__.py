"""Finite problems whose every example can be listed."""

from grokinterp.tasks.modular import ModularAddition
from grokinterp.tasks.task import Task

AnyTask = ModularAddition
"""Every task a configuration may name, told apart by ``kind``; a new family joins this union."""

__all__ = ["AnyTask", "ModularAddition", "Task"]
