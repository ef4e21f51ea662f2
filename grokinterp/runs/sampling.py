"""Local learning coefficients in words, the same on the command line and in a report."""

import math
from collections.abc import Iterator, Mapping
from typing import Any

import xarray as xr

from grokinterp.numbers import number

MEASURED = "llc_converged"
"""The measure without which a result is from a version that sampled in another way."""


def coefficient(measured: Mapping[str, Any]) -> str:
    """The coefficient with its spread, and the verdict on the chains.

    >>> chains = {"llc": 52.42, "llc_spread": 1.32, "llc_diverged": False, "llc_converged": True, "llc_rhat": 1.0}
    >>> coefficient(chains)
    '52.4 ± 1.32, converged'
    >>> coefficient(chains | {"llc": -3.0, "llc_spread": None})
    '−3, converged; negative: the weights are not at a minimum of the training loss'
    >>> coefficient({"llc": None, "llc_diverged": True, "llc_converged": False})
    'no estimate: the chains diverged'
    """
    if measured["llc_diverged"]:
        return "no estimate: the chains diverged"
    value, spread = float(measured["llc"]), measured.get("llc_spread")
    spread_of = "" if spread is None or math.isnan(spread) else f" ± {number(float(spread))}"
    verdict = "converged" if measured["llc_converged"] else f"not converged ({evidence(measured)})"
    negative = "; negative: the weights are not at a minimum of the training loss" if value < 0 else ""
    return f"{number(value)}{spread_of}, {verdict}{negative}"


def evidence(measured: Mapping[str, Any]) -> str:
    """What the verdict on the chains rests on.

    >>> evidence({"llc_rhat": 1.0724, "llc_equilibrium": 0.86, "llc_step_error": 157.7})
    'R̂ 1.07, equilibrium 0.86, steps add 158'
    """
    rhat, equilibrium, error = (measured[f"llc_{name}"] for name in ("rhat", "equilibrium", "step_error"))
    said = "unknown" if rhat is None or math.isnan(rhat) else f"{rhat:.2f}"
    return f"R̂ {said}, equilibrium {equilibrium:.2f}, steps add {number(float(error))}"


def settings(measured: Mapping[str, Any], chains: int) -> str:
    """How it was sampled.

    >>> named = {"inverse_temperature": 226.8, "localization": 100.0, "step_size": 1e-4, "burn_in": 150, "draws": 100}
    >>> settings({f"llc_{name}": value for name, value in named.items()} | {"llc_batch_size": 128}, 2)
    'nβ 227, γ 100, ε 1.00e-4, 2 chains of 150 + 100 steps, batches of 128'
    """
    heat, gamma, step = (number(float(measured[f"llc_{name}"])) for name in
                         ("inverse_temperature", "localization", "step_size"))  # fmt: skip
    burn_in, draws, batch = (int(measured[f"llc_{name}"]) for name in ("burn_in", "draws", "batch_size"))
    plural = "chain" if chains == 1 else "chains"
    return f"nβ {heat}, γ {gamma}, ε {step}, {chains} {plural} of {burn_in} + {draws:,} steps, batches of {batch:,}"


def measures(fields: Mapping[str, Any]) -> dict[str, Any]:
    """The scalar fields as plain numbers, None for what is not finite."""
    plain = {name: value.item() for name, value in fields.items() if value.ndim == 0}
    return {name: None if isinstance(v, float) and not math.isfinite(v) else v for name, v in plain.items()}


def lines(measured: Mapping[str, Any], chains: int) -> list[str]:
    """One checkpoint's coefficient for the command line."""
    said = "none" if measured["llc_diverged"] else evidence(measured)
    return [
        f"step                  {measured['step']}",
        f"learning coefficient  {coefficient(measured)}",
        f"evidence              {said}",
        f"settings              {settings(measured, chains)}",
    ]


def points(dataset: xr.Dataset) -> Iterator[dict[str, Any]]:
    """Every point of a calibration with what was measured there."""
    flat = dataset.stack(point=("inverse_temperature", "localization", "step_size"))
    for i in range(flat.sizes["point"]):
        one = flat.isel(point=i)
        place = {name: float(one[name]) for name in ("inverse_temperature", "localization", "step_size")}
        yield place | measures({str(name): value for name, value in one.data_vars.items()})


def table(dataset: xr.Dataset) -> list[str]:
    """A calibration for the command line, one line for each point."""
    chains, burn_in, draws = (dataset.attrs[name] for name in ("chains", "burn_in", "draws"))
    rows = [
        f"step {dataset.attrs['step']}, {chains} chains of {burn_in} + {draws} steps",
        f"{'nβ':>9}{'γ':>9}{'ε':>10}  learning coefficient",
    ]
    for point in points(dataset):
        heat, gamma, step = (number(point[name]) for name in ("inverse_temperature", "localization", "step_size"))
        rows.append(f"{heat:>9}{gamma:>9}{step:>10}  {coefficient(point)}")
    return rows
