"""Commands that draw a run into files: figures with their data, and animations."""

from pathlib import Path
from typing import Annotated

import typer

from grokinterp.cli.measuring import analyzed, warn_of_damage
from grokinterp.cli.options import RunDir, split_names
from grokinterp.cli.printing import say


def figures(
    run_dir: RunDir,
    out: Annotated[Path, typer.Option(metavar="DIR", help="The folder of the figures.")],
    format_name: Annotated[str, typer.Option("--format", metavar="png|svg|pdf", help="The format of the figures.")] = (
        "png"
    ),
    steps: Annotated[
        str | None,
        typer.Option(metavar="STEP,...", help="Checkpoints to show (default: the first of each phase, and the last)."),
    ] = None,
    only: Annotated[str | None, typer.Option(metavar="NAME,...", help="Only these figures of index.csv.")] = None,
) -> None:
    """Write every figure of a run with its data as CSV beside it, after running any missing analyses.

    These are the figures of the report, maps over all pairs of operands, neurons, weight matrices, and the paths of the
    weights. DIR/index.csv lists them with their captions, and gives the reason for each that cannot
    be drawn.
    """
    from grokinterp.atlas.arguments import figure_folder, read_steps, require_format

    require_format(format_name)
    folder = figure_folder(out)
    shown = None if steps is None else read_steps(steps)

    from grokinterp.atlas import write_figures

    names, results = None if only is None else split_names(only), analyzed(run_dir)
    written = write_figures(results, folder, format=format_name, steps=shown, only=names, progress=True)
    say([f"{folder}: {len(written)} figure{'' if len(written) == 1 else 's'} with their data, listed in index.csv"])
    warn_of_damage(results)


def animate(
    run_dir: RunDir,
    out: Annotated[Path, typer.Option(metavar="FILE", help="A .gif file or, with the program ffmpeg, .mp4.")],
    frames: Annotated[int, typer.Option(help="Largest number of frames.")] = 100,
    fps: Annotated[float, typer.Option(help="Frames per second.")] = 12.0,
    dpi: Annotated[int, typer.Option(help="Dots per inch of frames of 10 x 5.6 inches.")] = 80,
) -> None:
    """Write an animation of a run over its checkpoints, after running any missing analyses.

    It shows the curves with their phases and, if the run has them, which pairs are answered correctly, the embedding
    circle of a key frequency, and the spectrum of the embedding.
    """
    from grokinterp.atlas.arguments import animation_file, require_frames, require_writer

    file = animation_file(out)
    require_frames(frames, fps, dpi)
    require_writer(file)

    from grokinterp.atlas import animate as write_animation

    results = analyzed(run_dir)
    say([str(write_animation(results, file, frames=frames, fps=fps, dpi=dpi, progress=True))])
    warn_of_damage(results)
