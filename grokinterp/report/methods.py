"""What every measure of a report is, in one line, and where it comes from."""

from collections.abc import Container, Sequence
from typing import NamedTuple


class Paper(NamedTuple):
    """A source, with its arXiv number."""

    authors: str
    title: str
    arxiv: str


NANDA = Paper("Nanda et al. 2023", "Progress measures for grokking via mechanistic interpretability", "2301.05217")
POWER = Paper(
    "Power et al. 2022", "Grokking: Generalization Beyond Overfitting on Small Algorithmic Datasets", "2201.02177"
)
CHUGHTAI = Paper("Chughtai, Chan, Nanda 2023", "A Toy Model of Universality", "2302.03025")
PRIETO = Paper("Prieto et al. 2025", "Grokking at the Edge of Numerical Stability", "2501.04697")
THILAK = Paper("Thilak et al. 2022", "The Slingshot Mechanism", "2206.04817")
LIU = Paper(
    "Liu et al. 2022", "Towards Understanding Grokking: An Effective Theory of Representation Learning", "2205.10343"
)
LOSHCHILOV = Paper("Loshchilov, Hutter 2017", "Decoupled Weight Decay Regularization", "1711.05101")
PAPYAN = Paper(
    "Papyan, Han, Donoho 2020", "Prevalence of neural collapse during the terminal phase of deep learning training", ""
)
ROY = Paper("Roy, Vetterli 2007", "The effective rank: a measure of effective dimensionality", "")
DOSHI = Paper("Doshi et al. 2023", "To grok or not to grok", "2310.13061")
ELHAGE = Paper("Elhage et al. 2021", "A Mathematical Framework for Transformer Circuits", "")

PAPERS = (POWER, NANDA, CHUGHTAI, LIU, PRIETO, THILAK, LOSHCHILOV, ELHAGE, DOSHI, PAPYAN, ROY)


class Method(NamedTuple):
    """A measure's name, its definition, its source ('' where the rule is this package's own), and who computes it.

    ``analyses`` are those of which one must be defined for the measure to mean anything; () if it always does.
    ``metric`` is what training must have measured; '' if nothing.
    """

    name: str
    definition: str
    source: str
    analyses: tuple[str, ...] = ()
    metric: str = ""


METHODS = (
    Method(
        "Loss, accuracy",
        "Mean over the examples of what training minimizes, in float64: the cross-entropy, or, where it was trained "
        "with, the squared error averaged over the classes; under deep supervision also averaged over its steps. "
        "Share of the examples answered as they are labeled. Test means the examples that are held out from both "
        "training and validation.",
        "Power et al. 2022",
    ),
    Method(
        "Mislabeled examples",
        "Of the training examples whose labels label noise made wrong: the share answered as labeled, and the share "
        "given the true answer all the same.",
        "Doshi et al. 2023",
        metric="noisy_accuracy",
    ),
    Method(
        "Exponents",
        "Where the answers are the products of a cyclic group of order n with generator g, operands and classes are "
        "counted by their exponents, g^i ∘ g^j = g^(i + j): the residues themselves under addition, discrete "
        "logarithms under multiplication and division, and the negative of them for an operand that is subtracted or "
        "divided by. a, b and c below are exponents; what lies outside the group, such as a 0 under multiplication, "
        "is left out. All measures of frequency rest on this and are not defined without such a group.",
        "",
        ("logit_spectrum",),
    ),
    Method(
        "Fourier basis",
        "Constant, then cos and sin of w_k t = 2πkt/n for k = 1 … ⌊n/2⌋, both ends included.",
        "Nanda et al. 2023, §4.1",
        ("logit_spectrum",),
    ),
    Method(
        "Embedding spectrum",
        "Squared norm over d_model of the cosine and sine components of W_E along the exponents of the left operand.",
        "Nanda et al. 2023, §4.1",
        ("embedding_spectrum",),
    ),
    Method(
        "Gini coefficient",
        "G = Σ(2i − n − 1)x_i / (nΣx) of the Fourier component norms x, ascending; of W_E and of W_L, the map from "
        "the last neurons to the logits. 0: uniform, towards 1: sparse.",
        "Nanda et al. 2023, §5",
        ("embedding_spectrum", "neuron_logit_spectrum"),
    ),
    Method(
        "Embedding circle",
        "Centered embeddings along the unit vectors of their cosine and sine component at a key frequency.",
        "Liu et al. 2022; Nanda et al. 2023, §4.1",
        ("embedding_circles",),
    ),
    Method(
        "Neuron frequency",
        "The k whose block {0, cos k, sin k} of the neuron's 2-D spectrum over (a, b) explains most variance; "
        "specialized above 85 %.",
        "Nanda et al. 2023, §4.2",
        ("neuron_frequencies",),
    ),
    Method(
        "Key frequencies",
        "Frequencies k with cos(row-centered logits, cos(w_k(a + b − c))) above the largest similarity found at "
        "any frequency after 100 shuffles of the classes, at the last checkpoint.",
        "Chughtai et al. 2023, §4; threshold: this package",
        ("logit_spectrum",),
    ),
    Method(
        "Logits explained",
        "Share of the logits' variance in the cosines of the key frequencies of the same checkpoint.",
        "Nanda et al. 2023, §4.3",
        ("logit_spectrum",),
    ),
    Method(
        "Restricted loss",
        "Loss on all pairs of the logits' constant and key-frequency components in a + b. Control: as "
        "many random other frequencies.",
        "Nanda et al. 2023, §5.1",
        ("progress_measures",),
    ),
    Method(
        "Excluded loss",
        "Loss on the training pairs of the logits without the components of all key frequencies, or of "
        "one. Control: as many random other frequencies.",
        "Nanda et al. 2023, §5.1",
        ("progress_measures",),
    ),
    Method(
        "Trig loss",
        "Loss of the key-frequency components with the bias correction L′ + mean(L − L′); split named where shown.",
        "Nanda et al. 2023, released code",
        ("progress_measures",),
    ),
    Method(
        "Attention",
        "Weight that the position where the answer is read gives to another, on average over the examples, or to the "
        "first operand in the last layer for every pair of operands. It is read at “=”, at the last token, or at all "
        "positions, whose mean it then is.",
        "Nanda et al. 2023, §4.2",
        ("attention_pattern", "attention_map"),
    ),
    Method(
        "Frequency of a head",
        "The k of the best fit ½ + α(cos w_k a − cos w_k b) + β(sin w_k a − sin w_k b) to its attention to a.",
        "Nanda et al. 2023, §4.2",
        ("attention_periodicity",),
    ),
    Method(
        "Logits by label",
        "Logits minus their mean over the classes, averaged over the examples with the same label.",
        "Nanda et al. 2023, §4.1",
        ("logit_map",),
    ),
    Method(
        "Class cosine",
        "Mean cosine of what the unembedding reads, over pairs of examples of one class and of different classes.",
        "Papyan et al. 2020",
    ),
    Method(
        "Softmax collapse",
        "Share of training examples whose Σ exp(z − max z) is exactly 1, whose log-softmax loss is exactly 0, or "
        "whose gradient is 0, with the logits in float32 and in float64.",
        "Prieto et al. 2025, §3",
    ),
    Method(
        "Alignment",
        "Cosine of the raw training gradient, and of the applied update, with the weights. −1 for the gradient: "
        "descent only scales the weights up.",
        "Prieto et al. 2025, §4",
    ),
    Method(
        "Logit magnitude, margin",
        "Mean and largest |z|; root mean square of the centered logits; the correct logit minus the largest wrong one.",
        "Prieto et al. 2025, §3",
    ),
    Method(
        "Effective rank",
        "Exponential of the entropy of the singular values divided by their sum; QK and OV are the heads' "
        "circuits W_Q W_Kᵀ and W_V W_O.",
        "Roy and Vetterli 2007; Elhage et al. 2021",
    ),
    Method(
        "Weight norm",
        "Sum of the squares of all parameters.",
        "Nanda et al. 2023, §5",
    ),
    Method(
        "Leaked share",
        "Share of the test examples whose mirror image, such as (b, a) for (a, b) under a commutative operation, is "
        "in the training set, so that symmetry alone gives the answer.",
        "",
    ),
    Method(
        "Phases",
        "Memorization until train accuracy ≥ 0.99; circuit formation until the plateau of the test loss ends and, "
        "where it is defined, the excluded loss has doubled; cleanup until 10 consecutive evaluations have test "
        "accuracy ≥ 0.95; then generalization.",
        "Nanda et al. 2023, §5.2; rules: this package",
    ),
    Method(
        "Events",
        "Loss spikes, slingshots (a spike with growing weight norm) and relapses of test accuracy are marked "
        "inside a phase and do not end it.",
        "Thilak et al. 2022; rules: this package",
    ),
)


def methods(not_defined: Container[str], metrics: Container[str]) -> list[Method]:
    """The measures that have a meaning for a run: not all their analyses are undefined, and training measured them."""
    defined = [one for one in METHODS if not one.analyses or any(name not in not_defined for name in one.analyses)]
    return [one for one in defined if not one.metric or one.metric in metrics]


def papers(chosen: Sequence[Method]) -> list[Paper]:
    """The sources of some measures, and of weight decay, which every run has."""
    cited = [source.replace(",", "").split() for one in chosen for source in one.source.split(";") if source]
    named = {(words[0], words[words.index(year)]) for words in cited for year in words if year.isdigit()}
    return [paper for paper in PAPERS if _key(paper) in named or paper is LOSHCHILOV]


def _key(paper: Paper) -> tuple[str, str]:
    """First author and year."""
    words = paper.authors.replace(",", "").split()
    return words[0], words[-1]
