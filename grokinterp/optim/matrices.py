"""The matrices of a parameter."""

from jaxtyping import Float

from grokinterp.lazy import Tensor


def as_matrices(tensor: Float[Tensor, "*shape"]) -> Float[Tensor, "*batch row column"]:
    """Return a parameter, or its gradient, as the matrices by which it acts.

    * 0 or 1 axes (scale, bias): a single row.
    * 2 axes: the matrix itself.
    * 3 axes: a matrix for each entry of the first axis, as in weights [head, d_model, d_head]. A kernel [out, in,
      width] of a one-dimensional convolution cannot be distinguished and is treated in the same way.
    * 4 and more axes: a convolution kernel [out, in, height, width], as the matrix [out, in · height · width] that it
      applies to every patch.
    """
    if tensor.ndim < 2:
        return tensor.reshape(1, -1)
    return tensor if tensor.ndim < 4 else tensor.flatten(1)
