"""Commands that publish a run: folders for other tools, and what to cite."""

from pathlib import Path
from typing import Annotated

import typer

from grokinterp.cli.options import RunDir
from grokinterp.cli.printing import say
from grokinterp.errors import require_choice
from grokinterp.storage.atomic import output_file

PUBLISHED = ("hf", "transformer-lens")
"""The formats of ``grokinterp.interop.publishing``, listed here so that an error does not load torch."""


def export(
    run_dir: RunDir,
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="A new or empty directory.")],
    to: Annotated[str, typer.Option(metavar="FORMAT", help="hf (the Hugging Face hub) or transformer-lens.")] = "hf",
    last: Annotated[bool, typer.Option("--last", help="Only the last step (default: all saved steps).")] = False,
) -> None:
    """Write a run as a folder for the Hugging Face hub or TransformerLens: weights, configuration, and model card.

    Each step has its own folder. `grokinterp import` with the same format reads the folder back as the same run.
    Uploading is up to you: huggingface-cli upload NAME/REPOSITORY DIR
    """
    require_choice("to", to, PUBLISHED)

    from grokinterp.interop.publishing import export_run

    say([str(export_run(run_dir, to, folder, last=last, progress=True))])


def cite(
    run_dir: RunDir,
    out: Annotated[Path | None, typer.Option(metavar="FILE.bib", help="Write a file (default: print).")] = None,
) -> None:
    """Print BibTeX entries for what a run used: this package, and papers on its task, model, training, and analyses."""
    written = None if out is None else output_file("out", out)

    from grokinterp.report.citations import bibtex
    from grokinterp.runs.results import Results
    from grokinterp.storage import write_atomic

    text = bibtex(Results.open(run_dir))
    if written is None:
        say(text.rstrip("\n").split("\n"))
    else:
        write_atomic(written, text.encode("utf-8"), replace=True)
        say([str(written)])
