"""The values along every dimension that an analysis may name."""

from collections.abc import Mapping, Sequence
from typing import Any

from grokinterp.analysis.circuit.certified_accuracy import PROOF_RANKS
from grokinterp.analysis.circuit.isolated_circles import CIRCLES
from grokinterp.analysis.circuit.modes import MODE_FAMILIES
from grokinterp.analysis.circuit.verdict import CIRCUITS
from grokinterp.analysis.groups.irreps import irrep_names
from grokinterp.analysis.inside.attribution import component_names
from grokinterp.analysis.inside.patching import patch_sites
from grokinterp.analysis.inside.pruning import PRUNED_SHARES, PRUNING_ORDERS
from grokinterp.analysis.landscape.curvature import EIGENVALUES, FRACTIONS
from grokinterp.analysis.landscape.learning_coefficient import TRACE, chains_of
from grokinterp.analysis.landscape.norm_bounds import NORMS
from grokinterp.analysis.landscape.parts import parts
from grokinterp.analysis.landscape.weights import RANKS, matrix_names
from grokinterp.analysis.structure.answer_spectrum import answer_names, residue_frequencies
from grokinterp.analysis.structure.cyclic_grid import cyclic_order
from grokinterp.experiment import Experiment
from grokinterp.models import Model


def coordinates(experiment: Experiment, model: Model, arguments: Mapping[str, Any]) -> dict[str, Sequence[Any]]:
    """Dimension name → coordinate values.

    ``key`` are the key frequencies and ``hook`` the hooks that an analysis was given; the rest follows from the
    task's and the model's sizes.
    """
    task = experiment.task
    classes, tokens, order = range(task.n_classes), range(task.d_vocab), cyclic_order(task)
    axes: dict[str, Sequence[Any]] = {
        "split": ("train", "test", "all"),
        "precision": ("float32", "float64"),
        "axis": ("cos", "sin"),
        "frequency": range(1, order // 2 + 1),
        "irrep": irrep_names(task),
        "answer_irrep": answer_names(task),
        "operand": ("left", "right"),
        "residue_frequency": residue_frequencies(task),
        "class": classes,
        "other_class": classes,
        "label": classes,
        "a": tokens,
        "b": tokens,
        "exponent": range(order),
        "layer": range(model.n_layers),
        "hook": arguments.get("hooks") or model.feature_hooks,
        "head": range(model.n_heads),
        "other_head": range(model.n_heads),
        "position": range(model.positions(experiment.n_ctx)),
        "neuron": range(model.n_neurons),
        "parameter": [name for name, _ in model.named_parameters()],
        "part": list(parts(model)),
        "component": component_names(model),
        "circle": range(1, CIRCLES + 1),
        "circuit": CIRCUITS,
        "mode_family": MODE_FAMILIES,
        "patch_site": list(patch_sites(model)),
        "matrix": matrix_names(model),
        "rank": range(1, RANKS + 1),
        "rank_of_hessian": range(1, arguments.get("eigenvalues", EIGENVALUES) + 1),
        "chain": range(chains_of(model, experiment.split.sizes(task).train, arguments)),
        "stretch": [(i + 0.5) / TRACE for i in range(TRACE)],
        "fraction": FRACTIONS,
        "pruning_order": PRUNING_ORDERS,
        "pruned_share": PRUNED_SHARES,
        "norm": NORMS,
        "proof_rank": PROOF_RANKS,
    }
    if "key_frequencies" in arguments:
        axes["key"] = arguments["key_frequencies"].tolist()
    return axes
