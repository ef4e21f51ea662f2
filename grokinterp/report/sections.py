"""The sections on what a network computes with, what is inside it, and the loss around its weights."""

from collections.abc import Sequence

import numpy as np
import xarray as xr

from grokinterp import figures
from grokinterp.numbers import number
from grokinterp.page.pictures import Gallery
from grokinterp.phases import Phase
from grokinterp.report.absence import Part, listed
from grokinterp.report.drawings import Drawing, Section, dataset, gallery, last_step
from grokinterp.report.modes import MODES, modes
from grokinterp.report.sparse import sparse
from grokinterp.report.vocabulary import Words
from grokinterp.runs import summary
from grokinterp.runs.results import Results

MEANINGS = {
    "clock": "a clock: it turns both operands into angles and multiplies their waves, so that the logits follow "
    "cos w(a + b − c)",
    "pizza": "a pizza, a circuit of the sum type: it adds the operands, points on circles, before any nonlinearity, so "
    "that the logits follow the sum, whose length depends on a − b",
    "mixed": "something between a clock and a pizza",
    "additive": "a sum of embeddings and a nonlinearity: the model adds the operands before any operation can multiply "
    "them, so it is not a clock, and its circles do not behave as pizzas",
    "irrep-based": "the irreducible representations of the task's group, whose characters its logits follow",
    "memorizer": "memory: it answers the training {examples} but not the others",
    "none": "none of the known circuits, as far as the evidence goes",
}
"""What a verdict says about a network."""


def sections(results: Results, phases: Sequence[Phase], words: Words) -> list[Section]:
    """Those that have a figure."""
    made = (
        Section("circuit", "What it computes with", lead(results, words), computes_with(results, phases)),
        Section("inside", "Inside the network", INSIDE_LEAD, inside(results, phases, words)),
        sparse(results, phases, words),
        Section("landscape", "Gradients, weights and loss landscape", "", landscape(results, phases, words)),
    )
    return [section for section in made if section.gallery.pictures]


def lead(results: Results, words: Words) -> str:
    """The verdict on the last checkpoint in one sentence."""
    if results.circuit is None:
        return ""
    meaning = MEANINGS.get(results.circuit, results.circuit).format(examples=words.examples)
    return f"The network of the last checkpoint computes with {meaning}.{closeness(results)}{explained_share(results)}"


def closeness(results: Results) -> str:
    """That the evidence is close to that of another circuit, where it is."""
    other = results.circuit_close_to
    return f" The evidence is close to that for the verdict “{other}”." if other else ""


def explained_share(results: Results) -> str:
    """How much of the logits the verdict rests on, and how much is left; nothing where no circuit was found."""
    share = results.measures().get("circuit_fve")
    if share is None or results.circuit in ("memorizer", "none"):
        return ""
    by = "key representations" if results.circuit == "irrep-based" else "key frequencies"
    return (
        f" The {by} explain {share:.1%} of the variance of the logits about their mean over the classes, which is what "
        f"decides the answers; {1 - share:.1%} is unexplained."
    )


COMPUTES_WITH = (
    Part("circuit verdict", "is_circuit", "circuit"),
    Part("causal evidence", "causal_score", "causal_evidence"),
    Part("key representations of the group", "irrep_similarity", "irrep_spectrum"),
    Part("hidden layer by representations", "hidden_fve", "irrep_fve"),
    Part("idealized network", "idealized_accuracy", "idealized_network"),
    Part("single circles of the embedding", "circle_accuracy", "isolated_circles"),
    *MODES,
)


def computes_with(results: Results, phases: Sequence[Phase]) -> Gallery:
    """The verdict with its evidence, causal evidence, representations, the idealized network."""
    circuit, causal, irreps = (dataset(results, name) for name in ("circuit", "causal_evidence", "irrep_spectrum"))
    by_group = "irrep_similarity" in irreps
    explained = ("irrep_spectrum", "irrep_fve") if by_group else ("answer_spectrum",)
    similarity = Drawing(
        figures.irrep_similarity(irreps, phases),
        "Similarity, over held-out pairs, of the logits with the characters of the last checkpoint's key "
        "representations, or the three most similar where none is key; the dashed line is the highest of their "
        "thresholds.",
        ("irrep_spectrum",),
    )
    if not by_group:
        similarity = Drawing(
            figures.answer_similarity(dataset(results, "answer_spectrum"), phases),
            "Similarity, over held-out examples, of the logits with the key characters of the answers' group, or the "
            "three most similar where none is key; the dashed line is the highest of their thresholds.",
            ("answer_spectrum",),
        )
    drawn = [
        Drawing(
            figures.circuit_verdict(circuit, phases),
            circuit_caption(circuit),
            ("circuit",),
        ),
        Drawing(
            figures.causal_evidence(causal, phases),
            "Over held-out pairs: necessity is the increase in loss without the key structure, sufficiency how well it "
            "answers alone; dotted: the same for as many random other parts. The score is high only if both are.",
            ("causal_evidence",),
        ),
        similarity,
        Drawing(
            figures.explained(dataset(results, *explained), phases),
            "Share of the logits' variance in the characters"
            + (
                ", and of the last hidden layer's in the key representations of either operand and of their product."
                if by_group
                else " of the answers' group."
            ),
            explained,
        ),
        Drawing(
            None if by_group else figures.operand_power(dataset(results, "operand_spectrum")),
            "Share of the variance of the network's representation of each operand, by additive frequency"
            f"{last_step(dataset(results, 'operand_spectrum'))}.",
            ("operand_spectrum",),
        ),
        Drawing(
            figures.cosets(dataset(results, "coset_scores")),
            "Number of neurons that depend on an operand only through its coset of a subgroup of that order"
            f"{last_step(dataset(results, 'coset_scores'))}.",
            ("coset_scores",),
        ),
        Drawing(
            figures.idealized_network(dataset(results, "idealized_network"), phases),
            "The idealized network with each neuron's frequency, amplitude and phases: its accuracy, how often it "
            "agrees with the real one, the share of the real logits that it explains, and of the pairs whose margin "
            "exceeds the error of the idealization.",
            ("idealized_network",),
        ),
        Drawing(
            figures.circles_alone(dataset(results, "isolated_circles")),
            "Answers from one pair of the embedding's principal components alone"
            f"{last_step(dataset(results, 'isolated_circles'))}.",
            ("isolated_circles",),
        ),
        *(Drawing(*one) for one in modes(results, phases)),
    ]
    return gallery(results, drawn, COMPUTES_WITH)


def circuit_caption(circuit: xr.Dataset) -> str:
    """What the strip shows, and how to read the evidence where there is some."""
    text = "What each checkpoint computes with"
    if "circularity" not in circuit or not np.isfinite(circuit["circularity"]).any():
        return f"{text}."
    return (
        f"{text}, and why: gradient symmetricity ≥ 0.98 means a pizza, ≤ 0.707 a clock. A model that adds its "
        "operands before the first nonlinearity is judged by its circles' answers. Distance irrelevance is not "
        "part of the verdict. Several pizzas together also fit the clock template."
    )


INSIDE_LEAD = "Where the answer is represented in the network, and which parts produce it."

INSIDE = (
    Part("class separation", "class_separation_at", "class_similarity"),
    Part("probes for the class", "class_probe_accuracy", "linear_probes"),
    Part("probes for the key frequencies", "frequency_probe_r2", "frequency_probes"),
    Part("cosines of the classes", "class_cosine_matrix", "class_matrix"),
    Part("activations", "activation_effective_rank", "activation_statistics"),
    Part("direct logit attribution", "component_logit", "logit_attribution"),
    Part("integrated gradients", "position_attribution", "integrated_gradients"),
    Part("ablation of heads", "head_ablation_loss", "head_ablation"),
    Part("ablation of neurons", "neuron_ablation_loss", "neuron_ablation"),
    Part("activation patching", "patching_effect", "activation_patching"),
    Part("grafts", "graft_loss", "grafts"),
)


def inside(results: Results, phases: Sequence[Phase], words: Words) -> Gallery:
    """Representations by hook, attribution, ablation, patching between inputs and between checkpoints."""
    unit = words.unit
    kept = {name: dataset(results, name) for name in ("class_matrix", "activation_patching")}
    ablations = ("head_ablation", "neuron_ablation")
    drawn = [
        Drawing(
            figures.representations(dataset(results, "class_similarity", "frequency_probes")),
            "Share of the variance at each hook that lies between the classes"
            + (
                ", and of the key frequencies' cosines and sines of the answer that a linear probe finds."
                if "frequency_probes" in results.analyses
                else "."
            ),
            ("class_similarity", "frequency_probes"),
        ),
        Drawing(
            figures.class_probes(dataset(results, "linear_probes")),
            probe_caption(results, words),
            ("linear_probes",),
        ),
        Drawing(
            figures.activation_statistics(dataset(results, "activation_statistics")),
            "How many directions the activations at each hook use, and the share of their features that are constant "
            "over all examples.",
            ("activation_statistics",),
        ),
        Drawing(
            figures.class_matrix(kept["class_matrix"]),
            f"Mean cosine of what the unembedding reads between the examples of two classes, and between the classes' "
            f"centered means{last_step(kept['class_matrix'])}.",
            ("class_matrix",),
        ),
        Drawing(
            figures.logit_attribution(dataset(results, "logit_attribution"), unit=words.logit_unit),
            "Contribution of each component to the correct logit minus the mean logit; together they sum to it.",
            ("logit_attribution",),
        ),
        Drawing(
            figures.token_attribution(dataset(results, "integrated_gradients"), phases, unit=words.logit_unit),
            "Integrated gradients of the correct logit less the mean logit, by the position of the token.",
            ("integrated_gradients",),
        ),
        Drawing(
            figures.patching(kept["activation_patching"]),
            "Share of the logit difference between two inputs that patching a single activation restores"
            f"{last_step(kept['activation_patching'])}.",
            ("activation_patching",),
        ),
        Drawing(
            figures.ablation(dataset(results, *ablations), unit=unit),
            f"Increase of the loss with {ablated(results)} held at its mean{last_step(dataset(results, *ablations))}.",
            ablations,
        ),
        Drawing(
            figures.grafts(dataset(results, "grafts"), unit=unit),
            "Left: loss of a checkpoint with one part from the final network. Right: loss of the final network with "
            "that part from the checkpoint.",
            ("grafts",),
        ),
    ]
    return gallery(results, drawn, INSIDE)


LANDSCAPE = (
    Part("gradients and updates", "gradient_share_of_layer", "gradient_flow"),
    Part("weight trajectory", "distance_from_initial", "weight_path"),
    Part("gradient noise", "gradient_snr_total", "gradient_noise"),
    Part("local learning coefficient", "llc", "local_learning_coefficient"),
    Part("Hessian", "hessian_eigenvalue", "hessian_eigenvalues"),
    Part("sharpness", "sharpness", "sharpness"),
    Part("loss on the line to the final weights", "line_train_loss", "loss_line"),
)


def landscape(results: Results, phases: Sequence[Phase], words: Words) -> Gallery:
    """Gradients and updates, the way of the weights, and the loss around them."""
    flow, path = dataset(results, "gradient_flow"), dataset(results, "weight_path")
    drawn = [
        Drawing(
            figures.gradient_shares(flow),
            "Which part of the model the gradient would change, by its squared norm.",
            ("gradient_flow",),
        ),
        Drawing(
            figures.update_directions(flow, phases),
            "The update along the weights, which scales them, and across them, which turns them.",
            ("gradient_flow",),
        ),
        Drawing(
            figures.weight_decay_share(flow, phases),
            "How much of the update is weight decay: 1 where nothing else moves the weights.",
            ("gradient_flow",),
        ),
        Drawing(
            figures.weight_distances(path, phases),
            "How far the weights are from the first and from the last checkpoint.",
            ("weight_path",),
        ),
        Drawing(
            figures.weight_directions(path, phases),
            "Update: near 1 on a straight path, below 0 where it oscillates. Weights: what remains of their initial "
            "direction.",
            ("weight_path",),
        ),
        Drawing(
            figures.gradient_noise(dataset(results, "gradient_noise"), phases),
            "How strongly the training examples agree on the direction of the gradient.",
            ("gradient_noise",),
        ),
        Drawing(
            figures.learning_coefficient(dataset(results, "local_learning_coefficient"), phases),
            f"How many directions of the weights the training loss depends on, by Langevin dynamics{sampled(results)}. "
            "Open circles: the chains have not converged. Crosses: they diverged.",
            ("local_learning_coefficient",),
        ),
        Drawing(
            figures.learning_coefficient_traces(dataset(results, "local_learning_coefficient")),
            "Rise of the training loss along the chains that give the learning coefficient, which is its mean after "
            "the gray burn-in: level where the chains are long enough.",
            ("local_learning_coefficient",),
        ),
        Drawing(
            figures.curvature(dataset(results, "hessian_eigenvalues"), phases, unit=words.unit),
            "Largest curvatures of the training loss; if one is clearly negative, the weights are not at a minimum.",
            ("hessian_eigenvalues",),
        ),
        Drawing(
            figures.sharpness(dataset(results, "sharpness"), phases, unit=words.unit),
            "How much the training loss rises when every weight may change by a thousandth.",
            ("sharpness",),
        ),
        Drawing(
            figures.loss_barrier(dataset(results, "loss_line"), phases, unit=words.unit),
            "How far the training loss rises above its endpoints on the straight line to the final weights.",
            ("loss_line",),
        ),
        Drawing(
            figures.loss_lines(dataset(results, "loss_line"), unit=words.unit),
            "Loss on the straight line from a checkpoint's weights to the final ones; a bump is a barrier.",
            ("loss_line",),
        ),
    ]
    return gallery(results, drawn, LANDSCAPE)


def sampled(results: Results) -> str:
    """The settings of the learning coefficient's chains at the last checkpoint, and the verdict on them."""
    found = dataset(results, "local_learning_coefficient")
    if summary.SAMPLED not in found or not found.sizes["step"]:
        return ""
    last = {
        str(name): value.item()
        for name, value in found.isel(step=-1).data_vars.items()
        if not value.ndim or value.size == 1
    }
    settings = summary.chain_settings(last, found.sizes["chain"])
    return f": {settings}. At the last checkpoint {summary.learning_coefficient(last)}"


def ablated(results: Results) -> str:
    """What is ablated."""
    names = {"head_ablation": "one head", "neuron_ablation": "one neuron of the last layer"}
    return ", and with ".join(text for name, text in names.items() if name in results.analyses)


def probe_caption(results: Results, words: Words) -> str:
    """What the probes were fitted on, and what a shuffled fit and a guess reach."""
    text = f"Share of held-out {words.examples} whose class a linear probe at each hook finds"
    of = dataset(results, "linear_probes")
    said = []
    if "class_probe_chance" in of and of.sizes["step"]:
        said.append(f"chance {number(float(of['class_probe_chance'][-1]))}")
    if "class_probe_control" in of and of.sizes["step"]:
        said.append(f"fitted on shuffled labels at most {number(float(of['class_probe_control'].max()))}")
    return f"{text}{f' ({listed(said)})' if said else ''}."
