"""Finite problems whose every example can be listed."""

from grokinterp.tasks.modular import ModularAddition
from grokinterp.tasks.task import Task

AnyTask = ModularAddition
"""Every task a configuration may name, told apart by ``kind``; a new family joins this union."""

TASKS = {"modular_addition": "p: c = (a + b) mod p from the tokens a, b, ="}
"""``kind`` of every task: its parameters and what it is, in one line."""

__all__ = ["TASKS", "AnyTask", "ModularAddition", "Task"]
