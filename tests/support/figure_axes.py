"""The axes of a figure, and whether they are labeled."""

from matplotlib.axes import Axes
from matplotlib.figure import Figure


def plots(figure: Figure) -> list:
    return [axes for axes in figure.axes if axes.axison]


def labeled(figure: Figure, axes: Axes, side: str) -> bool:
    """Whether the axis says what it shows, or shares the label of one in its column (x) or row (y)."""
    edge = 0 if side == "x" else 1
    peers = [
        other for other in plots(figure) if abs(other.get_position().p0[edge] - axes.get_position().p0[edge]) < 1e-6
    ]
    return any(getattr(other, f"get_{side}label")() for other in peers)


def is_color_bar(axes: Axes) -> bool:
    return hasattr(axes, "_colorbar")
