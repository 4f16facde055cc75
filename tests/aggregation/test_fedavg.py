"""The mean of the updates, as a model file holds it."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from flaas.aggregation.fedavg import FedAvg

from .by_the_book import COUNTS, FLOATS, by_the_book, made_up, unhurried


def averaged(updates: list[NDArray[np.float32]], piece: int = 2) -> NDArray[np.float32]:
    average = FedAvg(len(updates[0]))
    for update in updates:
        for start in range(0, len(update), piece):
            average.add(start, [update[start : start + piece]])
        average.end_updates(1)
    return average.model()


@pytest.mark.parametrize("count", COUNTS)
def test_the_model_is_the_tree_s_sum_over_the_count_to_the_last_bit(count: int) -> None:
    updates = list(made_up(count))
    expected = np.array([total / count for total in by_the_book(updates)]).astype("<f4")

    assert averaged(updates).tobytes() == expected.tobytes()


@pytest.mark.parametrize("piece", [1, 2, 3, 4, 5, 100])
def test_any_length_of_pieces_gives_the_same_bytes(piece: int) -> None:
    updates = list(made_up(130))

    assert averaged(updates, piece).tobytes() == averaged(updates).tobytes()


@pytest.mark.parametrize("count", COUNTS)
def test_the_model_is_within_one_unit_in_the_last_place_of_numpy_s_mean(count: int) -> None:
    updates = np.random.default_rng(count).standard_normal((count, 500)).astype(np.float32)
    expected = updates.mean(axis=0, dtype=np.float64).astype(np.float32)

    model = averaged(list(updates), 500)

    assert (np.abs(model - expected) <= np.spacing(np.abs(expected))).all()


def test_the_model_is_little_endian_float32_of_the_length_of_an_update() -> None:
    model = averaged([np.array([1, 2, 3], np.float32), np.array([2, 4, 6], np.float32)])

    assert model.dtype == np.dtype("<f4")
    assert model.tobytes() == bytes.fromhex("0000c03f 00004040 00009040")


@pytest.mark.parametrize("count", [1, 64, 65])
def test_equal_updates_are_their_own_mean(count: int) -> None:
    update = made_up(1, 7)[0]

    assert averaged([update] * count).tobytes() == update.tobytes()


@pytest.mark.parametrize("count", [1, 3, 65])
def test_a_negative_zero_stays_one(count: int) -> None:
    model = averaged([np.array([-0.0], np.float32)] * count)

    assert model.tobytes() == bytes.fromhex("00000080")


@unhurried
@given(rows=st.lists(st.lists(FLOATS, min_size=2, max_size=2), min_size=1, max_size=70))
def test_the_mean_of_finite_numbers_is_finite_and_between_them(rows: list[list[float]]) -> None:
    updates = np.array(rows, np.float32)

    model = averaged(list(updates))

    assert np.isfinite(model).all()
    assert (model >= updates.min(axis=0)).all()
    assert (model <= updates.max(axis=0)).all()


@pytest.mark.parametrize("count", [1, 3, 64, 4097])
def test_the_largest_numbers_do_not_overflow(count: int) -> None:
    largest = np.full(2, np.finfo(np.float32).max, np.float32)

    assert averaged([largest] * count).tobytes() == largest.tobytes()


@pytest.mark.parametrize("count", [6, 98])
def test_a_mean_half_way_between_two_numbers_is_rounded_to_the_even_one(count: int) -> None:
    odd, even = np.float32([1 + 2**-23, 1 + 2**-22])

    assert averaged([np.array([number]) for number in [odd, even] * (count // 2)]) == [even]


def test_there_is_no_model_of_nothing() -> None:
    with pytest.raises(ValueError, match="no update"):
        FedAvg(3).model()
