from __future__ import annotations

import math

import numpy as np
import pytest

from bcos_eval.data.shapes.random import Stream, scene_keys
from bcos_eval.data.shapes.texture import TEXTURES, value_noise

# Shares of the second colour: half of stripes and checks, hexagonal dots of radius 0.32 in a unit cell.
MEANS = {"plain": 0.0, "striped": 0.5, "checkered": 0.5, "dotted": math.pi * 0.32**2}

EVERY_TEXTURE = pytest.mark.parametrize("texture", TEXTURES, ids=lambda texture: texture.name)


def share_of(texture, period=24.0, side=144):
    along = np.arange(side, dtype=np.float64) + 0.5
    u, v = np.meshgrid(along, along)
    return texture.share(u, v, np.full((1, 1), period))


def stream_of(*indices):
    return Stream(scene_keys("test", np.array(indices, dtype=np.int64)), 0)


@EVERY_TEXTURE
def test_share_averages_to_the_area_of_the_second_colour(texture):
    share = share_of(texture)
    assert share.min() >= 0.0
    assert share.max() <= 1.0
    assert share.mean() == pytest.approx(MEANS[texture.name], abs=2e-3)


@EVERY_TEXTURE
def test_patterns_repeat_after_two_periods_along_each_axis(texture):
    # 36 pixels for checks (1.5 periods), 48 for the shifted rows of dots: 144 holds whole numbers of both.
    share = share_of(texture, side=288)
    np.testing.assert_allclose(share[:144, :144], share[144:, 144:], atol=1e-9)


def test_only_plain_has_no_second_colour():
    assert [texture.name for texture in TEXTURES if not share_of(texture).any()] == ["plain"]


def test_stripes_are_the_same_along_one_axis_and_checks_along_none():
    shares = {texture.name: share_of(texture) for texture in TEXTURES}
    assert np.ptp(shares["striped"], axis=0).max() == 0.0
    for name in ("checkered", "dotted"):
        assert np.ptp(shares[name], axis=0).max() == 1.0
        assert np.ptp(shares[name], axis=1).max() == 1.0


def test_value_noise_passes_through_its_lattice():
    noise = value_noise(stream_of(5), cells=4, side=64)[0]
    stream = stream_of(5)
    lattice = stream.uniforms(36).reshape(6, 6)
    shift_y, shift_x = stream.uniforms(2)[0]

    def joined(values, position):
        low = math.floor(position)
        step = position - low
        step = step * step * (3 - 2 * step)
        return values[low] * (1 - step) + values[low + 1] * step

    for row, column in [(0, 0), (13, 57), (63, 63), (40, 2)]:
        across = [joined(lattice[i], (column + 0.5) / 16 + shift_x) for i in range(6)]
        # Float32 against float64.
        assert noise[row, column] == pytest.approx(joined(across, (row + 0.5) / 16 + shift_y), abs=1e-5)


def test_value_noise_of_a_scene_does_not_depend_on_the_others():
    together = value_noise(stream_of(1, 2, 3), cells=10, side=32)
    np.testing.assert_array_equal(together[1:2], value_noise(stream_of(2), cells=10, side=32))


def test_value_noise_stays_between_0_and_1():
    noise = value_noise(stream_of(*range(20)), cells=4, side=32)
    assert noise.shape == (20, 32, 32)
    assert noise.min() >= 0.0
    assert noise.max() < 1.0
