"""Figures of square maps in rows, one for each checkpoint or neuron, with one color bar for all."""

from collections.abc import Sequence
from typing import NamedTuple

from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.figure import Figure

from grokinterp.figures.style import blank, color_bar, place

WIDTH, LEFT, BAR = 10.0, 0.75, 1.05
"""Width of the figure, and of the margins for the labels and for the color bar, in inches."""

GAP, ABOVE, BELOW = 0.25, 0.4, 0.55
"""Distances between squares, above each row for its titles, and below the last row for its labels, in inches."""


class Squares(NamedTuple):
    """A figure with square axes in rows.

    Attributes:
        figure: the figure.
        axes: the axes from left to right and from top to bottom.
        columns: the number of axes of a row.
        side: the length of a side in inches.
    """

    figure: Figure
    axes: list[Axes]
    columns: int
    side: float

    def label(self, x: str, y: str) -> None:
        """Write the labels of the axes at the lower and the left edge, and remove the numbers of all others."""
        for place_, axes in enumerate(self.axes):
            lowest = place_ + self.columns >= len(self.axes)
            leftmost = place_ % self.columns == 0
            axes.set(xlabel=x if lowest else "", ylabel=y if leftmost else "")
            axes.tick_params(labelbottom=lowest, labelleft=leftmost)

    def bar(self, image: ScalarMappable, label: str) -> None:
        """Draw the color bar beside the first row."""
        left = LEFT + (self.side + GAP) * self.columns - GAP + 0.12
        color_bar(place(self.figure, left, ABOVE, 0.12, self.side), image, label)


def squares(count: int, *, columns: int = 5, below: float = 0.0, most: float = 3.2) -> Squares:
    """Return a figure with square axes in rows of equal length, with room for a color bar at the right.

    Args:
        count: the number of squares.
        columns: the largest number of squares in a row.
        below: further room below, in inches.
        most: the largest side in inches.
    """
    rows = -(-count // columns)
    columns = -(-count // rows)
    side = min((WIDTH - LEFT - BAR + GAP) / columns - GAP, most)
    figure = blank(WIDTH, rows * (side + ABOVE) + BELOW + below)
    axes = [
        place(figure, LEFT + (side + GAP) * (i % columns), ABOVE + (side + ABOVE) * (i // columns), side, side)
        for i in range(count)
    ]
    return Squares(figure, axes, columns, side)


def titled(axes: Sequence[Axes], titles: Sequence[str]) -> None:
    """Write a title above each of the axes."""
    for one, title in zip(axes, titles, strict=True):
        one.set_title(title)
