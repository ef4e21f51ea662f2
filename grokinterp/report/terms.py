"""Terms of the first chapters, each explained where it first stands on the page."""

import re
from collections.abc import Callable

from markupsafe import Markup, escape

from grokinterp.phases import SUSTAINED

TERMS = {
    "grokked": "The network memorized its training examples first and generalized to the held-out ones much later.",
    "train accuracy": "The share of the training examples that the network answers correctly.",
    "test accuracy": "The share of the held-out examples, on which the network never trains, that it answers "
    "correctly.",
    "train loss": "The mean loss over the training examples; it is what training minimizes.",
    "test loss": "The mean loss over the held-out examples.",
    "held-out": "Not used for training; mirror images of training pairs, such as (b, a) for (a, b), are "
    "excluded as well.",
    "memorization": f"The phase until the train accuracy is at least {SUSTAINED.memorized:g}; in a run that "
    "generalizes without delay, until it generalizes.",
    "circuit formation": "The phase after memorization in which the test loss stays on its plateau. In a network "
    "that groks, the generalizing circuit grows during this phase.",
    "cleanup": "The phase in which the test loss falls until the test accuracy is at least "
    f"{SUSTAINED.threshold:g}, to within one standard error, at {SUSTAINED.window} consecutive evaluations.",
    "generalization": "The phase that begins when the network generalizes lastingly.",
    "key frequencies": "The frequencies k whose waves cos(2πkt/n) and sin(2πkt/n) the network's logits follow "
    "more closely than chance allows.",
    "key frequency": "A frequency k whose waves cos(2πkt/n) and sin(2πkt/n) the network's logits follow more "
    "closely than chance allows.",
    "key representations": "The irreducible representations of the group whose characters the logits follow "
    "more closely than chance allows. In S_n, standard_sign is the standard representation times the sign, and "
    "numbers such as (2,2) are partitions.",
    "logits": "The network's outputs before the softmax, one per possible answer.",
    "restricted loss": "The loss if only the key frequencies of the logits are kept: low if they suffice.",
    "excluded loss": "The loss on the training examples if the key frequencies are removed from the logits: "
    "high if the network needs them.",
    "clock": "A circuit that turns both operands into angles on circles and adds the angles by multiplying waves; "
    "w = 2πk/n for a key frequency k.",
    "pizza": "A circuit that averages the two operands' points on a circle, so that the direction of the "
    "sum encodes the answer.",
    "memorizer": "A network that answers its training examples correctly, but few others.",
    "chance loss": "The loss of guessing every answer with the same probability.",
    "random other frequencies": "A control: as many frequencies that are not key, drawn at random; the mean "
    "of 8 draws.",
    "random other parts": "A control: other parts of the logits with the same rank, drawn at random; the mean "
    "of 8 draws.",
    "evaluation": "A measurement of losses and accuracies during training.",
    "checkpoint": "The weights of the network as they were saved at one step.",
    "gradient symmetricity": "The similarity of the logits' gradients with respect to the two operands: near 1 if "
    "the network adds their embeddings.",
    "weight norm": "The sum of the squares of all parameters.",
    "progress measures": "Losses of the network with only the key frequencies (restricted, trig) or without them "
    "(excluded).",
    "softmax": "The function that turns logits into probabilities; it rounds to 1 if one logit is far ahead.",
    "learning coefficient": "A measure of how many directions in the space of weights matter for the loss.",
    "step": "One update of the weights by the optimizer.",
}
"""Terms with their definitions for readers who meet them for the first time."""


def marker() -> Callable[[str], Markup]:
    """Return a filter that explains each known term at its first place on a page and leaves later places alone.

    A term becomes a ``<dfn>`` with its definition, which the script of the page shows on hover, focus, and touch;
    without the script, ``title`` shows it.

    >>> explained = marker()
    >>> "The loss of guessing" in explained("a share of the chance loss"), "dfn" in explained("the chance loss")
    (True, False)
    """
    known: set[str] = set()
    pattern = re.compile(rf"\b({'|'.join(sorted(map(re.escape, TERMS), key=len, reverse=True))})\b", re.IGNORECASE)

    def explained(text: str) -> Markup:
        parts, at = [], 0
        for found in pattern.finditer(str(text)):
            term = found[0].lower()
            if term in known:
                continue
            known.add(term)
            parts += [escape(text[at : found.start()]), _explained(found[0], TERMS[term])]
            at = found.end()
        return Markup("").join([*parts, escape(text[at:])])

    return explained


def _explained(word: str, definition: str) -> Markup:
    return Markup('<dfn class="term" tabindex="0" title="{}">{}</dfn>').format(definition, word)
