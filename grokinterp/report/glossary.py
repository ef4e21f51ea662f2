"""What every measure of a report is, in one line, and where it comes from."""

from collections.abc import Container, Sequence

from grokinterp.phases import SUSTAINED
from grokinterp.report.circuit_methods import CIRCUIT_METHODS
from grokinterp.report.method import Method
from grokinterp.report.papers import LOSHCHILOV, PAPERS, Paper
from grokinterp.report.sparse_methods import SPARSE_METHODS

METHODS = (
    Method(
        "Loss, accuracy",
        "Mean over the examples of what training minimizes, in float64: the cross-entropy, or, where it was trained "
        "with, -log StableMax or the squared error averaged over the classes; under deep supervision also averaged "
        "over its steps. "
        "Share of the examples answered as they are labeled. Test means the examples that are held out from both "
        "training and validation.",
        "Power et al. 2022",
    ),
    Method(
        "Mislabeled examples",
        "Of the training examples mislabeled by label noise: the share answered as labeled, and the share "
        "given the true answer nonetheless.",
        "Doshi et al. 2023",
        metric="noisy_accuracy",
    ),
    Method(
        "Exponents",
        "Where the answers are the products of a cyclic group of order n with generator g, operands and classes are "
        "counted by their exponents, g^i ∘ g^j = g^(i + j): the residues themselves under addition, discrete "
        "logarithms under multiplication and division, and their negatives for an operand that is subtracted or "
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
        "Frequencies k whose similarity cos(row-centered logits, cos(w_k(a + b − c))), over the pairs held out of "
        "training with their mirror images (all pairs where fewer than p are), is above 0.005 and above what the part "
        "of the logits that no cosine explains reaches at that frequency under random permutations of its classes: one "
        "network in 100 exceeds this at some frequency by chance. Nearly key: above three quarters of that.",
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
        "many other frequencies at random.",
        "Nanda et al. 2023, §5.1",
        ("progress_measures",),
    ),
    Method(
        "Excluded loss",
        "Loss on the training pairs of the logits without the components of all key frequencies, or of "
        "one. Control: as many other frequencies at random.",
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
        "Weight that the read-out position gives to another position, on average over the examples, or to the "
        "first operand in the last layer for every pair of operands. It is read at “=”, at the last token, or at all "
        "positions, whose mean is then taken.",
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
    *CIRCUIT_METHODS,
    Method(
        "Causal evidence",
        "Loss of the pairs held out of training with their mirror images, in units of chance, at most 1. Necessity: "
        "its increase without the key parts of the logits, frequencies or representations. Sufficiency: 1 minus "
        "the loss with them alone. Control: as many random others. Score: the smaller, each minus its control; not "
        "defined where every part is key.",
        "Nanda et al. 2023, §5.1; Wang et al. 2023; score: this package",
        ("causal_evidence",),
    ),
    Method(
        "Key representations",
        "Irreducible representations ρ, real and non-trivial, whose cosine similarity of the row-centered logits with "
        "the character of x·y·z⁻¹ is above the threshold, by the rule for key frequencies. Where only the answers form "
        "a group: that of y·z⁻¹, y the correct answer.",
        "Chughtai et al. 2023, §4; threshold: this package",
        ("irrep_spectrum", "answer_spectrum"),
    ),
    Method(
        "Explained by representations",
        "Of the row-centered logits' variance, the share in the characters, Σ s². Of the last hidden layer's, the "
        "share in the matrix entries of ρ(x), ρ(y) and ρ(x·y) of the key representations ρ.",
        "Chughtai et al. 2023, §4",
        ("irrep_spectrum", "irrep_fve", "answer_spectrum"),
    ),
    Method(
        "Cosets",
        "Share of the variance of a neuron's input from an operand that remains within the cosets of a subgroup; a "
        "neuron counts as constant on them below 0.1.",
        "Stander et al. 2023, §4",
        ("coset_scores",),
    ),
    Method(
        "Idealized network",
        "Every neuron's pre-activation projected onto waves of one frequency in a, b, a + b and a − b, and its row of "
        "the neuron-to-logit map onto one wave in c; nothing else is kept. Agreement: pairs answered as by the real "
        "network. Margin above its error: pairs whose idealized margin over every class is larger than the "
        "difference of the two logits' errors.",
        "Gromov 2023, §3; Doshi et al. 2023; Gross et al. 2024",
        ("idealized_network",),
    ),
    Method(
        "Class separation",
        "Share of the variance of a hook's activation, where the answer is read, that lies between the class means.",
        "Papyan et al. 2020",
        ("class_similarity",),
    ),
    Method(
        "Linear probes",
        "Discriminant analysis for the class and, in a cyclic group, ridge regression on the cosines and sines of the "
        "answer, fitted on one half of the examples and scored on the other; mirror images stay on one side. "
        "Never trained on: only those held-out examples that the network was not trained on, mirrored or not.",
        "Alain and Bengio 2016; Hewitt and Liang 2019",
        ("linear_probes", "frequency_probes"),
    ),
    Method(
        "Activations",
        "Effective rank of the centered activations, as for the weights; share of features that are constant over "
        "all examples.",
        "Roy and Vetterli 2007",
        ("activation_statistics",),
    ),
    Method(
        "Direct logit attribution",
        "What each term of the residual stream adds to the correct logit minus the mean logit, mean over the examples, "
        "with the scale of the final LayerNorm held fixed.",
        "Elhage et al. 2021",
        ("logit_attribution",),
    ),
    Method(
        "Integrated gradients",
        "Integral of the gradient of the correct minus the mean logit from the mean embedding of each position to the "
        "token's, times the displacement; they sum to the logit difference.",
        "Sundararajan et al. 2017, §3",
        ("integrated_gradients",),
    ),
    Method(
        "Ablation",
        "Increase in loss when a head's output, or a last-layer neuron, is replaced by its mean over the examples.",
        "Nanda et al. 2023, §4.4; Wang et al. 2023, §2.1",
        ("head_ablation", "neuron_ablation"),
    ),
    Method(
        "Activation patching",
        "Two inputs with different answers: the share of the difference of their logits that returns when the "
        "activation of one site at one position is taken from the other input's run.",
        "Meng et al. 2022; Wang et al. 2023, §2.1",
        ("activation_patching",),
    ),
    Method(
        "Grafts",
        "Loss on the test examples of a checkpoint in which one part of the model is that of the last checkpoint, and "
        "of the last checkpoint in which that part is the checkpoint's.",
        "",
        ("grafts",),
    ),
    *SPARSE_METHODS,
    Method(
        "Gradient, update",
        "Share of each part of the model in the squared norm of the training gradient. The applied update along the "
        "weights it was applied to, and across them. Weight decay's share: ‖ηλθ‖ over the sum of it and of the norm "
        "of the rest of the update.",
        "Loshchilov and Hutter 2017",
        ("gradient_flow",),
    ),
    Method(
        "Weight trajectory",
        "L2 distance of all parameters from the first and to the last checkpoint, cosine with the first, and cosine of "
        "the update with the one that led to the checkpoint before.",
        "",
        ("weight_path",),
    ),
    Method(
        "Gradient signal to noise",
        "Squared norm of the mean gradient over the training examples, divided by the variance of one example's.",
        "McCandlish et al. 2018, §2.2",
        ("gradient_noise",),
    ),
    Method(
        "Local learning coefficient",
        "nβ times the mean rise of the training loss around the weights, drawn by localized stochastic gradient "
        "Langevin dynamics in several chains: about ½ Σ h / (h + γ/nβ) over the Hessian's eigenvalues h, half the "
        "number of weights where all are curved. With more weights than training examples the value depends on γ, and "
        "can be compared only at equal γ and nβ. Converged: split R̂ at most 1.1, the chains reach 0.8 of their "
        "distribution's virial (equilibrium), and at most a fifth comes from the finite size of the steps. Diverged: "
        "more than half does, or the loss is not finite.",
        "Lau et al. 2023, §4",
        ("local_learning_coefficient",),
    ),
    Method(
        "Hessian",
        "Largest eigenvalues of the second derivative of the training loss, and the smallest found, by Lanczos's "
        "method with full reorthogonalization.",
        "Ghorbani et al. 2019",
        ("hessian_eigenvalues",),
    ),
    Method(
        "Sharpness",
        "Largest rise of the training loss found when every weight w may change by 0.001 (|w| + 1).",
        "Keskar et al. 2016, §2.2",
        ("sharpness",),
    ),
    Method(
        "Loss on the line, barrier",
        "Loss at the weights θ + f(θ_last − θ), f from 0 to 1; how far the training loss rises above the straight "
        "line between its values at both ends.",
        "Goodfellow et al. 2015; Frankle et al. 2020",
        ("loss_line",),
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
        f"Memorization until train accuracy ≥ {SUSTAINED.memorized:g}; circuit formation until the plateau of the test "
        f"loss ends and, where it is defined, the excluded loss has doubled; cleanup until {SUSTAINED.window} "
        f"consecutive evaluations have test accuracy ≥ {SUSTAINED.threshold:g}; then generalization.",
        "Nanda et al. 2023, §5.2; rules: this package",
    ),
    Method(
        "Events",
        "Loss spikes, slingshots (a spike with growing weight norm) and relapses of test accuracy are marked "
        "inside a phase and do not end it.",
        "Thilak et al. 2022; rules: this package",
    ),
)


def methods(analyses: Container[str], metrics: Container[str]) -> list[Method]:
    """The measures that a run has: of which one analysis has results, and which training measured."""
    known = [one for one in METHODS if not one.analyses or any(name in analyses for name in one.analyses)]
    return [one for one in known if not one.metric or one.metric in metrics]


def papers(chosen: Sequence[Method]) -> list[Paper]:
    """The sources of some measures, and of weight decay, which every run has."""
    cited = [source.replace(",", "").split() for one in chosen for source in one.source.split(";") if source]
    named = {(words[0], words[words.index(year)]) for words in cited for year in words if year.isdigit()}
    return [paper for paper in PAPERS if _key(paper) in named or paper is LOSHCHILOV]


def _key(paper: Paper) -> tuple[str, str]:
    """First author and year."""
    words = paper.authors.replace(",", "").split()
    return words[0], words[-1]
