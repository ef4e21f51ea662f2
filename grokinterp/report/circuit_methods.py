"""The glossary's entries on the circuit: the verdict, its evidence, modes, directions and phases."""

from grokinterp.report.method import Method

CIRCUIT_METHODS = (
    Method(
        "Circuit",
        "Memorizer: correct on 99 % of the training examples and under half of the others. All others but none require "
        "99 % correct on the other examples and keys that explain a tenth of the row-centered logits' variance. "
        "In a cyclic group, pizza (the sum type): gradient symmetricity ≥ 0.98; clock: ≤ 0.707; mixed: between. A "
        "model that adds its operands before the first nonlinearity is no clock: it is a pizza if it has attention and "
        "its circles answer as pizzas, else additive. Where that is unknown only a pizza is named. "
        "In any other known group: irrep-based. Elsewhere: none.",
        "Zhong et al. 2023, §5; Chughtai et al. 2023; thresholds: this package",
        ("circuit",),
    ),
    Method(
        "Gradient symmetricity",
        "Mean cosine between a logit's gradients by the embeddings of a and of b, over random (a, b, c): as many as "
        "settle the verdict on the last checkpoint. If b enters with another exponent, its gradient is rotated first.",
        "Zhong et al. 2023, §5",
        ("logit_spectrum",),
    ),
    Method(
        "Distance irrelevance",
        "Spread of the correct logit (or of the largest wrong one) over the pairs with equal a − b, mean over a − b, "
        "divided by its spread over all pairs: low where the logit depends on a − b.",
        "Zhong et al. 2023, §5",
        ("logit_spectrum",),
    ),
    Method(
        "Circularity",
        "Largest share of a single frequency, mean over the first four principal components of the embedding.",
        "Zhong et al. 2023, §6",
        ("logit_spectrum",),
    ),
    Method(
        "Clock, pizza template",
        "Share of the logits' variance in cos w_k(a + b − c), and in |cos(w_k(a − b)/2)| (|cos(w_k(a + b − c)/2)| − "
        "|sin(w_k(a + b − c)/2)|), k the key frequencies. Of one circle of the embedding, its two principal components "
        "alone: 2r − 1, r its correlation with the template. Phases are free. Pizza − clock: of logits that "
        "each key frequency of the embedding gives alone, the share that one pizza explains minus that of one clock.",
        "Zhong et al. 2023, §2 and §4",
        ("logit_spectrum",),
    ),
    Method(
        "Mode families",
        "Shares of the variance over the pairs (a, b), of the last neurons and of the row-centered logits, in "
        "functions of a + b, of a − b, of a, of b, and in all others: the 2-D spectrum at (k, k), (k, −k), (k, 0), "
        "(0, k) and elsewhere.",
        "Nanda et al. 2023, §4.2; Gromov 2023, §3",
        ("mode_families",),
    ),
    Method(
        "Key directions",
        "Share of the variance of u_kᵀh(a, b) that α cos w_k(a + b) + β sin w_k(a + b) explains: h are the last "
        "neurons, u_k the direction from which the logits read cos w_k c, or sin w_k c.",
        "Nanda et al. 2023, §4.2",
        ("key_directions",),
    ),
    Method(
        "Phase alignment",
        "R = |Σ w e^{iδ}| / Σ w over the last neurons, δ = φ_a + φ_b − φ_out of the waves before the activation "
        "function and in the neuron-to-logit map, w the product of their three amplitudes. Independent phases give "
        "(√π/2)√(Σ w²)/Σ w.",
        "Gromov 2023, §3; Doshi et al. 2023",
        ("phase_alignment",),
    ),
)
"""In the order of the page."""
