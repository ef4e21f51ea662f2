"""The type of a column of values, one for each run."""

from collections.abc import Sequence
from typing import Any

import numpy as np

Column = Sequence[Any] | np.ndarray
