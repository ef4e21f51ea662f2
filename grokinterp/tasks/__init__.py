"""Finite problems whose examples can all be listed."""

from grokinterp.tasks.answer import AnswerOf
from grokinterp.tasks.composition import Composition
from grokinterp.tasks.groups import GroupComposition, GroupConjugation
from grokinterp.tasks.matrices import MatrixMultiplication
from grokinterp.tasks.modular import ModularAddition, ModularDivision, ModularMultiplication, ModularSubtraction
from grokinterp.tasks.parity import SparseParity
from grokinterp.tasks.polynomials import Polynomial
from grokinterp.tasks.recorded import RecordedTask
from grokinterp.tasks.sequences import LinearRecurrence, PeriodicSequence
from grokinterp.tasks.symbolic import BooleanFormula, RelationComposition
from grokinterp.tasks.table import Table
from grokinterp.tasks.task import BinaryTask, Task

TASKS: dict[str, type[Task]] = {
    task.kind: task
    for task in (
        ModularAddition,
        ModularSubtraction,
        ModularMultiplication,
        ModularDivision,
        Polynomial,
        GroupComposition,
        GroupConjugation,
        MatrixMultiplication,
        LinearRecurrence,
        PeriodicSequence,
        BooleanFormula,
        RelationComposition,
        SparseParity,
        Table,
        Composition,
    )
}
"""Every task a configuration may name, by its ``kind``; a new one joins this tuple."""

__all__ = [
    "TASKS",
    "AnswerOf",
    "BinaryTask",
    "BooleanFormula",
    "Composition",
    "GroupComposition",
    "GroupConjugation",
    "LinearRecurrence",
    "MatrixMultiplication",
    "ModularAddition",
    "ModularDivision",
    "ModularMultiplication",
    "ModularSubtraction",
    "PeriodicSequence",
    "Polynomial",
    "RecordedTask",
    "RelationComposition",
    "SparseParity",
    "Table",
    "Task",
]
