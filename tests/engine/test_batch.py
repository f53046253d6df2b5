from __future__ import annotations

import pytest
import torch

from bcos_eval.bcos import explanation_mode, for_gradients
from bcos_eval.contract.pass_size import memory_class_of
from bcos_eval.contract.stimulus import Stimulus
from bcos_eval.engine.batch import BatchLimit, pixels_of_card
from bcos_eval.errors import InputError
from bcos_eval.models import load_model

CPU = torch.device("cpu")


def stimulus(number=0, side=8, n_targets=1):
    return Stimulus(
        stimulus_id=f"single/{number}",
        image=torch.zeros(3, side, side),
        targets=torch.zeros(n_targets, dtype=torch.int64),
        regions=torch.zeros(n_targets, side, side, dtype=torch.bool),
        sample_ids=("x",) * n_targets,
    )


def test_batches_keep_the_order_and_never_mix_shapes():
    given = [stimulus(0), stimulus(1), stimulus(2), stimulus(3, side=4), stimulus(4, n_targets=2), stimulus(5)]
    batches = list(BatchLimit(2, CPU).batches(given))
    ids = [[one.stimulus_id[-1] for one in batch] for batch in batches]
    assert ids == [["0", "1"], ["2"], ["3"], ["4"], ["5"]]


def test_the_automatic_size_shrinks_with_the_image():
    limit = BatchLimit(None, CPU)
    assert limit.size(stimulus(side=64)) == 64
    assert limit.size(stimulus(side=256)) == 4
    assert limit.size(stimulus(side=1024)) == 1


@pytest.mark.parametrize(
    ("gib", "expected"),
    # Cards as torch reports them: 8, 11, 16, 24, 40, 80 and 141 GB.
    [(7.8, 8), (10.75, 8), (15.8, 16), (23.6, 16), (39.4, 32), (79.1, 64), (139.8, 128), (0.2, 1)],
)
def test_passes_of_a_card_depend_on_its_memory_class(gib, expected):
    assert pixels_of_card(memory_class_of(int(gib * 2**30))) == expected * 2**15


def test_a_batch_on_a_card_is_a_pass_of_its_class_whatever_is_free(monkeypatch):
    class Card:
        total_memory = int(79.1 * 2**30)

    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda _device: Card)
    limit = BatchLimit(None, torch.device("cuda", 0))
    assert [limit.size(stimulus(side=side)) for side in (64, 224, 672, 4096)] == [64, 41, 4, 1]
    assert BatchLimit(3, torch.device("cuda", 0)).size(stimulus(side=672)) == 3


@pytest.mark.slow
@pytest.mark.parametrize(("model", "most"), [("bcos_resnet50", 2**10), ("bcos_vitc_l_patch1_14", 2**14)])
def test_a_pixel_gets_twice_the_memory_that_graphs_keep_of_it(model, most):
    network = load_model(model, "random", "imagenet")
    twin, x = for_gradients(network, network.encode(torch.rand(1, 3, 224, 224)))
    weights = {own.untyped_storage().data_ptr() for own in (*twin.parameters(), *twin.buffers())}
    kept = {}

    def keep(tensor):
        kept[tensor.untyped_storage().data_ptr()] = tensor
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor), explanation_mode(twin):
        twin(x)
    n_bytes = sum(one.untyped_storage().nbytes() for place, one in kept.items() if place not in weights)
    assert most / 2 < n_bytes / 224**2 < most
    assert 2 * most <= 2**30 / pixels_of_card(1)


class Memory:
    """Work that fits only batches up to a size."""

    def __init__(self, fits, error):
        self.fits, self.error, self.tried = fits, error, []

    def __call__(self, batch):
        self.tried.append(len(batch))
        if len(batch) > self.fits:
            raise self.error
        return [one.stimulus_id for one in batch]


@pytest.mark.parametrize(
    "error",
    [
        torch.cuda.OutOfMemoryError("CUDA out of memory."),
        RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to allocate 1 bytes."),
        MemoryError(),
    ],
)
def test_a_batch_that_does_not_fit_is_halved_and_later_ones_are_smaller(error):
    limit, memory = BatchLimit(8, CPU), Memory(2, error)
    stimuli = [stimulus(number) for number in range(16)]
    done = [name for batch in limit.batches(stimuli) for name in limit.apply(memory, batch)]
    assert done == [one.stimulus_id for one in stimuli]
    assert memory.tried == [8, 4, 2, 2, 4, 2, 2, 2, 2, 2, 2]


def test_a_single_stimulus_that_does_not_fit_is_an_error():
    limit = BatchLimit(1, CPU)
    with pytest.raises(InputError) as caught:
        limit.apply(Memory(0, MemoryError()), [stimulus(side=64)])
    assert str(caught.value) == (
        "out of memory on cpu with a single image of 64×64 pixels; use smaller grids (--param grid_pg.n=2), "
        "a smaller model or another --device."
    )


def test_other_errors_pass_through():
    with pytest.raises(RuntimeError, match=r"^shapes do not match$"):
        BatchLimit(4, CPU).apply(Memory(0, RuntimeError("shapes do not match")), [stimulus(), stimulus()])
