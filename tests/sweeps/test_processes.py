"""The processes of a pool: the origin of their modules, and stopping, which waits for them."""

import os
import signal
import subprocess
import sys
from multiprocessing import forkserver

from grokinterp.sweeps.entry import Ended
from grokinterp.sweeps.processes import next_of, processes_of, started, stop
from tests.support.slow_to_stop import save_slowly


def test_a_worker_that_is_killed_is_named_with_its_signal(tmp_path):
    context = processes_of("tests.support.slow_to_stop")
    ours, theirs = context.Pipe(duplex=False)
    process = started(context, save_slowly, str(tmp_path / "state"), theirs)
    theirs.close()
    assert next_of(process, ours) == "begun"
    process.kill()
    assert next_of(process, ours) == Ended("the worker process was killed (SIGKILL)")


def test_stopping_waits_until_all_have_saved(tmp_path):
    """Also if their server receives the signal, as from `timeout` or Slurm, which signal the whole group."""
    context = processes_of("tests.support.slow_to_stop")
    running = {}
    for number in range(2):
        ours, theirs = context.Pipe(duplex=False)
        process = started(context, save_slowly, str(tmp_path / f"{number}"), theirs)
        theirs.close()
        running[ours] = process
    assert [answer.recv() for answer in running] == ["begun", "begun"]
    server = forkserver._forkserver._forkserver_pid
    if server is not None:
        os.kill(server, signal.SIGTERM)
    stop(running)
    assert [path.read_text() for path in sorted(tmp_path.iterdir())] == ["saved", "saved"]


def test_processes_import_from_the_places_of_their_parent_and_do_not_run_its_script_again(tmp_path):
    """A package of the same name lies in the current folder, and beside the script, the only place that counts."""
    for folder, name in (("mine", "mine"), ("here", "here")):
        (tmp_path / folder / "planted").mkdir(parents=True)
        (tmp_path / folder / "planted" / "__init__.py").write_text(f"def tell(pipe):\n    pipe.send({name!r})\n")
    script = tmp_path / "mine" / "script.py"
    script.write_text(
        "import planted\n"
        "print('begun', flush=True)\n"
        "from grokinterp.sweeps.processes import processes_of, started\n"
        "context = processes_of('planted')\n"
        "ours, theirs = context.Pipe(duplex=False)\n"
        "started(context, planted.tell, theirs)\n"
        "print(ours.recv())\n"
    )
    command = [sys.executable, script]
    done = subprocess.run(command, cwd=tmp_path / "here", capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == ("begun\nmine\n", "")
