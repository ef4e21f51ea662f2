"""What of a parameter is a matrix."""

from jaxtyping import Float

from grokinterp.lazy import Tensor


def as_matrices(tensor: Float[Tensor, "*shape"]) -> Float[Tensor, "*batch row column"]:
    """A parameter, or its gradient, as the matrices that it acts with.

    * 0 or 1 axes (scale, bias): one row.
    * 2 axes: itself.
    * 3 axes: one matrix for each entry of the first, as in weights [head, d_model, d_head]. A kernel
      [out, in, width] of a one-dimensional convolution cannot be told from these and is treated alike.
    * 4 and more axes: a convolution's kernel [out, in, height, width], as the one matrix
      [out, in · height · width] that it applies to every patch.
    """
    if tensor.ndim < 2:
        return tensor.reshape(1, -1)
    return tensor if tensor.ndim < 4 else tensor.flatten(1)
