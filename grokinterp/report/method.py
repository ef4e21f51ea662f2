"""What a report's glossary says of one measure."""

from typing import NamedTuple


class Method(NamedTuple):
    """A measure's name, its definition, its source ('' where the rule is this package's own), and who computes it.

    ``analyses`` are those of which one must have results for the measure to be shown; () if it always is.
    ``metric`` is what training must have measured; '' if nothing.
    """

    name: str
    definition: str
    source: str
    analyses: tuple[str, ...] = ()
    metric: str = ""
