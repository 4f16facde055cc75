"""The sum of updates: one canonical order, and so the same bits everywhere."""

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from flaas.aggregation.tree import TreeSum

from .by_the_book import COUNTS, FLOATS, PARAMETERS, by_the_book, made_up, unhurried


def summed(updates: Sequence[NDArray[np.float32]], cuts: Sequence[int] = ()) -> TreeSum:
    """All updates, each cut into pieces at these parameters."""
    tree = TreeSum(len(updates[0]))
    bounds = [0, *sorted(cuts), len(updates[0])]
    for update in updates:
        for start, end in pairwise(bounds):
            if start < end:
                tree.add(start, [update[start:end]])
        tree.end_updates(1)
    return tree


def bits(values: Sequence[float] | NDArray[np.float64]) -> bytes:
    return np.asarray(values, np.float64).tobytes()


@pytest.mark.parametrize("count", COUNTS)
def test_the_sum_is_that_of_the_tree_to_the_last_bit(count: int) -> None:
    updates = made_up(count)

    tree = summed(updates)

    assert tree.updates == count
    assert bits(tree.total()) == bits(by_the_book(updates))


@pytest.mark.parametrize("count", [129, 4097])
def test_the_numbers_of_these_tests_tell_one_order_from_another(count: int) -> None:
    updates = made_up(count)
    flat = np.zeros(PARAMETERS)
    for update in updates:
        flat += update

    assert bits(flat) != bits(by_the_book(updates))
    assert bits(by_the_book(updates[::-1])) != bits(by_the_book(updates))


@unhurried
@given(data=st.data(), count=st.sampled_from([1, 2, 63, 64, 65, 130]))
def test_any_cut_into_pieces_gives_the_same_bits(data: st.DataObject, count: int) -> None:
    updates = made_up(count, 16)
    cuts = data.draw(st.lists(st.integers(0, 16), max_size=6))

    assert bits(summed(updates, cuts).total()) == bits(summed(updates).total())


@unhurried
@given(rows=st.lists(st.lists(FLOATS, min_size=2, max_size=2), min_size=1, max_size=70))
def test_any_numbers_are_summed_as_by_the_book(rows: list[list[float]]) -> None:
    updates = list(np.array(rows, np.float32))

    assert bits(summed(updates).total()) == bits(by_the_book(updates))


@pytest.mark.parametrize("count", [1, 2, 64, 65, 4097])
def test_a_negative_zero_stays_one(count: int) -> None:
    total = summed([np.array([-0.0, 0.0], np.float32)] * count).total()

    assert bits(total) == bits([-0.0, 0.0])


@unhurried
@given(data=st.data(), count=st.sampled_from([1, 2, 63, 64, 65, 130]))
def test_some_at_a_time_give_the_same_bits(data: st.DataObject, count: int) -> None:
    updates = made_up(count, 16)
    tree, left = TreeSum(16), list(updates)
    while left:
        some = data.draw(st.integers(1, min(tree.room, len(left))))
        batch, left = left[:some], left[some:]
        tree.begin()
        for piece in (slice(0, 7), slice(7, 16)):
            tree.add(piece.start, [update[piece] for update in batch])
        tree.end_updates(some)

    assert tree.updates == count
    assert bits(tree.total()) == bits(summed(updates).total())


def test_a_model_of_many_blocks_is_summed_as_by_the_book(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("flaas.aggregation.tree._BLOCK", 3)
    updates = made_up(70, 10)
    tree = TreeSum(10)
    tree.add(0, updates[:64])
    tree.end_updates(64)
    assert tree.room == 64
    tree.add(0, updates[64:])
    tree.end_updates(6)
    assert tree.room == 58
    assert bits(tree.total()) == bits(by_the_book(updates))


def test_what_was_added_is_not_held_on_to() -> None:
    """Pieces are views of buffers that are used again."""
    tree = TreeSum(2)
    buffer = np.array([1, 2], np.float32)
    tree.add(0, [buffer])
    tree.end_updates(1)
    buffer[:] = 10
    tree.add(0, [buffer])
    tree.end_updates(1)

    assert tree.total().tolist() == [11, 12]


def test_there_is_no_sum_of_nothing() -> None:
    with pytest.raises(ValueError, match="no update"):
        TreeSum(3).total()


def test_an_update_that_did_not_end_is_none() -> None:
    tree = TreeSum(3)
    tree.add(0, [np.ones(3, np.float32)])

    with pytest.raises(ValueError, match="no update"):
        tree.total()
