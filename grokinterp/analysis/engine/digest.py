"""Digest of the code that an analysis depends on: its own file and all its direct and indirect imports."""

import hashlib
from collections.abc import Callable
from inspect import getsource, unwrap
from pathlib import Path
from textwrap import dedent
from types import FunctionType

from grokinterp.analysis.engine.labeled import Analysis
from grokinterp.errors import ConfigError
from grokinterp.runs.imports import (
    PACKAGE,
    State,
    closure,
    code_digest_of,
    configured,
    files_of,
    is_of,
    state,
    without_wording,
)

EVALUATE = PACKAGE / "analysis" / "engine" / "evaluate.py"


def code_digest(analysis: Analysis, look: Callable[[Path], State] = state) -> str:
    """Return a digest that changes when the code that determines the results of an analysis changes.

    This code is the file of the analysis, the file of ``evaluate``, all tasks and models, and every module of
    grokinterp and of the analysis' own package that these import, directly or indirectly. For an analysis defined in a
    notebook, its source and the source of the notebook functions that it calls replace the file. Comments and
    docstrings do not count. ``look`` returns the state of a file, which is the key of its digest.

    Raises:
        ConfigError: the analysis is not defined in a file, and its source is unknown.
    """
    function = unwrap(analysis)
    path, texts = Path(function.__code__.co_filename), []
    paths = [EVALUATE, *configured()]
    if path.is_file():
        paths.append(path)
    else:
        functions = called(function)
        texts = [source_text(one) for one in functions]
        modules = {home(value) for one in functions for value in named(one)}
        paths += [
            path for module in modules if is_of(module, "grokinterp") for path in files_of(module, PACKAGE.parent)
        ]
    parts = sorted({*texts, *(code_digest_of(*look(path)) for path in closure(paths, look))})
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()


def called(function: FunctionType) -> list[FunctionType]:
    """Return a function and the functions in the same namespace that it calls, directly or indirectly."""
    found = [function]
    for caller in found:  # grows while it is read
        inner = [unwrap(value) for value in named(caller) if isinstance(value, FunctionType)]
        found += [one for one in inner if one.__globals__ is function.__globals__ and one not in found]
    return found


def named(function: FunctionType) -> list[object]:
    """Return the global values that a function refers to."""
    return [function.__globals__[name] for name in function.__code__.co_names if name in function.__globals__]


def home(value: object) -> str:
    """Return the name of the module that defines a value; a module is its own."""
    return str(getattr(value, "__module__", None) or getattr(value, "__name__", ""))


def source_text(function: FunctionType) -> str:
    """Return the source of a function that is not defined in a file, without comments and docstrings."""
    try:
        return without_wording(dedent(getsource(function)))
    except OSError:
        raise ConfigError("entries", function.__name__, "must be defined in a file or in a notebook") from None
