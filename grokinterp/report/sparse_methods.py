"""What the measures of sparse structure and bounds are, in one line each, and where they come from."""

from grokinterp.report.method import Method

SPARSE_METHODS = (
    Method(
        "Order of learning",
        "For each key frequency or representation of the last checkpoint: the first checkpoint from which its "
        "similarity stays at or above half of the last one, and the first from which it is key at every later one.",
        "Chughtai et al. 2023; dates: this package",
        ("logit_spectrum", "irrep_spectrum", "answer_spectrum"),
    ),
    Method(
        "Inverse participation ratio",
        "Σ_k (|û_k| / ‖û‖)⁴ over the frequencies k ≥ 1 of a neuron's input as a function of one operand, mean over "
        "both: 1 for one frequency, about 4/n for noise.",
        "Doshi et al. 2023",
        ("neuron_participation",),
    ),
    Method(
        "Pruning",
        "Neurons of the last hidden layer set to 0 in the order of their inverse participation ratio, lowest or "
        "highest first. Control: three random orders.",
        "Doshi et al. 2023",
        ("neuron_pruning",),
    ),
    Method(
        "Smallest faithful subnetwork",
        "Neurons of the last hidden layer kept by ‖w_in‖ ‖w_out‖, largest first, all others 0: the fewest with the "
        "accuracy of the full network minus 1 %, and with 99 % of its answers.",
        "Merrill et al. 2023; norm: this package",
        ("faithful_subnetwork",),
    ),
    Method(
        "Heads' entropy and correlation",
        "−Σ_j A_j log A_j of the attention A from the read-out position, mean over the examples. Correlation of two "
        "heads' attention over examples and positions, each position's mean subtracted.",
        "Clark et al. 2019",
        ("head_patterns",),
    ),
    Method(
        "Products of norms",
        "Product over the weight matrices W [in, out] of max_j Σ_i |W_ij| (L1,∞), of the Frobenius or of the spectral "
        "norm; for an MLP the L2 path norm √(Σ_paths Π w²). Divided by the margin that 90 % of the training examples "
        "exceed.",
        "Bartlett and Mendelson 2002; Neyshabur et al. 2015; Bartlett et al. 2017; Jiang et al. 2020",
        ("norm_bounds",),
    ),
    Method(
        "Bounds on the logits",
        "A size that no logit exceeds on any input: an affine map multiplies it by the norm of its weights and adds "
        "that of its bias, attention averages, residual streams add, LayerNorm restarts it at √d. Path: entry by entry "
        "with |W|.",
        "Neyshabur et al. 2015; rules: this package",
        ("norm_bounds",),
    ),
    Method(
        "Certified accuracy",
        "Examples whose margin, with the output map reduced to the waves in c of the key frequencies (or the entries "
        "ρ(c) of the key representations) and r further singular directions, exceeds ‖z‖ ‖D_c − D_y‖ for every wrong "
        "class c: z is the map's input minus its mean, D the omitted part, y the correct answer. Such answers are "
        "correct whatever D does.",
        "Gross et al. 2024; form: this package",
        ("certified_accuracy",),
    ),
)
