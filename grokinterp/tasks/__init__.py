"""Finite problems whose examples can all be listed, or are a sample of words."""

from grokinterp.tasks.ambiguous import AmbiguousGroups
from grokinterp.tasks.answer import AnswerOf
from grokinterp.tasks.brackets import Brackets
from grokinterp.tasks.composition import Composition
from grokinterp.tasks.digits import DigitAddition
from grokinterp.tasks.groups import GroupComposition, GroupConjugation
from grokinterp.tasks.induction import RepeatedSequence, SkipTrigram
from grokinterp.tasks.lists import CopyList, Maximum, PlaceOfMaximum, ReverseList, SortList
from grokinterp.tasks.matrices import MatrixMultiplication
from grokinterp.tasks.modular import ModularAddition, ModularDivision, ModularMultiplication, ModularSubtraction
from grokinterp.tasks.operands import GroupProduct, ModularProduct, ModularSum
from grokinterp.tasks.operators import OperatorExpression, ParityOperation
from grokinterp.tasks.parity import SparseParity
from grokinterp.tasks.polynomials import Polynomial
from grokinterp.tasks.recorded import RecordedTask
from grokinterp.tasks.sequences import LinearRecurrence, PeriodicSequence
from grokinterp.tasks.symbolic import BooleanFormula, RelationComposition
from grokinterp.tasks.table import Table
from grokinterp.tasks.task import BinaryTask, Branch, Examples, Task

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
        DigitAddition,
        CopyList,
        ReverseList,
        SortList,
        Maximum,
        PlaceOfMaximum,
        RepeatedSequence,
        SkipTrigram,
        Brackets,
        ModularSum,
        ModularProduct,
        GroupProduct,
        OperatorExpression,
        ParityOperation,
        AmbiguousGroups,
    )
}
"""Every task a configuration may name, by its ``kind``; a new one joins this tuple."""

__all__ = [
    "TASKS",
    "AmbiguousGroups",
    "AnswerOf",
    "BinaryTask",
    "BooleanFormula",
    "Brackets",
    "Branch",
    "Composition",
    "CopyList",
    "DigitAddition",
    "Examples",
    "GroupComposition",
    "GroupConjugation",
    "GroupProduct",
    "LinearRecurrence",
    "MatrixMultiplication",
    "Maximum",
    "ModularAddition",
    "ModularDivision",
    "ModularMultiplication",
    "ModularProduct",
    "ModularSubtraction",
    "ModularSum",
    "OperatorExpression",
    "ParityOperation",
    "PeriodicSequence",
    "PlaceOfMaximum",
    "Polynomial",
    "RecordedTask",
    "RelationComposition",
    "RepeatedSequence",
    "ReverseList",
    "SkipTrigram",
    "SortList",
    "SparseParity",
    "Table",
    "Task",
]
