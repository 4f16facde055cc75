"""How long a wrong password makes the next try wait, and what is counted together."""

import re

import pytest

from flaas.domain.signin import ADDRESS, NAME, PAIR, Bound, keys, wait_after, waits

BOUNDS = pytest.mark.parametrize("bound", [PAIR, NAME, ADDRESS], ids=["pair", "name", "address"])


def test_waits_double_from_a_second_up_to_the_longest() -> None:
    bound = Bound(free=2, longest=10)
    assert [wait_after(failures, bound) for failures in range(9)] == [0, 0, 0, 1, 2, 4, 8, 10, 10]
    assert waits(bound) == [0, 1, 2, 4, 8, 10]
    assert waits(Bound(free=0, longest=20, first=5)) == [0, 5, 10, 20]


@BOUNDS
def test_the_list_of_waits_says_what_the_rule_says(bound: Bound) -> None:
    steps = waits(bound)
    for failures in range(bound.free, bound.free + 20):
        over = min(failures - bound.free, len(steps) - 1)
        assert steps[over] == wait_after(failures, bound)


@BOUNDS
def test_nobody_waits_longer_than_a_minute_however_often_they_failed(bound: Bound) -> None:
    assert wait_after(10**9, bound) == bound.longest <= 60


def test_an_address_that_thousands_share_has_hundreds_of_failures_free() -> None:
    assert wait_after(500, ADDRESS) == 0
    assert wait_after(10**6, ADDRESS) <= 5
    assert wait_after(PAIR.free + 1, PAIR) > 0
    assert PAIR.free < NAME.free < ADDRESS.free


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("198.51.100.7", "198.51.100.8", False),
        ("198.51.100.7", "::ffff:198.51.100.7", True),
        # Whoever has an IPv6 address has 2^64 of them.
        ("2001:db8:1:2::1", "2001:db8:1:2:ffff:ffff:ffff:ffff", True),
        ("2001:db8:1:2::1", "2001:db8:1:3::1", False),
        ("unix", "unix", True),
        ("unix", "", False),
    ],
)
def test_what_is_one_address(one: str, other: str, same: bool) -> None:
    assert (keys("a", one).address == keys("a", other).address) is same
    assert (keys("a", one).pair == keys("a", other).pair) is same


def test_names_and_addresses_are_counted_apart_and_together() -> None:
    first, second = keys("a", "192.0.2.1"), keys("b", "192.0.2.1")
    assert first.address == second.address
    assert len({first.name, second.name, first.pair, second.pair, first.address}) == 5
    elsewhere = keys("a", "192.0.2.2")
    assert elsewhere.name == first.name
    assert elsewhere.pair != first.pair


@pytest.mark.parametrize("name", ["a\0b", "\ud800", "$ne", "x" * 1_000_000, "hunter2"])
def test_whatever_is_typed_as_a_name_is_kept_as_a_digest(name: str) -> None:
    made = keys(name, "192.0.2.1")
    assert all(re.fullmatch("[0-9a-f]{64}", one) for one in (made.pair, made.name, made.address))
