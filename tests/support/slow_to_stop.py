"""A process of a league that takes its time to save: it imports nothing, so that it starts at once."""

import signal
import time
from multiprocessing.connection import Connection
from pathlib import Path
from types import FrameType


def save_slowly(path: str, answer: Connection) -> None:
    """Say that it has begun; at the first SIGTERM save, which takes half a second, and end."""

    def save(number: int, frame: FrameType | None) -> None:
        time.sleep(0.5)
        Path(path).write_text("saved")
        raise SystemExit(143)

    signal.signal(signal.SIGTERM, save)
    answer.send("begun")
    time.sleep(60)
