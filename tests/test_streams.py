"""Output that cannot be written never ends work, and everything that is printed is printable."""

import errno
import io
import os
import select
import subprocess
import sys

import pytest

from grokinterp.custom.until_grokking import to_stderr
from grokinterp.progress import ProgressBar
from grokinterp.streams import Output, silent_standard_error, tolerant_streams

NASTY = "a\x00\x1b[2J\x1b]0;t\x07\x7f\x85\x9b1m\u202e\u2028b\r\tc"


class Failing(io.StringIO):
    """A stream whose writes fail."""

    def __init__(self, error: Exception) -> None:
        super().__init__()
        self.error = error

    def write(self, text: str) -> int:
        raise self.error


def closed() -> io.StringIO:
    stream = io.StringIO()
    stream.close()
    return stream


DEAD = {
    "closed pipe": lambda: Failing(BrokenPipeError(errno.EPIPE, "Broken pipe")),
    "full disk": lambda: Failing(OSError(errno.ENOSPC, "No space left on device")),
    "vanished terminal": lambda: Failing(OSError(errno.EIO, "Input/output error")),
    "closed": closed,
    "closed from the start": lambda: None,
    "not a stream": object,
    "own error": lambda: Failing(ZeroDivisionError()),
}


@pytest.mark.parametrize("dead", DEAD)
def test_a_progress_bar_on_a_dead_stream_does_not_disturb_the_work(dead, monkeypatch):
    monkeypatch.setattr(sys, "stderr", DEAD[dead]())
    with ProgressBar("working", 2, shown=True) as bar:
        bar.say("a line")
        bar.advance(note="a note")
    to_stderr("a line")


def test_a_progress_bar_without_a_terminal_ends_with_the_latest_note(monkeypatch):
    """Also if the last items came without a note, as the steps after an evaluation do."""
    stream = io.StringIO()
    monkeypatch.setattr(sys, "stderr", stream)
    with ProgressBar("training", 3, shown=True) as bar:
        bar.advance(note="train 50.0%")
        bar.advance(0, note="train 100.0%, eval 25.0%, gap 75.0%")
        bar.advance(2)
    (line,) = stream.getvalue().splitlines()
    assert line.startswith("training 3/3, ")
    assert line.endswith(" s left train 100.0%, eval 25.0%, gap 75.0%")


@pytest.mark.parametrize("dead", DEAD)
def test_a_dead_stream_is_given_up_with_the_first_error(dead):
    output = Output(DEAD[dead]())
    output.write("")
    assert output.failure is None
    output.write("text")
    first = output.failure
    assert isinstance(first, OSError)
    output.write("text")
    assert output.failure is first
    assert not output.isatty()


def test_characters_that_a_stream_lacks_are_replaced():
    content = io.BytesIO()
    output = Output(io.TextIOWrapper(content, encoding="ascii"))
    output.write("λ = 2\n")
    assert (content.getvalue(), output.failure) == (b"? = 2\n", None)


def test_only_line_breaks_and_printable_characters_are_written():
    stream = io.StringIO()
    Output(stream).write(f"{NASTY}\nλ \x1b[31mred\x1b[0m\n")
    first, second, _ = stream.getvalue().split("\n")
    assert first.isprintable()
    assert second == "λ red"


def test_bytes_are_refused_as_by_any_text_stream():
    with pytest.raises(TypeError):
        Output(io.StringIO()).write(b"bytes")  # click finds out in this way that the stream takes text


# --- the descriptors of the process ----------------------------------------------------------------------------------


@pytest.fixture
def pipe(monkeypatch):
    """A descriptor to read, and the stream at its other end, which is this process's standard error."""
    reader, writer = os.pipe()
    with os.fdopen(writer, "w", encoding="latin-1") as stream:
        monkeypatch.setattr(sys, "__stderr__", stream)
        yield reader, stream
    os.close(reader)


def test_text_is_written_at_once_and_leaves_nothing_in_a_buffer(pipe):
    reader, stream = pipe
    Output(stream).write("λ ü\n")
    assert os.read(reader, 100) == "? ü\n".encode("latin-1")


@pytest.mark.parametrize("blocking", [True, False])
def test_a_reader_that_does_not_read_holds_nothing_up(pipe, blocking):
    reader, stream = pipe
    os.set_blocking(stream.fileno(), blocking)
    output = Output(stream, patience=0.01)
    for _ in range(50):
        output.write("x" * select.PIPE_BUF)
    assert output.failure is None
    while select.select([reader], [], [], 0)[0]:
        os.read(reader, 2**20)
    output.write("again\n")
    assert os.read(reader, 100) == b"again\n"


def test_streams_are_replaced_inside_the_block_only():
    before = sys.stdout, sys.stderr
    with tolerant_streams() as streams:
        assert (sys.stdout, sys.stderr) == streams
        with tolerant_streams() as inner:
            assert inner == streams
    assert (sys.stdout, sys.stderr) == before


def test_the_standard_error_is_silent_for_a_while_whatever_writes_to_it(capfd):
    with silent_standard_error():
        os.write(2, b"from outside Python\n")
        subprocess.run(["sh", "-c", "echo from another program >&2"], check=True)
    os.write(2, b"after\n")
    assert capfd.readouterr().err == "after\n"
