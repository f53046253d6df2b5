from __future__ import annotations

import numpy as np
import pytest

from bcos_eval.data.shapes.random import Stream, mix, scene_keys

WORD = 2**64 - 1


def splitmix64(state):
    """The published algorithm on Python integers."""
    state = (state + 0x9E3779B97F4A7C15) & WORD
    word = ((state ^ (state >> 30)) * 0xBF58476D1CE4E5B9) & WORD
    word = ((word ^ (word >> 27)) * 0x94D049BB133111EB) & WORD
    return word ^ (word >> 31)


def keys_of(*indices):
    return scene_keys("test", np.array(indices, dtype=np.int64))


def test_first_word_of_seed_0_is_the_published_one():
    assert int(mix(np.array([0], dtype=np.uint64))[0]) == 0xE220A8397B1DCDAF


@pytest.mark.parametrize("value", [0, 1, 1234567, 2**63, WORD])
def test_mix_is_splitmix64(value):
    assert int(mix(np.array([value], dtype=np.uint64))[0]) == splitmix64(value)


def test_a_stream_is_the_sequence_of_splitmix64():
    stream = Stream(keys_of(7), 3)
    state = splitmix64(int(keys_of(7)[0]) ^ splitmix64(3))
    expected = [splitmix64((state + i * 0x9E3779B97F4A7C15) & WORD) for i in range(5)]
    assert [int(word) for word in stream.bits(5)[0]] == expected


def test_draws_do_not_depend_on_how_they_are_grouped():
    together, apart = Stream(keys_of(1, 2), 0), Stream(keys_of(1, 2), 0)
    np.testing.assert_array_equal(together.bits(3), np.concatenate([apart.bits(1), apart.bits(2)], axis=1))


def test_draws_of_a_scene_do_not_depend_on_the_others():
    together, alone = Stream(keys_of(1, 2, 3), 0), Stream(keys_of(2), 0)
    np.testing.assert_array_equal(together.uniforms(4)[1:2], alone.uniforms(4))


def test_names_and_purposes_separate_streams():
    indices = np.arange(200, dtype=np.int64)
    first, second = scene_keys("a", indices), scene_keys("b", indices)
    words = [Stream(keys, purpose).bits(1) for keys in (first, second) for purpose in (0, 1)]
    assert len(np.unique(np.concatenate(words))) == 4 * 200


def test_uniform_draws_have_the_moments_of_the_uniform_distribution():
    draws = Stream(keys_of(*range(200)), 0).uniforms(100)
    assert draws.min() >= 0.0
    assert draws.max() < 1.0
    # 20,000 draws: standard errors 0.002 and 0.0005, four of each.
    assert abs(draws.mean() - 1 / 2) < 0.008
    assert abs(draws.var() - 1 / 12) < 0.002


def test_integers_reach_every_value_below_the_bound():
    draws = Stream(keys_of(*range(500)), 0).integers(5)
    assert sorted(set(draws.tolist())) == [0, 1, 2, 3, 4]
