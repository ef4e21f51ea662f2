"""What every measure of a report is, in one line, and where it comes from."""

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
ELHAGE = Paper("Elhage et al. 2021", "A Mathematical Framework for Transformer Circuits", "")

PAPERS = (POWER, NANDA, CHUGHTAI, LIU, PRIETO, THILAK, LOSHCHILOV, ELHAGE, PAPYAN, ROY)


class Method(NamedTuple):
    """A measure's name, its definition, and its source ('' where the rule is this package's own)."""

    name: str
    definition: str
    source: str


METHODS = (
    Method(
        "Loss, accuracy",
        "Mean cross-entropy in float64 and share of correct answers; test means all pairs outside the training set.",
        "Power et al. 2022",
    ),
    Method(
        "Fourier basis",
        "Constant, then cos and sin of w_k t = 2πkt/p for k = 1 … ⌊p/2⌋, both ends included.",
        "Nanda et al. 2023, §4.1",
    ),
    Method(
        "Embedding spectrum",
        "Squared norm over d_model of the cosine and sine components of W_E along the residues.",
        "Nanda et al. 2023, §4.1",
    ),
    Method(
        "Gini coefficient",
        "G = Σ(2i − n − 1)x_i / (nΣx) of the Fourier component norms x, ascending; of W_E and of W_L = W_out W_U."
        " 0: uniform, towards 1: sparse.",
        "Nanda et al. 2023, §5",
    ),
    Method(
        "Embedding circle",
        "Centered embeddings along the unit vectors of their cosine and sine component at a key frequency.",
        "Liu et al. 2022; Nanda et al. 2023, §4.1",
    ),
    Method(
        "Neuron frequency",
        "The k whose block {0, cos k, sin k} of the neuron's 2-D spectrum over (a, b) explains most variance; "
        "specialized above 85 %.",
        "Nanda et al. 2023, §4.2",
    ),
    Method(
        "Key frequencies",
        "Frequencies k with cos(row-centered logits, cos(w_k(a + b − c))) above the largest similarity found at "
        "any frequency after 100 shuffles of the classes, at the last checkpoint.",
        "Chughtai et al. 2023, §4; threshold: this package",
    ),
    Method(
        "Logits explained",
        "Share of the logits' variance in the cosines of the key frequencies of the same checkpoint.",
        "Nanda et al. 2023, §4.3",
    ),
    Method(
        "Restricted loss",
        "Cross-entropy on all pairs of the logits' constant and key-frequency components in a + b. Control: as "
        "many random other frequencies.",
        "Nanda et al. 2023, §5.1",
    ),
    Method(
        "Excluded loss",
        "Cross-entropy on the training pairs of the logits without the components of all key frequencies, or of "
        "one. Control: as many random other frequencies.",
        "Nanda et al. 2023, §5.1",
    ),
    Method(
        "Trig loss",
        "Cross-entropy of the key-frequency components with the bias correction L′ + mean(L − L′); split named "
        "where shown.",
        "Nanda et al. 2023, released code",
    ),
    Method(
        "Attention",
        "Weight that the last position, “=”, gives to the position of a in the last layer, for every pair (a, b);"
        " its frequency by the fit ½ + α(cos w_k a − cos w_k b) + β(sin w_k a − sin w_k b).",
        "Nanda et al. 2023, §4.2",
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
        "Share of the test pairs (a, b) whose mirror image (b, a) is in the training set, so that commutativity "
        "alone gives the answer.",
        "",
    ),
    Method(
        "Phases",
        "Memorization until train accuracy ≥ 0.99; circuit formation until the plateau of the test loss ends and "
        "the excluded loss has doubled; cleanup until 10 consecutive evaluations have test accuracy ≥ 0.95; then "
        "generalization.",
        "Nanda et al. 2023, §5.2; rules: this package",
    ),
    Method(
        "Events",
        "Loss spikes, slingshots (a spike with growing weight norm) and relapses of test accuracy are marked "
        "inside a phase and do not end it.",
        "Thilak et al. 2022; rules: this package",
    ),
)
