"""Labels of variables: a short name for the axes of plots, and a description."""

import xarray as xr

LONG_NAME, DESCRIPTION = "long_name", "description"
"""Attributes of a variable; plots of xarray show the long name."""


def named(name: str, description: str) -> dict[str, str]:
    """Return the attributes that name and describe a variable.

    >>> named("neuron_fve", "share of the neuron's variance explained by its frequency")["long_name"]
    'neuron fve'
    """
    return {LONG_NAME: name.replace("_", " "), DESCRIPTION: description}


def with_short_names(dataset: xr.Dataset) -> xr.Dataset:
    """Return results with short names; results of earlier versions have descriptions as their long names."""
    variables = {
        name: values.assign_attrs(named(str(name), str(values.attrs[LONG_NAME])))
        for name, values in dataset.data_vars.items()
        if LONG_NAME in values.attrs and DESCRIPTION not in values.attrs
    }
    return dataset.assign(variables) if variables else dataset


def description(values: xr.DataArray) -> str:
    """Return the description of a variable, or else its long name or its name."""
    return str(values.attrs.get(DESCRIPTION) or values.attrs.get(LONG_NAME) or values.name)
