"""The axes of a figure, and whether they are labeled."""

from matplotlib.axes import Axes
from matplotlib.figure import Figure


def plots(figure: Figure) -> list:
    return [axes for axes in figure.axes if axes.axison]


def labeled(figure: Figure, axes: Axes, side: str) -> bool:
    """Whether the axis has a label, or shares the label of an axis in its column (x) or row (y)."""
    edge = 0 if side == "x" else 1
    peers = [
        other for other in plots(figure) if abs(other.get_position().p0[edge] - axes.get_position().p0[edge]) < 1e-6
    ]
    return any(getattr(other, f"get_{side}label")() for other in peers)


def is_color_bar(axes: Axes) -> bool:
    return hasattr(axes, "_colorbar")


def assert_labeled(figure: Figure) -> None:
    """Every axis has a label, and every color bar a unit."""
    figure.draw_without_rendering()
    for axes in plots(figure):
        assert is_color_bar(axes) or labeled(figure, axes, "x"), axes.get_title(loc="left")
        assert labeled(figure, axes, "y") or is_color_bar(axes), axes.get_title(loc="left")
        assert "[" in axes.get_ylabel() or not is_color_bar(axes)


def assert_nothing_leaves(figure: Figure) -> None:
    """No part of the drawing is outside the figure."""
    figure.draw_without_rendering()
    box, (width, height) = figure.get_tightbbox(), figure.get_size_inches()
    assert min(box.x0, box.y0) > -0.01
    assert box.x1 < width + 0.01
    assert box.y1 < height + 0.01
