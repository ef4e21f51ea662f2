"""Long tables, in which a row holds a value of one curve, or of one split, and a column names it."""

from collections.abc import Callable, Mapping
from dataclasses import replace

import numpy as np

from grokinterp.interop.logs.cells import Labels
from grokinterp.interop.logs.names import meaning, side, words
from grokinterp.interop.logs.table import Table, is_value


def widened(table: Table) -> Table:
    """The table with a column for each curve; a table that has them already as it is.

    * ``step, metric, value``: a column names the curves, another one holds all their values;
    * ``step, split, loss, accuracy``: a column says of which split the quantities of a row are.
    """
    values = [name for name in table.columns if is_value(name)]
    if values and (name := _naming(table.labels, lambda text: meaning(text) is not None)):
        return _pivoted(table, name, values[:1], lambda text, _: text)
    quantities = [name for name in table.columns if (found := meaning(name)) is not None and found.split is None]
    if quantities and (name := _naming(table.labels, _is_split)):
        return _pivoted(table, name, quantities, lambda text, quantity: f"{text} {quantity}")
    return table


def _naming(labels: Mapping[str, Labels], names: Callable[[str], bool]) -> str | None:
    """The first column at least two of whose texts are such names."""
    found = (column for column, label in labels.items() if sum(map(names, label.used)) > 1)
    return next(found, None)


def _is_split(text: str) -> bool:
    return len(words(text)) == 1 and side(text) is not None


def _pivoted(table: Table, by: str, values: list[str], name: Callable[[str, str], str]) -> Table:
    """The table with each column of values in several, by the text in another column; NaN in rows of other texts."""
    label = table.labels[by]
    columns = {each: column for each, column in table.columns.items() if each not in values}
    bad = {each: cell for each, cell in table.bad.items() if each not in values}
    for code, text in enumerate(label.texts):
        for value in values:
            columns[name(text, value)] = np.where(label.codes == code, table.columns[value], np.nan)
            bad |= {name(text, value): table.bad[value]} if value in table.bad else {}
    labels = {each: column for each, column in table.labels.items() if each != by}
    note = f"a long table: its curves are named by {by!r}"
    percents = {name(text, value) for value in values if value in table.percents for text in label.texts}
    return replace(
        table,
        columns=columns,
        labels=labels,
        bad=bad,
        percents=table.percents | percents,
        names=list(columns),
        notes=[*table.notes, note],
    )
