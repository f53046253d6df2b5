from __future__ import annotations

import pytest
import torch
from torch import nn

from bcos_eval.errors import InputError
from bcos_eval.models.weights_file import state_digest
from bcos_eval.user_code.network import UserModel, choose_device


def user_model(network, **given):
    return UserModel(network, name="mine", num_classes=6, input_size=8, **given)


def linear():
    return nn.Sequential(nn.Flatten(), nn.Linear(3 * 8 * 8, 6))


def test_encode_and_probability_may_be_given():
    model = user_model(linear(), encode=lambda images: images - 0.5, probability="softmax")
    assert torch.equal(model.encode(torch.ones(1, 3, 8, 8)), torch.full((1, 3, 8, 8), 0.5))
    assert model.probability(torch.zeros(1, 4)).tolist() == [[0.25] * 4]
    sigmoid = user_model(linear(), encode=lambda images: images, probability="sigmoid")
    assert sigmoid.probability(torch.zeros(1, 4)).tolist() == [[0.5] * 4]


def test_a_network_of_the_suite_brings_its_own(toy_network):
    network = toy_network(is_bcos=True)
    model = user_model(network)
    images = torch.rand(2, 3, 8, 8)
    assert torch.equal(model(model.encode(images)), network(network.encode(images)))
    features = model.features(model.encode(images))
    assert torch.equal(model.head(features), model(model.encode(images)))


def test_a_network_without_encode_or_probability_is_an_error():
    with pytest.raises(InputError) as caught:
        user_model(linear(), probability="softmax")
    assert str(caught.value) == "the model Sequential has no 'encode'; give evaluate(encode=…), a function."
    with pytest.raises(InputError) as caught:
        user_model(linear(), encode=lambda images: images)
    assert (
        str(caught.value) == "the model Sequential has no 'probability'; give evaluate(probability=…), a function."
    )
    with pytest.raises(InputError) as caught:
        user_model(linear(), encode=lambda images: images, probability="softmin")
    assert str(caught.value) == "unknown probability 'softmin'; did you mean softmax?"


def test_layers_keep_the_names_their_owner_knows():
    model = user_model(linear(), encode=lambda images: images, probability="softmax")
    assert [name for name, _ in model.named_modules()] == ["", "0", "1"]
    assert len(list(model.parameters())) == 2


def test_the_digest_changes_with_every_parameter_buffer_and_name():
    torch.manual_seed(0)
    network = nn.BatchNorm2d(3)
    digests = {state_digest(network)}
    network.weight.data[0] = 2
    digests.add(state_digest(network))
    network.running_mean[1] = 2
    digests.add(state_digest(network))
    network.num_batches_tracked += 1
    digests.add(state_digest(network))
    digests.add(state_digest(nn.Sequential(network)))
    assert len(digests) == 5
    assert state_digest(network) == state_digest(network)


def test_the_digest_does_not_depend_on_how_the_weights_lie_in_memory():
    network = nn.Conv2d(3, 4, 3)
    before = state_digest(network)
    network.to(memory_format=torch.channels_last)
    assert state_digest(network) == before


def test_a_device_that_does_not_exist_is_an_error():
    assert choose_device("cpu") == torch.device("cpu")
    with pytest.raises(InputError, match=r"^--device 'gpu' cannot be used \(.*\); give auto, cpu or cuda\.$"):
        choose_device("gpu")
