"""What a model file is, read in pieces of any length."""

import math
import struct
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flaas.aggregation.update import DTYPE, PARAMETER_BYTES, NonFiniteCount

from .by_the_book import unhurried

NAN, INF = math.nan, math.inf


def counted(data: bytes, cuts: list[int]) -> int:
    bounds = [0, *sorted(cuts), len(data)]
    count = NonFiniteCount()
    for start, end in pairwise(bounds):
        count.feed(data[start:end])
    return count.count


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([], 0),
        ([0.0, -0.0, 1.5, -3.4e38, 1e-45], 0),
        ([NAN], 1),
        ([INF, -INF, 0.0, NAN], 3),
        ([0.0, NAN, 0.0, NAN, 0.0], 2),
    ],
)
def test_nan_and_infinity_are_counted_wherever_a_file_is_cut(
    values: list[float], expected: int
) -> None:
    data = struct.pack(f"<{len(values)}f", *values)

    assert counted(data, []) == expected
    for first in range(len(data) + 1):
        for second in range(first, len(data) + 1):
            assert counted(data, [first, second]) == expected


@unhurried
@given(data=st.data(), values=st.lists(st.floats(width=32), max_size=40))
def test_any_pieces_of_any_numbers_count_alike(data: st.DataObject, values: list[float]) -> None:
    content = struct.pack(f"<{len(values)}f", *values)
    cuts = data.draw(st.lists(st.integers(0, len(content)), max_size=20))

    assert counted(content, cuts) == sum(not math.isfinite(value) for value in values)


@unhurried
@given(content=st.binary(max_size=200))
def test_any_bytes_count_alike_one_by_one(content: bytes) -> None:
    """Every NaN there is, and a rest that is no whole parameter."""
    whole = len(content) // 4
    numbers = struct.unpack(f"<{whole}f", content[: 4 * whole])

    assert counted(content, list(range(len(content)))) == sum(
        not math.isfinite(number) for number in numbers
    )


def test_the_count_is_known_while_a_file_still_comes_in() -> None:
    count = NonFiniteCount()
    for piece in (b"\0\0\xc0", b"\x7f\0\0", b"\x80"):
        count.feed(piece)
    assert count.count == 1
    count.feed(b"\xff")
    assert count.count == 2


def test_a_file_is_raw_little_endian_float32() -> None:
    assert np.frombuffer(bytes.fromhex("0000c03f 000000c0"), DTYPE).tolist() == [1.5, -2.0]
    assert np.dtype("<f4") == DTYPE
    assert PARAMETER_BYTES == 4
