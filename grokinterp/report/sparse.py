"""The section on sparse structure and bounds: neurons that count, order of learning, heads, norms, certificates."""

from collections.abc import Sequence

from grokinterp import figures
from grokinterp.numbers import number, whole
from grokinterp.phases import Phase
from grokinterp.report.absence import Part
from grokinterp.report.drawings import Drawing, Section, Table, dataset, gallery, last_step
from grokinterp.report.vocabulary import Words
from grokinterp.runs.results import Results

LEAD = (
    "How few neurons and frequencies the network needs, in which order it learned them, and what is provable about its "
    "answers without full evaluation."
)

SPARSE = (
    Part("inverse participation ratio", "neuron_ipr", "neuron_participation"),
    Part("pruning", "pruned_accuracy", "neuron_pruning"),
    Part("smallest faithful subnetwork", "subnetwork_size", "faithful_subnetwork"),
    Part("entropy and similarity of the heads", "attention_entropy", "head_patterns"),
    Part("norms", "norm_product", "norm_bounds"),
    Part("certified accuracy", "certified_share", "certified_accuracy"),
)


def sparse(results: Results, phases: Sequence[Phase], words: Words) -> Section:
    """Pruning, subnetworks, order of learning, heads, norm-based bounds, certified accuracy."""
    pruning, heads = dataset(results, "neuron_pruning"), dataset(results, "head_patterns")
    norms, order = dataset(results, "norm_bounds"), results.learning_order
    drawn = [
        Drawing(
            figures.learning_order(order, phases, last=int(results.dataset["step"].max(initial=0))),
            "When each key frequency or representation of the last checkpoint reached half of its last similarity with "
            "the logits for good, and from which checkpoint it was key at every later one.",
            (),
        ),
        Drawing(
            figures.neuron_participation(dataset(results, "neuron_participation")),
            "How few frequencies of an operand each neuron reads: 1 for a single frequency, near 0 for noise.",
            ("neuron_participation",),
        ),
        Drawing(
            figures.neuron_pruning(pruning, unit=words.unit),
            f"Accuracy and loss on the test {words.examples} (solid) and training {words.examples} (dotted) as neurons "
            "are removed by their inverse participation ratio, and in random order (mean of three)"
            f"{last_step(pruning)}.",
            ("neuron_pruning",),
        ),
        Drawing(
            figures.faithful_subnetwork(dataset(results, "faithful_subnetwork"), phases),
            "Fewest neurons, the largest norms first, that reach the accuracy of the whole network within 1 %, and "
            "that give 99 % of its answers. Where the test accuracy is at chance, no neuron is needed to reach it.",
            ("faithful_subnetwork",),
        ),
        Drawing(
            figures.head_entropy(heads),
            "Entropy of the attention from the read-out position: 0 for a single position, log of the number "
            "of positions for uniform attention.",
            ("head_patterns",),
        ),
        Drawing(
            figures.head_correlation(heads),
            "Correlation between the attention patterns of the last layer's heads over the examples: −1 where one "
            f"attends where the other does not{last_step(heads)}.",
            ("head_patterns",),
        ),
        Drawing(
            figures.logit_bounds(norms, phases),
            "Bounds from the weight norms, which no logit can exceed on any input; dashed, the largest actual logit. "
            "Powers of ten.",
            ("norm_bounds",),
        ),
        Drawing(
            figures.norm_products(norms, phases),
            "Products of the weight matrices' norms, alone and divided by the margin that 90 % of the training "
            f"{words.examples} exceed; generalization bounds grow with these products. Powers of ten.",
            ("norm_bounds",),
        ),
        Drawing(
            figures.certified_accuracy(dataset(results, "certified_accuracy"), phases),
            "Share of the answers that a low-rank output map proves to be correct: the waves, or matrix entries, of "
            "the key structure plus further directions. Never above the accuracy; 0 where the rest of the map "
            "could overturn every answer.",
            ("certified_accuracy",),
        ),
    ]
    return Section("sparse", "Sparse structure and bounds", LEAD, gallery(results, drawn, SPARSE), order_table(results))


def order_table(results: Results) -> Table | None:
    """When each key frequency or representation was learned; None where nothing is known of it."""
    order = results.learning_order
    if not order.sizes["learned"]:
        return None
    rows = [
        (str(name), whole(int(half)), whole(int(key)), number(float(similarity)))
        for name, half, key, similarity in zip(
            order["learned"].values,
            order["half_from"].values,
            order["key_from"].values,
            order["final_similarity"].values,
            strict=True,
        )
    ]
    columns = ("learned", "half of its last similarity from step", "key from step", "last similarity")
    return Table("Order of learning, from one checkpoint to the next", columns, rows)
