"""Long tables, in which a row holds a value of one curve or of one split, named by a column."""

from collections.abc import Callable, Mapping
from dataclasses import replace

import numpy as np

from grokinterp.interop.logs.cells import Labels
from grokinterp.interop.logs.names import meaning, side, words
from grokinterp.interop.logs.table import Table, is_value


def widened(table: Table) -> Table:
    """Return the table with a column for each curve; a table in this form is unchanged.

    * ``step, metric, value``: a column names the curves, and another column holds all values;
    * ``step, split, loss, accuracy``: a column names the split of the quantities in a row.
    """
    values = [name for name in table.columns if is_value(name)]
    if values and (name := _naming(table.labels, lambda text: meaning(text) is not None)):
        return _pivoted(table, name, values[:1], lambda text, _: text)
    quantities = [name for name in table.columns if (found := meaning(name)) is not None and found.split is None]
    if quantities and (name := _naming(table.labels, _is_split)):
        return _pivoted(table, name, quantities, lambda text, quantity: f"{text} {quantity}")
    return table


def _naming(labels: Mapping[str, Labels], names: Callable[[str], bool]) -> str | None:
    """Return the first column with at least two texts that are such names."""
    found = (column for column, label in labels.items() if sum(map(names, label.used)) > 1)
    return next(found, None)


def _is_split(text: str) -> bool:
    return len(words(text)) == 1 and side(text) is not None


def _pivoted(table: Table, by: str, values: list[str], name: Callable[[str, str], str]) -> Table:
    """Split each column of values by the text in another column; rows with other texts are NaN."""
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
