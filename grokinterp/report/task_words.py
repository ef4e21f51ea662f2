"""The task of a run in words: a title, and a sentence on what the network is given and must answer."""

from typing import NamedTuple

from grokinterp.experiment.split import UNKNOWN
from grokinterp.numbers import percent, whole
from grokinterp.report.vocabulary import Vocabulary, section
from grokinterp.runs.results import Results
from grokinterp.tasks.descriptions import named


class TaskWords(NamedTuple):
    """The name of a task, and what the network must do."""

    title: str
    sentence: str


def task_words(results: Results, vocabulary: Vocabulary) -> TaskWords:
    """Return the title of a run's task, and sentences on the task and on the training examples."""
    task = section(results, "task")
    title, about = named(task)
    return TaskWords(f"{title[:1].upper()}{title[1:]}", f"{about}{trained_on(results, vocabulary)}")


def trained_on(results: Results, vocabulary: Vocabulary) -> str:
    """Return a sentence on the number of training examples, or their share; "" if neither is known."""
    if results.directory.experiment.get("data") == "infinite":
        return f" It trains on new {vocabulary.examples} at every step and is tested on held-out {vocabulary.examples}."
    counts = (
        {}
        if "answer" in results.metrics.dims
        else next((part.attrs for part in results.analyses.values() if "train_examples" in part.attrs), {})
    )
    trained, held_out = (int(counts.get(f"{part}_examples", 0)) for part in ("train", "test"))
    if trained and held_out:
        of = f"{whole(trained)} {vocabulary.examples}"
        return f" It trains on {of} and is tested on {whole(held_out)} others."
    fraction = section(results, "split").get("fraction")
    if section(results, "split").get("trained_on") == UNKNOWN:
        return f" Which {vocabulary.examples} it trained on is unknown."
    if isinstance(fraction, int | float) and not vocabulary.is_recorded:
        return f" It trains on {percent(float(fraction))} of the {vocabulary.examples} and is tested on the others."
    return ""
