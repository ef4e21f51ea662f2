"""Dependence of the local learning coefficient on step size, localization, and temperature."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import xarray as xr

from grokinterp.analysis.engine.labeled import field_labels
from grokinterp.analysis.landscape.learning_coefficient import (
    LocalLearningCoefficient,
    default_sampling,
    local_learning_coefficient,
    require_positive,
)
from grokinterp.errors import ConfigError
from grokinterp.progress import track
from grokinterp.runs.checkpoint import Checkpoint

MEASURED = (
    "llc",
    "llc_spread",
    "llc_rhat",
    "llc_equilibrium",
    "llc_step_error",
    "llc_held",
    "llc_diverged",
    "llc_converged",
)
"""Fields stored for every point of the map."""

STEP_SIZES, LOCALIZATIONS, INVERSE_TEMPERATURES = (0.25, 1.0, 4.0, 16.0), (0.1, 1.0, 10.0), (0.3, 1.0, 3.0)
"""Multiples of the defaults."""

AXES = {"step_size": "step_sizes", "localization": "localizations", "inverse_temperature": "inverse_temperatures"}
"""Arguments of the analysis, with the argument of the calibration that takes several values."""

COUNTS = ("chains", "burn_in", "draws", "batch_size")


def calibrate_llc(
    checkpoint: Checkpoint,
    *,
    step_sizes: Sequence[float] | None = None,
    localizations: Sequence[float] | None = None,
    inverse_temperatures: Sequence[float] | None = None,
    chains: int | None = None,
    burn_in: int | None = None,
    draws: int | None = None,
    batch_size: int | None = None,
    components: Sequence[str] | None = None,
    progress: bool = False,
) -> xr.Dataset:
    """Measure the local learning coefficient at every combination of step size, localization, and temperature.

    A coefficient is reliable in a region where chains converge, it does not change with ε, and it changes slowly with γ
    and nβ. If no such region exists, it depends on these choices and must be reported together with them.

    Args:
        checkpoint: the checkpoint with the weights.
        step_sizes: ε (default: ¼, 1, 4 and 16 times the default of the checkpoint's regime).
        localizations: γ (default: 0.1, 1 and 10 times the default).
        inverse_temperatures: nβ (default: 0.3, 1 and 3 times n / log n).
        chains: as in ``local_learning_coefficient``.
        burn_in: as in ``local_learning_coefficient``.
        draws: as in ``local_learning_coefficient``.
        batch_size: as in ``local_learning_coefficient``.
        components: as in ``local_learning_coefficient``.
        progress: show a progress bar on standard error.

    Returns:
        A dataset of llc, its spread, R̂, equilibrium, step error, part held by the localization, and whether chains
        diverged or converged, over ascending ``inverse_temperature``, ``localization`` and ``step_size``.

    Raises:
        NotDefined: as ``local_learning_coefficient``.
        ConfigError: as ``local_learning_coefficient``, or if a list is empty or has values that are not above 0.
    """
    default = default_sampling(checkpoint, components)
    axes = {
        "inverse_temperature": grid(inverse_temperatures, default.inverse_temperature, INVERSE_TEMPERATURES),
        "localization": grid(localizations, default.localization, LOCALIZATIONS),
        "step_size": grid(step_sizes, default.step_size, STEP_SIZES),
    }
    for name, values in axes.items():
        for value in values or [0.0]:
            require_positive({name: value})
    shape = tuple(map(len, axes.values()))
    found = {name: np.empty(shape, bool if name in ("llc_diverged", "llc_converged") else float) for name in MEASURED}
    for place in track(list(np.ndindex(*shape)), "calibrating", total=int(np.prod(shape)), shown=progress):
        point = {name: values[i] for (name, values), i in zip(axes.items(), place, strict=True)}
        one = local_learning_coefficient(
            checkpoint,
            **point,
            chains=chains,
            burn_in=burn_in,
            draws=draws,
            batch_size=batch_size,
            components=components,
        )
        for name, values in found.items():
            values[place] = float(getattr(one, name))
    labels = field_labels(LocalLearningCoefficient)
    variables = {name: (tuple(axes), values, labels[name]) for name, values in found.items()}
    own = {"chains": chains, "burn_in": burn_in, "draws": draws}
    settings = {name: getattr(default, name) if value is None else value for name, value in own.items()}
    return xr.Dataset(variables, axes, {"step": int(checkpoint.step), **settings})


def grid(given: Sequence[float] | None, default: float, multiples: Sequence[float]) -> list[float]:
    """Return the given values in ascending order, or multiples of the default."""
    return sorted({float(f"{default * multiple:.4g}") for multiple in multiples} if given is None else set(given))


def parse_settings(texts: Sequence[str]) -> dict[str, Any]:
    """Return the arguments of ``local_learning_coefficient`` given as key=value.

    >>> parse_settings(["step_size=1e-5", "chains=4", "components=embed,unembed"])
    {'step_size': 1e-05, 'chains': 4, 'components': ['embed', 'unembed']}

    Raises:
        ConfigError: a key is unknown, or a value is not a number.
    """
    found: dict[str, Any] = {}
    for text in texts:
        key, _, value = text.partition("=")
        if key == "components":
            found[key] = [name.strip() for name in value.split(",") if name.strip()]
            continue
        if key not in (*AXES, *COUNTS):
            raise ConfigError(
                "setting", text, f"must be key=value, key one of {', '.join((*AXES, *COUNTS))}, components"
            )
        try:
            found[key] = float(value) if key in AXES else int(value)
        except ValueError:
            raise ConfigError(key, value, "must be a number" if key in AXES else "must be an integer") from None
    return found


def axes_of(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return the same arguments for ``calibrate_llc``: a single value of ε, γ or nβ becomes an axis of length one."""
    return {AXES.get(key, key): [value] if key in AXES else value for key, value in settings.items()}
