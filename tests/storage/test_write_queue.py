"""The queue of writes: their order, their errors, its end, and how many wait."""

from threading import Event, Timer

import pytest

from grokinterp.storage import WriteQueue
from grokinterp.storage.write_queue import MOST_BYTES


def test_writes_happen_in_order_and_all_of_them_before_the_end():
    done = []
    with WriteQueue() as queue:
        for number in range(100):
            queue.add(lambda number=number: done.append(number), size=1)
    assert done == list(range(100))


def test_an_error_is_that_of_its_own_write_and_the_others_happen():
    def fail() -> None:
        raise OSError(28, "No space left on device")

    done = []
    with WriteQueue(runs=3) as queue:
        ends = [queue.add(write, size=1) for write in (fail, lambda: done.append(1))]
        with pytest.raises(OSError, match="No space"):
            ends[0].result()
        assert ends[1].result() is None
    assert done == [1]


@pytest.mark.parametrize(("runs", "size", "accepted"), [(1, 1, 2), (3, 1, 6), (3, MOST_BYTES // 3, 3), (3, 2**40, 1)])
def test_no_more_is_accepted_than_may_wait(runs, size, accepted):
    release, begun = Event(), []
    with WriteQueue(runs) as queue:
        for _ in range(accepted):
            queue.add(lambda: begun.append(release.wait(60)), size)
        assert begun == []
        Timer(0.02, release.set).start()
        queue.add(lambda: None, size)  # waits for the first
        assert begun[0]
