"""`grokinterp` in a process of its own without waiting for its imports: forked from one that has them already.

As a script: reads one JSON object per line {"arguments": [...], "folder": "..."}, forks a child that runs the command
line with its output in folder.out and folder.err, answers its process id; on {"wait": pid} its exit status.
"""

import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).resolve().parents[2]


class Done(NamedTuple):
    """How a command ended: exit code (minus the signal that killed it), standard output and error."""

    code: int
    out: str
    err: str


class WarmCommandLine:
    """Commands run one by one or at once, each in its own process."""

    def __init__(self, server: subprocess.Popen[str]) -> None:
        self.server = server

    def start(self, folder: Path, *arguments: object) -> int:
        """The process id of a new command, which runs in ``folder``."""
        return self._ask({"arguments": [str(argument) for argument in arguments], "folder": str(folder)})

    def wait(self, pid: int) -> int:
        """Its exit code, or minus the signal that ended it."""
        return os.waitstatus_to_exitcode(self._ask({"wait": pid}))

    def run(self, folder: Path, *arguments: object) -> Done:
        """Start and wait. The output goes next to the folder, which holds the files that the command wrote."""
        code = self.wait(self.start(folder, *arguments))
        return Done(code, *((folder.parent / f"{folder.name}.{name}").read_text() for name in ("out", "err")))

    def _ask(self, question: dict[str, Any]) -> int:
        assert self.server.stdin is not None
        assert self.server.stdout is not None
        self.server.stdin.write(json.dumps(question) + "\n")
        self.server.stdin.flush()
        return int(self.server.stdout.readline())


@contextlib.contextmanager
def warm_command_line() -> Iterator[WarmCommandLine]:
    """A process with everything imported, ended with the block."""
    command = [sys.executable, __file__]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT) as server:
        assert server.stdin is not None
        assert server.stdout is not None
        assert server.stdout.readline() == "ready\n"
        yield WarmCommandLine(server)
        server.stdin.close()


def run_forked(arguments: list[str], folder: str) -> int:
    """Fork; the child becomes ``grokinterp arguments`` in ``folder``. The child's process id."""
    pid = os.fork()
    if pid:
        return pid
    try:
        os.chdir(folder)
        for name, descriptor in (("out", 1), ("err", 2)):
            os.dup2(os.open(f"{folder}.{name}", os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o666), descriptor)
        signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored where the tests run in the background
        sys.argv = ["grokinterp", *arguments]
        code = 1
        try:
            from grokinterp.cli import main

            main()
        except SystemExit as ended:
            code = ended.code if isinstance(ended.code, int) else int(ended.code is not None)
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    except BaseException as error:  # nothing of the parent may run in the child
        os.write(2, f"Traceback: {error!r}\n".encode())
        os._exit(70)


def serve() -> None:
    """Answer questions until the standard input ends."""
    import torch
    import torch._dynamo

    import grokinterp.analysis.whole_run
    import grokinterp.models.classes
    import grokinterp.report
    import grokinterp.training.loop  # noqa: F401

    torch.set_num_threads(1)
    print("ready", flush=True)
    for line in sys.stdin:
        question = json.loads(line)
        if "wait" in question:
            answer = os.waitpid(question["wait"], 0)[1]
        else:
            answer = run_forked(question["arguments"], question["folder"])
        print(answer, flush=True)


if __name__ == "__main__":
    sys.path.insert(0, str(ROOT))
    serve()
