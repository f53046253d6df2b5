from __future__ import annotations

import torch
from hypothesis import given
from hypothesis import strategies as st

from bcos_eval.metrics.ranking import least_first, most_first, rank_of_pixels

_small_maps = st.lists(st.integers(-2, 2), min_size=6, max_size=6)


@given(_small_maps)
def test_both_orders_break_ties_by_the_smaller_index(entries):
    maps = torch.tensor(entries, dtype=torch.float32).reshape(2, 3)
    assert least_first(maps).tolist() == sorted(range(6), key=lambda p: (entries[p], p))
    assert most_first(maps).tolist() == sorted(range(6), key=lambda p: (-entries[p], p))


def test_the_orders_of_a_constant_map_are_the_same():
    assert least_first(torch.ones(2, 2)).tolist() == most_first(torch.ones(2, 2)).tolist() == [0, 1, 2, 3]


def test_zeros_of_either_sign_are_ties():
    maps = torch.tensor([[0.0, -0.0], [-0.0, 0.0]])
    assert least_first(maps).tolist() == most_first(maps).tolist() == [0, 1, 2, 3]


def test_ranks_invert_the_order():
    order = least_first(torch.rand(3, 2, 4, 5, generator=torch.Generator().manual_seed(0)))
    assert torch.equal(order.gather(-1, rank_of_pixels(order)), torch.arange(20).expand(3, 2, 20))
