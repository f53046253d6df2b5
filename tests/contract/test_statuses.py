from __future__ import annotations

import math

import torch

from bcos_eval.contract.statuses import area_share, is_constant, is_empty, is_nonfinite, is_zero, map_statuses
from bcos_eval.metrics import Status

ZERO = torch.zeros(2, 3)
CONSTANT = torch.full((2, 3), -0.25)
PLAIN = torch.arange(6.0).reshape(2, 3)
NAN = PLAIN.masked_fill(PLAIN == 4, math.nan)
INFINITE = PLAIN.masked_fill(PLAIN == 4, -math.inf)
MAPS = torch.stack([ZERO, CONSTANT, PLAIN, NAN, INFINITE])[None]


def test_each_kind_of_map_is_told_from_the_others():
    assert is_zero(MAPS)[0].tolist() == [True, False, False, False, False]
    assert is_constant(MAPS)[0].tolist() == [True, True, False, False, False]
    assert is_nonfinite(MAPS)[0].tolist() == [False, False, False, True, True]


def test_a_zero_with_a_sign_is_a_zero():
    assert is_zero(-torch.zeros(1, 1, 2, 2)).item()


def test_a_map_of_infinities_is_nonfinite_before_constant():
    assert map_statuses(torch.full((1, 1, 2, 2), math.inf), {}) == ((Status.NONFINITE,),)


def test_statuses_follow_the_order_of_precedence():
    empty = torch.tensor([[False, True, True, True, False]])
    zero = is_zero(MAPS)
    assert map_statuses(MAPS, {Status.EMPTY_REGION: empty, Status.ZERO_MAP: zero}) == (
        (Status.ZERO_MAP, Status.EMPTY_REGION, Status.EMPTY_REGION, Status.NONFINITE, Status.NONFINITE),
    )


def test_an_empty_region_has_no_share_of_the_area():
    regions = torch.zeros(1, 2, 2, 4, dtype=torch.bool)
    regions[0, 1, 0, 0] = True
    assert is_empty(regions).tolist() == [[True, False]]
    share = area_share(regions)
    assert share.dtype == torch.float64
    assert math.isnan(share[0, 0])
    assert share[0, 1] == 1 / 8
