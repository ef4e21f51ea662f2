"""Frames as the bytes of a film: GIF, or MP4 by the program ffmpeg."""

import io
import subprocess
import tempfile
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from itertools import chain
from pathlib import Path

import numpy as np
from PIL import Image

from grokinterp.errors import GrokinterpError, one_line, require
from grokinterp.storage.files import read_regular

PALETTE = 128
"""Number of colors of a frame of a GIF."""

PAUSE = 2.0
"""Seconds that the last frame of a GIF is shown."""

LARGEST = 2**31
"""Largest film in bytes."""


def gif(frames: Iterable[np.ndarray], fps: float) -> bytes:
    """Return frames [row, column, (red, green, blue)] as an endless GIF that pauses at its last frame."""
    images = [Image.fromarray(one).quantize(PALETTE, dither=Image.Dither.NONE) for one in frames]
    require(bool(images), "frames", 0, "must be at least one")
    each = max(20, round(1000 / fps))  # browsers slow down shorter frames
    durations = [each] * (len(images) - 1) + [each + round(1000 * PAUSE)]
    buffer = io.BytesIO()
    images[0].save(
        buffer, format="GIF", save_all=True, append_images=images[1:], duration=durations, loop=0, disposal=1
    )
    return buffer.getvalue()


def mp4(frames: Iterable[np.ndarray], fps: float) -> bytes:
    """Return frames of even height and width as an H.264 film.

    Raises:
        GrokinterpError: ffmpeg fails; the message is its last line.
    """
    frames = iter(frames)
    first = next(frames)
    size = f"{first.shape[1]}x{first.shape[0]}"
    with tempfile.TemporaryDirectory(prefix="grokinterp-") as folder:
        film = Path(folder) / "film.mp4"
        command = [
            "ffmpeg", "-v", "error", "-f", "rawvideo", "-pix_fmt", "rgb24", "-s", size, "-r", f"{fps:g}", "-i", "-",
            "-an", "-vcodec", "libx264", "-pix_fmt", "yuv420p", "-movflags", "+faststart", str(film),
        ]  # fmt: skip
        with tempfile.TemporaryFile() as messages:
            process = subprocess.Popen(command, stdin=subprocess.PIPE, stderr=messages, stdout=subprocess.DEVNULL)
            stdin = process.stdin
            assert stdin is not None  # it is a pipe
            with suppress(BrokenPipeError), process:  # it may end with an error, which its messages name
                for one in chain([first], frames):
                    stdin.write(one.tobytes())
            messages.seek(0)
            lines = messages.read().decode("utf-8", "replace").strip().splitlines()
        if process.returncode or not film.is_file():
            why = one_line(lines[-1]) if lines else f"exit code {process.returncode}"
            raise GrokinterpError(f"ffmpeg could not write the animation: {why}")
        return read_regular(film, limit=LARGEST)


WRITERS: Mapping[str, Callable[[Iterable[np.ndarray], float], bytes]] = {".gif": gif, ".mp4": mp4}
"""The function that returns the bytes of a film, by the ending of its file."""
