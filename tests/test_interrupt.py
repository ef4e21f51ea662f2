"""Signals that ask a process to stop: which are obeyed, how often, and how a process ends."""

import signal
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest

from grokinterp.interrupt import ECHO, STOPPING, Stopped, deferred_signals, exit_on_signals

each_signal = pytest.mark.parametrize("number", STOPPING)


@pytest.fixture(autouse=True)
def handlers(monkeypatch) -> Iterator[None]:
    """The default handlers; those of the tests' process are restored."""
    monkeypatch.setattr(sys, "unraisablehook", sys.unraisablehook)
    before = {number: signal.signal(number, signal.SIG_DFL) for number in STOPPING}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def code_of(error: BaseException) -> int:
    """The exit code of a process that ends with an exception."""
    if isinstance(error, Stopped):
        return 128 + error.signal
    return 130 if isinstance(error, KeyboardInterrupt) else error.code


@each_signal
def test_a_signal_ends_with_its_code(number):
    exit_on_signals()
    with pytest.raises((KeyboardInterrupt, SystemExit)) as ended:
        signal.raise_signal(number)
    assert code_of(ended.value) == 128 + number


@each_signal
def test_a_loop_sees_a_signal_as_a_flag_and_then_it_acts(number):
    with deferred_signals() as asked:
        signal.raise_signal(number)
        assert asked.signal == number
    assert signal.getsignal(number) == signal.SIG_DFL
    with pytest.raises((KeyboardInterrupt, Stopped)) as ended:
        asked.raise_if_asked()
    assert code_of(ended.value) == 128 + number


@each_signal
def test_an_ignored_signal_stays_ignored(number):
    signal.signal(number, signal.SIG_IGN)
    exit_on_signals()
    with deferred_signals() as asked:
        signal.raise_signal(number)
    assert asked.signal is None
    assert signal.getsignal(number) == signal.SIG_IGN


@pytest.mark.parametrize("first", STOPPING)
@each_signal
def test_a_second_interrupt_or_termination_acts_at_once_and_no_other_signal(first, number):
    """A shell repeats SIGHUP, and the kernel SIGXCPU."""
    with deferred_signals() as asked:
        signal.raise_signal(first)
        time.sleep(ECHO if first == number else 0)
        try:
            signal.raise_signal(number)
            acted = False
        except (KeyboardInterrupt, Stopped) as error:
            acted = code_of(error) == 128 + number
    assert asked.signal == first
    assert acted == (number in (signal.SIGINT, signal.SIGTERM))


@pytest.mark.parametrize("deferred", [True, False])
def test_an_echo_is_the_same_request(deferred):
    """`timeout` signals a process and then its group, to which the process belongs."""
    exit_on_signals()
    if deferred:
        with deferred_signals() as asked:
            signal.raise_signal(signal.SIGTERM)
            signal.raise_signal(signal.SIGTERM)
        assert asked.signal == signal.SIGTERM
    else:
        with pytest.raises(SystemExit):
            signal.raise_signal(signal.SIGTERM)
        signal.raise_signal(signal.SIGTERM)


def test_a_handler_of_the_caller_receives_the_signal_after_the_loop():
    received = []
    signal.signal(signal.SIGUSR1, lambda number, _: received.append(number))
    with deferred_signals() as asked:
        signal.raise_signal(signal.SIGUSR1)
        assert received == []
    with pytest.raises(Stopped, match="SIGUSR1"):
        asked.raise_if_asked()
    assert received == [signal.SIGUSR1]


def finalize_and_wait() -> None:
    """Let a signal arrive inside a finalizer, where Python drops exceptions."""

    class Final:
        def __del__(self) -> None:
            signal.raise_signal(signal.SIGHUP)

    Final()
    time.sleep(10)


def test_a_signal_inside_a_finalizer_is_not_lost_and_prints_nothing(capsys):
    exit_on_signals()
    with pytest.raises(SystemExit) as ended:
        finalize_and_wait()
    assert ended.value.code == 128 + signal.SIGHUP
    assert capsys.readouterr() == ("", "")


IMPORTING = """
import signal, sys
from grokinterp.cli import main
class Planted:
    def find_spec(self, name, *_):
        if name == "typer":
            signal.raise_signal(int(sys.argv[1]))
sys.meta_path.insert(0, Planted())
main()
"""


@pytest.mark.parametrize(("number", "words"), [(signal.SIGINT, b"interrupted\n"), (signal.SIGHUP, b"")])
def test_a_signal_during_imports_shows_no_traceback(number, words):
    done = subprocess.run([sys.executable, "-c", IMPORTING, str(int(number))], capture_output=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (128 + number, b"", words)
