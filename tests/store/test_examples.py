from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
import torch

from bcos_eval.contract.stimulus import Stimulus
from bcos_eval.engine.example_maps import examples_of
from bcos_eval.errors import InputError
from bcos_eval.store import examples as stored_examples
from bcos_eval.store.arrays import load_arrays, save_arrays
from bcos_eval.store.examples import (
    MAX_STIMULI,
    MAX_TARGETS,
    ExampleIdentity,
    examples_path,
    load_example_file,
    load_examples,
)
from bcos_eval.store.facts import MethodFacts

SIDE = 8
IDENTITY = ExampleIdentity(
    "shapes", "bcos_resnet18", "random", "grid2x2-bcos_v2", MethodFacts("bcos", (("n", 4),))
)
CLASS_NAMES = ("cat", "dog", "Tüpfelhyäne", "bird")


def save_examples(root, identity, given, maps, **others):
    return stored_examples.save_examples(root, examples_of(identity, given, maps, **others))


def stimuli(n, k, *, seed=0):
    draw = torch.Generator().manual_seed(seed)
    return [
        Stimulus(
            f"grid2x2/{i:06d}",
            torch.rand(3, SIDE, SIDE, generator=draw),
            torch.arange(k).roll(i),
            torch.rand(k, SIDE, SIDE, generator=draw) > 0.5,
            ("a",) * k,
        )
        for i in range(n)
    ]


def maps_of(n, k, *, seed=1):
    return torch.randn(n, k, SIDE, SIDE, generator=torch.Generator().manual_seed(seed))


def test_what_is_loaded_is_what_was_saved(tmp_path):
    given, maps, rgba = stimuli(3, 2), maps_of(3, 2), torch.rand(3, 2, 4, SIDE, SIDE)
    save_examples(tmp_path, IDENTITY, given, maps, class_names=CLASS_NAMES, rgba=rgba)
    (loaded,) = load_examples(tmp_path)
    assert loaded.identity == IDENTITY
    assert loaded.stimulus_ids == tuple(s.stimulus_id for s in given)
    assert loaded.targets.tolist() == [s.targets.tolist() for s in given]
    assert loaded.class_names == (("cat", "dog"), ("dog", "cat"), ("cat", "dog"))
    assert np.array_equal(loaded.regions, np.stack([s.regions.numpy() for s in given]))
    # Eight bits per channel, rounded.
    pixels = np.stack([s.image.permute(1, 2, 0).numpy() for s in given])
    assert np.abs(loaded.images / 255 - pixels).max() <= 0.5 / 255 + 1e-6
    assert np.abs(loaded.rgba / 255 - rgba.permute(0, 1, 3, 4, 2).numpy()).max() <= 0.5 / 255 + 1e-6


@pytest.mark.parametrize("scale", [1e-30, 1.0, 1e30])
def test_maps_keep_their_values_at_any_scale(tmp_path, scale):
    maps = maps_of(2, 2).double() * scale
    save_examples(tmp_path, IDENTITY, stimuli(2, 2), maps, class_names=CLASS_NAMES)
    stored = load_examples(tmp_path)[0].maps
    largest = maps.abs().amax((2, 3), keepdim=True).numpy()
    # Half precision has 11 significant bits.
    assert (np.abs(stored - maps.numpy()) / largest).max() <= 2**-11
    assert stored.dtype == np.float32


def test_zero_and_nonfinite_maps_stay_what_they_are(tmp_path):
    maps = torch.zeros(1, 2, SIDE, SIDE)
    maps[0, 1, 0, :3] = torch.tensor([torch.nan, torch.inf, -2.0])
    save_examples(tmp_path, IDENTITY, stimuli(1, 2), maps, class_names=CLASS_NAMES)
    assert np.array_equal(load_examples(tmp_path)[0].maps, maps.numpy(), equal_nan=True)


def test_only_the_first_stimuli_and_targets_are_kept(tmp_path):
    given, maps = stimuli(MAX_STIMULI + 2, MAX_TARGETS + 2), maps_of(MAX_STIMULI + 2, MAX_TARGETS + 2)
    save_examples(tmp_path, IDENTITY, given, maps, class_names=CLASS_NAMES)
    (loaded,) = load_examples(tmp_path)
    assert loaded.maps.shape == (MAX_STIMULI, MAX_TARGETS, SIDE, SIDE)
    assert loaded.stimulus_ids == tuple(s.stimulus_id for s in given[:MAX_STIMULI])
    assert loaded.rgba is None


def test_the_same_examples_give_the_same_bytes(tmp_path):
    for name in ("a", "b"):
        save_examples(tmp_path / name, IDENTITY, stimuli(2, 2), maps_of(2, 2), class_names=CLASS_NAMES)
    first, second = (examples_path(tmp_path / name, IDENTITY).read_bytes() for name in ("a", "b"))
    assert first == second


def test_saving_again_replaces_and_leaves_no_other_file(tmp_path):
    for seed in (1, 2):
        path = save_examples(tmp_path, IDENTITY, stimuli(1, 2), maps_of(1, 2, seed=seed), class_names=CLASS_NAMES)
    assert [file for file in tmp_path.rglob("*") if file.is_file()] == [path]
    assert np.allclose(load_examples(tmp_path)[0].maps, maps_of(1, 2, seed=2), atol=2e-3)


def test_the_path_is_readable_for_plain_names():
    path = examples_path(
        Path("out"), ExampleIdentity("shapes", "resnet18", "ab12", "single", MethodFacts("lime", (("n", 4),)))
    )
    assert path == Path("out/examples/shapes/resnet18-ab12/single/lime(n=4).npz")


def test_names_that_are_no_file_names_stay_apart_and_inside_the_folder():
    names = ["../../x", "..", "a/b", "a:b", "a-b", "a b"]
    paths = [examples_path(Path("out"), ExampleIdentity(n, "m", "w", "single", MethodFacts(n))) for n in names]
    assert len(set(paths)) == len(names)
    assert all(len(path.parts) == 6 and ".." not in path.parts for path in paths)


def test_a_run_without_examples_has_none(tmp_path):
    assert load_examples(tmp_path) == ()


def test_no_stimuli_is_an_error(tmp_path):
    with pytest.raises(ValueError, match=r"^examples_of got no stimuli; give at least one\.$"):
        save_examples(tmp_path, IDENTITY, [], maps_of(0, 2), class_names=CLASS_NAMES)


def damaged_message(path):
    message = (
        f"'{path}' is damaged or no file of examples; delete it to draw without it, "
        "or make it again by `bcos-eval run` with another --out."
    )
    return f"^{re.escape(message)}$"


def rewrite(path, **changes):
    arrays = {**load_arrays(path), **changes}
    save_arrays(path, {key: value for key, value in arrays.items() if value is not None})


@pytest.fixture
def stored_path(tmp_path):
    return save_examples(tmp_path, IDENTITY, stimuli(2, 2), maps_of(2, 2), class_names=CLASS_NAMES)


@pytest.mark.parametrize("kept", [0, 10, 500])
def test_a_file_that_is_cut_short_is_named(stored_path, kept):
    stored_path.write_bytes(stored_path.read_bytes()[:kept])
    with pytest.raises(InputError, match=damaged_message(stored_path)):
        load_examples(stored_path.parents[4])


def test_a_file_with_a_flipped_byte_is_named(stored_path):
    content = bytearray(stored_path.read_bytes())
    content[len(content) // 2] ^= 0xFF
    stored_path.write_bytes(content)
    with pytest.raises(InputError, match=damaged_message(stored_path)):
        load_example_file(stored_path)


@pytest.mark.parametrize(
    "changes",
    [
        {"maps": None},
        {"method": None},
        {"images": np.zeros((2, SIDE, SIDE, 4), np.uint8)},
        {"maps": np.zeros((2, SIDE), np.float16)},
        {"stimulus_ids": np.array(["one"])},
        {"class_names": np.array(["cat", "dog"])},
        {"rgba": np.zeros((2, 1, SIDE, SIDE, 4), np.uint8)},
    ],
)
def test_a_file_with_other_arrays_is_named(stored_path, changes):
    rewrite(stored_path, **changes)
    with pytest.raises(InputError, match=damaged_message(stored_path)):
        load_example_file(stored_path)


def test_a_pickle_is_never_loaded(stored_path):
    with np.load(stored_path) as stored:
        arrays = {**stored, "version": np.array(1)}
    np.savez(stored_path, **{**arrays, "class_names": np.array([["cat", {"dog": 1}]], dtype=object)})
    with pytest.raises(InputError, match=damaged_message(stored_path)):
        load_example_file(stored_path)


def test_another_version_is_named(stored_path):
    rewrite(stored_path, version=np.array(99))
    message = (
        f"'{stored_path}' has version 99, this one reads 2; delete it to draw without it, "
        "or make it again by `bcos-eval run` with another --out."
    )
    with pytest.raises(InputError, match=f"^{re.escape(message)}$"):
        load_example_file(stored_path)
