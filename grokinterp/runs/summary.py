"""Summarize an analyzed run as lines of text, and format learning coefficients for the terminal and for pages."""

import math
from collections.abc import Iterator, Mapping
from typing import Any

import xarray as xr

from grokinterp.numbers import number
from grokinterp.runs.results import Results

WIDTH = 18
"""Width of the label column, in characters."""

NO_KEY = "no frequency is key"
"""The reason why analyses of key frequencies are undefined; omitted from the summary, which lists these keys."""

SAMPLED = "llc_converged"
"""A measure that identifies current results of the sampler; results of its first version lack it."""


def line(label: str, text: str) -> str:
    """Return a line of text with a label in a column of fixed width.

    >>> line("verdict", "grokked")
    'verdict           grokked'
    """
    return f"{label:{WIDTH}}{text}"


def lines(results: Results) -> list[str]:
    """Return the summary of a run: phases, structure, losses, undefined analyses, and verdict."""
    measured = results.measures()
    known = results.history.phases if results.no_history is None else ()
    undefined = {name: why for name, why in results.not_defined.items() if why != NO_KEY}
    phases = ", ".join(f"{phase.name} {phase.start}-{phase.stop - 1}" for phase in known)
    return [
        line("phases", phases or "unknown"),
        *answers(results),
        *structure(results, measured),
        *circuit(measured),
        *heads(results),
        *sampled(results, measured),
        *(line("not defined", f"{', '.join(names)}: {why}") for why, names in _by_reason(undefined).items()),
        line("verdict", results.sentence),
    ]


def final_measures(results: Results) -> dict[str, Any]:
    """Return the scalar measures of the last checkpoint, and of the last evaluation where no analysis has them.

    Analyses of a run with several answers are of one answer, so that losses and accuracies are those of the evaluation.
    """
    row, measured = last_evaluation(results), results.measures()
    return measured | row if "answer" in results.metrics.dims else row | measured


def last_evaluation(results: Results) -> dict[str, Any]:
    """Return the finite scalar metrics of the last evaluation; empty without evaluations."""
    if not results.metrics.sizes["step"]:
        return {}
    last = results.metrics.isel(step=-1)
    values = {str(name): last[name].item() for name in last.data_vars if last[name].ndim == 0}
    return {name: value for name, value in values.items() if math.isfinite(value)}


def answers(results: Results) -> list[str]:
    """Return a line per answer with the steps at which it was memorized and generalized; empty for a single answer."""
    found = []
    for answer, history in results.histories.items():
        steps = ("memorized", history.memorized_step), ("generalized", history.generalized_step)
        dated = ", ".join(f"{name} {step}" for name, step in steps if step is not None)
        analyzed = " (analyzed)" if answer == results.answer else ""
        found.append(line(f"answer {answer}", f"{dated or 'neither memorized nor generalized'}{analyzed}"))
    return found


def structure(results: Results, measured: Mapping[str, Any]) -> list[str]:
    """Return key frequencies or representations, the share of the logits that they explain, and the losses."""
    of = "" if results.answer is None else f" (answer {results.answer})"
    losses = _losses(measured, of, train="train_loss", test="test_loss")
    if "logit_spectrum" not in results.not_defined:
        found = results.key_frequencies
        return [
            *([] if found is None else [line("key frequencies", ", ".join(map(str, found)) or "none")]),
            *_nearly_key(measured.get("nearly_key_frequencies", {})),
            *_explained(measured.get("logit_fve"), "key frequencies"),
            *_losses(measured, of, restricted="restricted_loss", excluded="excluded_loss", full="all_loss"),
        ]
    if "key_irreps" not in measured:
        return losses
    keys = [f"{name} {measured['irrep_similarity'][name]:.3f}" for name in measured["key_irreps"]]
    return [
        line("key irreps", ", ".join(keys) or "none"),
        *_nearly_key(measured.get("nearly_key_irreps", {})),
        *_explained(measured.get("irreps_explained"), "characters"),
        *losses,
    ]


def heads(results: Results) -> list[str]:
    """Return the line with the strongest induction head and when it formed; empty if the heads were not measured."""
    found = results.induction
    if found is None:
        return []
    score = f"prefix matching {found.prefix_matching:.2f} (chance {found.chance:.2f})"
    copies = "" if math.isnan(found.copying) else f", copying {found.copying:.2f}"
    name = f"head {found.layer}.{found.head}: {score}{copies}"
    if found.formed is None:
        return [line("induction head", f"none; strongest {name}")]
    since = "" if found.start is None else f" after step {found.start:,},"
    return [line("induction head", f"{name}; formed{since} by step {found.formed:,}")]


def circuit(measured: Mapping[str, Any]) -> list[str]:
    """Return the line with the circuit type of the network and the evidence for it; empty if not measured."""
    if "circuit" not in measured:
        return []
    known = [
        f"{name.replace('_', ' ')} {measured[name]:.3f}{_error(measured.get(f'{name}_error'))}"
        for name in ("gradient_symmetricity", "distance_irrelevance", "circularity")
        if measured.get(name) is not None
    ]
    close = measured["circuit_close_to"]
    evidence = f" ({', '.join(known)})" if known else ""
    return [line("circuit", f"{measured['circuit']}{f', close to {close}' if close else ''}{evidence}")]


def sampled(results: Results, measured: Mapping[str, Any]) -> list[str]:
    """Return the line with the learning coefficient and its sampling settings; empty if it was not sampled."""
    if SAMPLED not in measured:
        return []
    chains = results.last.sizes["chain"]
    return [line("learning coeff.", f"{learning_coefficient(measured)} ({chain_settings(measured, chains)})")]


def learning_coefficient(measured: Mapping[str, Any]) -> str:
    """Return the local learning coefficient with its standard deviation, and the verdict on its chains.

    >>> chains = {"llc": 52.42, "llc_spread": 1.32, "llc_diverged": False, "llc_converged": True, "llc_rhat": 1.0}
    >>> learning_coefficient(chains)
    '52.4 ± 1.32, converged'
    >>> learning_coefficient(chains | {"llc": -3.0, "llc_spread": None})
    '−3, converged; negative: the weights are not at a minimum of the training loss'
    >>> learning_coefficient({"llc": None, "llc_diverged": True, "llc_converged": False})
    'no estimate: the chains diverged'
    """
    if measured["llc_diverged"]:
        return "no estimate: the chains diverged"
    value, spread = float(measured["llc"]), measured.get("llc_spread")
    error = "" if spread is None or math.isnan(spread) else f" ± {number(float(spread))}"
    verdict = "converged" if measured["llc_converged"] else f"not converged ({chain_evidence(measured)})"
    negative = "; negative: the weights are not at a minimum of the training loss" if value < 0 else ""
    return f"{number(value)}{error}, {verdict}{negative}"


def chain_evidence(measured: Mapping[str, Any]) -> str:
    """Return the numbers on which the verdict on the chains is based.

    >>> chain_evidence({"llc_rhat": 1.0724, "llc_equilibrium": 0.86, "llc_step_error": 157.7})
    'R̂ 1.07, equilibrium 0.86, step error 158'
    """
    rhat, equilibrium, error = (measured[f"llc_{name}"] for name in ("rhat", "equilibrium", "step_error"))
    agreement = "unknown" if rhat is None or math.isnan(rhat) else f"{rhat:.2f}"
    return f"R̂ {agreement}, equilibrium {equilibrium:.2f}, step error {number(float(error))}"


def chain_settings(measured: Mapping[str, Any], chains: int) -> str:
    """Return the sampling settings of the chains.

    >>> named = {"inverse_temperature": 226.8, "localization": 100.0, "step_size": 1e-4, "burn_in": 150, "draws": 100}
    >>> chain_settings({f"llc_{name}": value for name, value in named.items()} | {"llc_batch_size": 128}, 2)
    'nβ 227, γ 100, ε 1.00e-4, 2 chains of 150 + 100 steps, batches of 128'
    """
    heat, gamma, step = (number(float(measured[f"llc_{name}"])) for name in
                         ("inverse_temperature", "localization", "step_size"))  # fmt: skip
    burn_in, draws, batch = (int(measured[f"llc_{name}"]) for name in ("burn_in", "draws", "batch_size"))
    plural = "chain" if chains == 1 else "chains"
    return f"nβ {heat}, γ {gamma}, ε {step}, {chains} {plural} of {burn_in} + {draws:,} steps, batches of {batch:,}"


def scalars(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Return the scalar arrays or tensors among the fields as plain numbers; values that are not finite become None."""
    plain = {name: value.item() for name, value in fields.items() if value.ndim == 0}
    return {name: None if isinstance(v, float) and not math.isfinite(v) else v for name, v in plain.items()}


def chain_lines(measured: Mapping[str, Any], chains: int) -> list[str]:
    """Return the learning coefficient of one checkpoint as lines: value, evidence, and settings."""
    return [
        line("step", str(measured["step"])),
        line("learning coeff.", learning_coefficient(measured)),
        line("evidence", "none" if measured["llc_diverged"] else chain_evidence(measured)),
        line("settings", chain_settings(measured, chains)),
    ]


def calibration_points(dataset: xr.Dataset) -> Iterator[dict[str, Any]]:
    """Yield every point of a calibration with its settings and measures."""
    flat = dataset.stack(point=("inverse_temperature", "localization", "step_size"))
    for i in range(flat.sizes["point"]):
        point = flat.isel(point=i)
        place = {name: float(point[name]) for name in ("inverse_temperature", "localization", "step_size")}
        yield place | scalars({str(name): value for name, value in point.data_vars.items()})


def calibration_lines(dataset: xr.Dataset) -> list[str]:
    """Return a calibration of the learning coefficient as a table, one line per point."""
    chains, burn_in, draws = (dataset.attrs[name] for name in ("chains", "burn_in", "draws"))
    rows = [
        f"step {dataset.attrs['step']}, {chains} chains of {burn_in} + {draws} steps",
        f"{'nβ':>9}{'γ':>9}{'ε':>10}  learning coefficient",
    ]
    for point in calibration_points(dataset):
        heat, gamma, step = (number(point[name]) for name in ("inverse_temperature", "localization", "step_size"))
        rows.append(f"{heat:>9}{gamma:>9}{step:>10}  {learning_coefficient(point)}")
    return rows


def _by_reason(not_defined: Mapping[str, str]) -> dict[str, list[str]]:
    """Group undefined analyses by reason."""
    found: dict[str, list[str]] = {}
    for name, why in not_defined.items():
        found.setdefault(why, []).append(name)
    return found


def _nearly_key(nearly: Mapping[str, Mapping[str, float]]) -> list[str]:
    """Return the line of nearly key entries with their similarity on held-out pairs; empty if there are none."""
    found = [f"{label} ({of['similarity']:.3f}, threshold {of['threshold']:.3f})" for label, of in nearly.items()]
    return [line("nearly key", ", ".join(found))] if found else []


def _explained(share: float | None, by: str) -> list[str]:
    """Return the line with the share of the variance of the logits that is explained; empty if not measured."""
    return [] if share is None else [line("logits explained", f"{share:.1%} of their variance by the {by}")]


def _losses(measured: Mapping[str, Any], of: str, **names: str) -> list[str]:
    """Return the line with the losses that were measured, and what they are of; empty if there are none."""
    known = [f"{name} {measured[key]:.3g}" for name, key in names.items() if measured.get(key) is not None]
    return [line("losses", f"{', '.join(known)}{of}")] if known else []


def _error(value: float | None) -> str:
    """Return a standard error formatted to follow its value; empty if it rounds to zero.

    >>> _error(0.0123), _error(0.0), _error(None)
    (' ± 0.012', '', '')
    """
    return f" ± {value:.3f}" if value and value >= 5e-4 else ""
