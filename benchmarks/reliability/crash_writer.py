"""Save once between two marks in the trace of system calls; ``system_calls`` kills the save or makes it fail.

    python crash_writer.py KIND RUN STEP PAYLOAD [FILE_SIZE_LIMIT]

KIND is checkpoint, resume, status, metrics, naive (open and write in place: the control) or hold (keep the lock).
This file does not import torch.
"""

import os
import resource
import signal
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from grokinterp.errors import GrokinterpError
from grokinterp.storage import HeldRun, RunDirectory, resume_store, run_directory


def save(kind: str, held: HeldRun, step: int, payload: bytes) -> None:
    """Save through the public interface, except that ``payload`` is already encoded."""
    if kind == "checkpoint":
        held.save_checkpoint(step, {})
    elif kind == "resume":
        held.save_resume_state(step, {}, {})
    elif kind == "status":
        held.write_status({"status": "running", "step": step, "note": "x" * 500})
    elif kind == "metrics":
        held.metrics.append({"step": step, "train_loss": 0.5})
    else:
        with open(held.directory.checkpoint_path(step), "wb") as file:
            file.write(payload)


def mark(name: str) -> None:
    """Make a system call that marks a place in the trace."""
    try:
        os.open(name, os.O_RDONLY)
    except FileNotFoundError:
        return


def main(kind: str, path: str, step: str, payload_path: str, limit: str = "") -> int:
    """Save once and return the exit code."""
    payload = Path(payload_path).read_bytes()
    run = RunDirectory.open(path)
    assert run.run_id  # read before the mark
    if kind == "hold":
        with run.lock():
            print("held", flush=True)
            time.sleep(60)
    run_directory.encode_tensors = resume_store.encode_tensors = lambda *_, **__: payload
    if limit:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (int(limit), resource.RLIM_INFINITY))
    try:
        with run.lock() as held:
            mark("BEGIN-SAVE")
            save(kind, held, int(step), payload)
            mark("END-SAVE")
    except (GrokinterpError, OSError) as error:
        print(error, file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    assert "torch" not in sys.modules
    sys.exit(main(*sys.argv[1:]))
