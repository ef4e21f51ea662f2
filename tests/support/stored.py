"""Small contents of run directories that the storage tests share."""

import torch

from grokinterp.storage import (
    encode_tensors,
)

EXPERIMENT = {"name": "small", "seed": 0, "task": {"kind": "modular_addition", "p": 5}}


def tensors(value: float = 1.0) -> dict[str, torch.Tensor]:
    """Every dtype that is stored, scalars, empty and transposed tensors."""
    return {
        "W_E": torch.full((3, 4), value).T,
        "exp_avg": torch.arange(6, dtype=torch.float64).reshape(2, 3) * value,
        "is_train": torch.tensor([True, False, True]),
        "step": torch.tensor(7),
        "generator": torch.arange(9, dtype=torch.uint8),
        "empty": torch.empty(0, 4),
        "nan": torch.tensor([float("nan"), float("inf"), -0.0]),
    }


def same(left: dict[str, torch.Tensor], right: dict[str, torch.Tensor]) -> bool:
    """Equal names, dtypes, shapes and bits."""
    return left.keys() == right.keys() and all(
        left[name].dtype == right[name].dtype
        and left[name].shape == right[name].shape
        and left[name].numpy().tobytes() == right[name].numpy().tobytes()
        for name in left
    )


def small_file() -> bytes:
    content = {"W": torch.arange(6.0).reshape(2, 3), "mask": torch.tensor([True, False])}
    return encode_tensors(content, step=12, run_id="abc", extra={"state": '{"loss":1e-05}'})
