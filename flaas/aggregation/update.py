"""What a model file is, and which updates may enter an aggregate."""

from typing import Final

import numpy as np

DTYPE: Final = np.dtype("<f4")
"""A model file is raw little-endian float32 without a header."""

PARAMETER_BYTES: Final = DTYPE.itemsize


class NonFiniteCount:
    """Counts NaN and infinity in a model file that arrives in pieces of any length."""

    def __init__(self) -> None:
        self.count = 0
        self._rest = b""

    def feed(self, piece: bytes) -> None:
        if self._rest:
            piece = self._rest + piece
        whole = len(piece) - len(piece) % PARAMETER_BYTES
        self._rest = piece[whole:]
        values = np.frombuffer(piece, DTYPE, count=whole // PARAMETER_BYTES)
        self.count += values.size - int(np.count_nonzero(np.isfinite(values)))
