"""Every kind of task in words: a title, and a sentence on what the network is given and must answer."""

from collections.abc import Callable, Mapping
from typing import Any

from grokinterp.numbers import listed

Task = Mapping[str, Any]
"""A task as the table of a configuration."""


def named(task: Task) -> tuple[str, str]:
    """Return the title of a task and a sentence about it; a task without words of its own is named by its kind.

    >>> named({"kind": "modular_addition", "p": 53})[0]
    'Addition modulo 53'
    >>> named({"kind": "my_task"})
    ('My task', '')
    """
    kind = str(task.get("kind", "unknown task"))
    words = WORDS.get(kind)
    if words is None:
        title = kind.replace("_", " ")
        return f"{title[:1].upper()}{title[1:]}", ""
    known = _Values({key: _text(value) for key, value in task.items()})
    title, about = words if isinstance(words, tuple) else words(task)
    return title.format_map(known), about.format_map(known)


class _Values(dict[str, str]):
    """Values of a task for a text; a setting that the file lacks is shown as "?"."""

    def __missing__(self, key: str) -> str:
        return "?"


def _text(value: Any) -> str:
    if isinstance(value, list | tuple):
        return (listed([str(item) for item in value[:8]]) if value else "none") + (" …" if len(value) > 8 else "")
    return str(value)


def _digits(task: Task) -> tuple[str, str]:
    base = "" if task.get("base") == 10 else " in base {base}"
    return (
        "Addition of {digits}-digit numbers",
        f"Given two {{digits}}-digit numbers{base}, the network predicts each digit of their sum.",
    )


def _matrices(task: Task) -> tuple[str, str]:
    which = "invertible " if task.get("invertible") is True else ""
    title = f"Multiplication of {which}{{n}} × {{n}} matrices modulo {{p}}"
    return title, f"Given two {which}matrices over the field with {{p}} elements, the network predicts their product."


def _composition(task: Task) -> tuple[str, str]:
    outer, inner = (part if isinstance(part, Mapping) else {} for part in (task.get("outer"), task.get("inner")))
    names = [named(part)[0].lower().replace("{", "{{").replace("}", "}}") for part in (inner, outer)]
    return (
        "Two operations in a row",
        f"Given a, b and c, the network predicts (a ∘ b) • c, where ∘ is {names[0]} and • is {names[1]}.",
    )


def _recorded(task: Task) -> tuple[str, str]:
    data = task.get("data")
    return (str(data).replace("{", "{{").replace("}", "}}") if data else "A recorded training run"), ""


Words = tuple[str, str] | Callable[[Task], tuple[str, str]]

GROUP = "the group {group}"
LIST = "Given {length} numbers from 0 to {p} − 1, the network predicts "

WORDS: dict[str, Words] = {
    "modular_addition": (
        "Addition modulo {p}",
        "Given a and b, the network predicts (a + b) mod {p}.",
    ),
    "modular_subtraction": (
        "Subtraction modulo {p}",
        "Given a and b, the network predicts (a − b) mod {p}.",
    ),
    "modular_multiplication": (
        "Multiplication modulo {p}",
        "Given a and b, the network predicts a · b mod {p}.",
    ),
    "modular_division": (
        "Division modulo {p}",
        "Given a and b ≠ 0, the network predicts the c with b · c = a mod {p}.",
    ),
    "polynomial": (
        "{expression} modulo {p}",
        "Given x and y, the network predicts {expression} mod {p}.",
    ),
    "group_composition": (
        "Composition in the group {group}",
        f"Given two elements of {GROUP}, the network predicts their product.",
    ),
    "group_conjugation": (
        "Conjugation in the group {group}",
        f"Given two elements x and y of {GROUP}, the network predicts {{form}}.",
    ),
    "matrix_multiplication": _matrices,
    "linear_recurrence": (
        "Linear recurrence modulo {p}",
        "Given {length} terms of a linear recurrence, the network predicts the next term.",
    ),
    "periodic_sequence": (
        "Periodic sequences modulo {p}",
        "Given {length} terms of a periodic sequence, the network predicts the next term.",
    ),
    "boolean_formula": (
        "Boolean formulas",
        "Given a formula over {n_variables} variables and their values, the network predicts its value.",
    ),
    "relation_composition": (
        "Composition of relations",
        "Given an entity and two relations, the network predicts the entity that the relations lead to. "
        "Single relations are always in the training set.",
    ),
    "sparse_parity": (
        "Parity of {k} of {n_bits} bits",
        "Given {n_bits} bits, the network predicts the parity of the first {k}.",
    ),
    "table": (
        "A custom operation",
        "Given a and b, the network predicts the corresponding entry of a given table.",
    ),
    "composition": _composition,
    "digit_addition": _digits,
    "copy_list": (
        "Copying a list",
        f"{LIST}the same list.",
    ),
    "reverse_list": (
        "Reversing a list",
        f"{LIST}them in reverse order.",
    ),
    "sort_list": (
        "Sorting a list",
        f"{LIST}them in ascending order.",
    ),
    "maximum": (
        "Maximum of a list",
        f"{LIST}the largest one.",
    ),
    "place_of_maximum": (
        "Position of the maximum of a list",
        f"{LIST}the position of the largest one.",
    ),
    "repeated_sequence": (
        "Repeated sequences",
        "Given a sequence of {length} tokens that repeats itself, the network predicts the next token at "
        "every position.",
    ),
    "skip_trigram": (
        "Skip trigrams",
        "Given {length} tokens, the network predicts a class that depends on the last token and on the "
        "single key before it.",
    ),
    "brackets": (
        "Balanced brackets",
        "Given {length} brackets, the network predicts after each one whether they are balanced, open or broken.",
    ),
    "modular_sum": (
        "Sum of {n} numbers modulo {p}",
        "Given {n} numbers, the network predicts their sum mod {p}.",
    ),
    "modular_product": (
        "Product of {n} numbers modulo {p}",
        "Given {n} numbers, the network predicts their product mod {p}.",
    ),
    "group_product": (
        "Product of {n} elements of the group {group}",
        f"Given {{n}} elements of {GROUP}, the network predicts their product.",
    ),
    "operator_expression": (
        "Expressions modulo {p}",
        "Given {n} numbers with the operators {operators} between them, the network predicts the value mod {p}.",
    ),
    "parity_operation": (
        "An operation that depends on parity, modulo {p}",
        "Given a and b, the network predicts a {even} b mod {p} if the {decides} operand is even, and a "
        "{odd} b mod {p} if it is odd.",
    ),
    "ambiguous_groups": (
        "{first} or {second}",
        "Given two elements, the network predicts their product in one of two groups, {first} and {second}, "
        "that agree on all training pairs.",
    ),
    "recorded": _recorded,
}
"""Titles and sentences by the kind of task, with the task's settings in braces."""
