from __future__ import annotations

import gc
import weakref
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from torch import nn

from bcos_eval import explain, load_model
from bcos_eval.bcos import DynamicLinear
from bcos_eval.contract.network_state import evaluating, exclusive, forward_hooks, frozen
from bcos_eval.errors import InputError


def network():
    return nn.Sequential(nn.Conv2d(3, 2, 1), nn.BatchNorm2d(2), nn.Dropout(), nn.Flatten())


def test_threads_that_share_a_network_get_the_maps_they_would_get_alone():
    model = load_model("bcos_resnet18", weights="random", dataset="shapes")
    images = torch.rand(12, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    work = [(method, place) for place in range(12) for method in ("bcos", "ixg")]

    def one(job):
        method, place = job
        return explain(model, images[place : place + 1], [1], method)

    alone = [one(job) for job in work]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(one, work))
    assert all(torch.equal(one, other) for one, other in zip(alone, together, strict=True))
    assert not any(module.explaining for module in model.modules() if isinstance(module, DynamicLinear))


def test_modes_and_gradients_are_put_back_after_an_exception():
    model = network()
    model[1].eval()
    model[0].weight.requires_grad_(False)
    before = [module.training for module in model.modules()]
    inside = []

    def fail():
        with frozen(model):
            inside.extend(module.training for module in model.modules())
            inside.extend(parameter.requires_grad for parameter in model.parameters())
            raise RuntimeError("inside")

    with pytest.raises(RuntimeError, match=r"^inside$"):
        fail()
    assert not any(inside)
    assert [module.training for module in model.modules()] == before
    assert [p.requires_grad for p in model.parameters()] == [False, True, True, True]


def test_a_train_method_of_ones_own_cannot_keep_a_module_from_its_mode():
    class Stubborn(nn.Dropout):
        def train(self, mode=True):
            return super().train(False)

    model = nn.Sequential(Stubborn())
    model[0].training = True
    with evaluating(model):
        assert not model[0].training
    assert model[0].training


def test_hooks_see_passes_of_their_own_thread_alone():
    model, seen = network().eval(), []
    with forward_hooks([model[0]], lambda *_: seen.append(1)), ThreadPoolExecutor(1) as pool:
        pool.submit(model, torch.rand(1, 3, 2, 2)).result()
        assert seen == []
        model(torch.rand(1, 3, 2, 2))
    assert seen == [1]


def test_a_lock_does_not_keep_a_network_alive():
    model = network()
    with exclusive(model), exclusive(nn.Sequential(model)):
        pass
    gone = weakref.ref(model)
    del model
    gc.collect()
    assert gone() is None


def test_weights_made_in_inference_mode_are_refused():
    with torch.inference_mode():
        model = network().requires_grad_(False).eval()
    with pytest.raises(InputError) as caught, frozen(model):
        pass
    assert str(caught.value) == (
        "the weights of 'Sequential' were made inside torch.inference_mode(), where torch takes no gradients; "
        "make or load the network outside of it."
    )
