"""The optional packages of notebooks, imported on first use."""

from importlib import import_module
from typing import TYPE_CHECKING, Any, final

from grokinterp.errors import GrokinterpError

EXTRA = 'needs the extra "notebooks": pip install "grokinterp[notebooks]"'

if TYPE_CHECKING:
    import ipywidgets as widgets
    import plotly.graph_objects as go

    Chart = go.Figure
    """A figure of plotly."""
else:

    @final
    class _Optional:
        """A module that is imported on first attribute access."""

        def __init__(self, name: str) -> None:
            self._name = name

        def __getattr__(self, attribute: str) -> Any:
            try:
                return getattr(import_module(self._name), attribute)
            except ImportError:
                package = self._name.partition(".")[0]
                raise GrokinterpError(f"{package} is not installed, and this {EXTRA}") from None

    go, widgets, Chart = _Optional("plotly.graph_objects"), _Optional("ipywidgets"), Any

__all__ = ["EXTRA", "Chart", "go", "widgets"]
