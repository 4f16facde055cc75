"""The sum of updates as it is defined, slowly, and updates for which the order matters."""

from collections.abc import Sequence
from typing import Final

import numpy as np
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

PARAMETERS = 5

COUNTS = [1, 2, 3, 63, 64, 65, 127, 128, 129, 4032, 4033, 4095, 4096, 4097, 4161]
"""Around full nodes of the first, the second and the third level."""


def made_up(updates: int, parameters: int = PARAMETERS) -> NDArray[np.float32]:
    """Updates, shape (updates, parameters), of which every sum has to be rounded."""
    random = np.random.default_rng(updates)
    scale = 10.0 ** random.integers(-12, 12, (updates, parameters))
    return (random.standard_normal((updates, parameters)) * scale).astype(np.float32)


def by_the_book(updates: Sequence[NDArray[np.float32]]) -> list[float]:
    """The sum, slowly: levels of nodes, each the sum of up to 64 children in their order."""
    sums = []
    for parameter in range(len(updates[0])):
        nodes = [float(update[parameter]) for update in updates]
        while len(nodes) > 1:
            parents = []
            for start in range(0, len(nodes), 64):
                total, *others = nodes[start : start + 64]
                for child in others:
                    total = total + child
                parents.append(total)
            nodes = parents
        sums.append(nodes[0])
    return sums


FLOATS = st.floats(width=32, allow_nan=False, allow_infinity=False)

unhurried: Final = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
"""For generated tests: how busy the machine is says nothing about the code."""
