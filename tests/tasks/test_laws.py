"""The laws of every task, over the table of cases."""

import pytest

from grokinterp import tasks
from tests.cases.tasks import TASKS, check


def test_every_kind_of_task_has_a_case():
    assert {task.kind for task in TASKS.values()} == set(tasks.TASKS)


@pytest.mark.parametrize("name", TASKS)
def test_the_laws_of_every_task(name):
    check(TASKS[name])
