from __future__ import annotations

from textwrap import dedent

import pytest
import torch
from torch import nn

from bcos_eval.errors import InputError
from bcos_eval.models import load_model
from bcos_eval.user_code.file import parse_reference
from bcos_eval.user_code.model import load_user_model, make_module, models_named

NETS = """
    import torch
    from torch import nn

    def plain(width=4):
        return nn.Sequential(nn.Conv2d(3, width, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(width, 5))

    class Full(nn.Module):
        input_size = 12
        class_names = ["a", "b", "c", "d", "e"]

        def __init__(self):
            super().__init__()
            self.net = plain()

        def encode(self, images):
            return 2 * images

        def probability(self, logits):
            return logits.sigmoid()

        def forward(self, encoded):
            return self.net(encoded)

    ready = plain()

    def bcos():
        from bcos_eval import bcosify
        return nn.Sequential(bcosify(plain()))

    def shipped():
        from bcos_eval import load_model
        return load_model("bcos_resnet18", weights="random", dataset="shapes")

    def spatial():
        return nn.Conv2d(3, 4, 3)

    def needs(width, *, depth):
        return plain()

    def number():
        return 3

    def fails():
        raise OSError("no such\\nweights")

    path = "text"
"""


@pytest.fixture
def nets(tmp_path):
    """A file with factories."""
    path = tmp_path / "nets.py"
    path.write_text(dedent(NETS))
    return path


@pytest.fixture
def load(nets):
    """Loads a model of that file and returns it with the notes."""

    def start(name, weights=None):
        notes = []
        network = load_user_model(
            f"{nets}:{name}",
            weights=weights,
            image_side=lambda: 16,
            device=torch.device("cpu"),
            note=notes.append,
        )
        return network, notes

    return start


def refusal(function, *arguments):
    with pytest.raises(InputError) as caught:
        function(*arguments)
    return str(caught.value)


def test_names_in_tables_are_those_of_file_and_factory():
    assert models_named(["vgg11_bnu", "a/net.py:f", "a/net.py:f"]) == (
        ("vgg11_bnu", "net.f"),
        {"net.f": "a/net.py:f"},
    )


def test_two_files_of_one_name_are_refused():
    message = refusal(models_named, ["a/net.py:f", "b/net.py:f"])
    assert message == "models 'a/net.py:f' and 'b/net.py:f' are both called net.f; rename one of the files."


def test_a_network_that_says_what_it_is_is_believed(load):
    network, notes = load("Full")
    assert (network.name, network.num_classes, network.input_size) == ("nets.Full", 5, 12)
    assert network.class_names == ("a", "b", "c", "d", "e")
    assert notes == []
    images = torch.rand(1, 3, 12, 12)
    torch.testing.assert_close(network.encode(images), 2 * images)
    torch.testing.assert_close(network.probability(torch.zeros(1, 5)), torch.full((1, 5), 0.5))
    assert not network.training
    assert not any(parameter.requires_grad for parameter in network.parameters())


def test_what_a_plain_network_does_not_say_is_assumed_and_noted(load):
    network, notes = load("plain")
    assert (network.num_classes, network.input_size, network.is_bcos) == (5, 16, False)
    assert network.class_names == ("0", "1", "2", "3", "4")
    assert notes == [
        "nets.plain has no encode(images); it is shown images in [0, 1] as they are.",
        "nets.plain has no probability(logits); softmax is taken.",
    ]
    torch.testing.assert_close(network.probability(torch.zeros(1, 5)).sum(), torch.tensor(1.0))


def test_a_bcos_network_without_encode_is_shown_six_channels(load):
    network, notes = load("bcos")
    assert network.is_bcos
    assert notes == [
        "nets.bcos has no encode(images); it is shown images in [0, 1] as [x, 1 − x].",
        "nets.bcos has no probability(logits); sigmoid is taken.",
    ]
    assert network.encode(torch.zeros(1, 3, 4, 4)).sum() == 48


def test_a_network_of_the_suite_keeps_its_parts(load):
    network, notes = load("shipped")
    assert notes == []
    assert network.class_names == load_model("bcos_resnet18", dataset="shapes").class_names
    encoded = network.encode(torch.rand(1, 3, 64, 64))
    torch.testing.assert_close(network.head(network.features(encoded)), network(encoded))


def test_a_module_that_is_there_needs_no_factory(load):
    assert load("ready")[0].num_classes == 5


def test_fresh_weights_are_the_same_every_time_and_the_callers_draws_too(nets):
    torch.manual_seed(1)
    expected = torch.rand(3)
    torch.manual_seed(1)
    first, second = (make_module(parse_reference(f"{nets}:plain")).state_dict() for _ in range(2))
    assert all(torch.equal(first[key], second[key]) for key in first)
    assert torch.equal(torch.rand(3), expected)


def test_weights_and_code_are_both_part_of_the_identity(load, nets, tmp_path):
    first = load("Full")[0].weights_id
    assert load("Full")[0].weights_id == first
    state = {key: value + 1 for key, value in make_module(parse_reference(f"{nets}:Full")).state_dict().items()}
    torch.save(state, tmp_path / "full.pth")
    assert load("Full", str(tmp_path / "full.pth"))[0].weights_id != first
    nets.write_text(nets.read_text().replace("return 2 * images", "return 3 * images"))
    assert load("Full")[0].weights_id != first


def test_a_weights_file_is_loaded_strictly_and_as_data_only(load, tmp_path):
    good, other, bad = tmp_path / "good.pth", tmp_path / "other.pth", tmp_path / "bad.pth"
    state = {key: torch.full_like(value, 0.5) for key, value in load("plain")[0].network.state_dict().items()}
    torch.save({"state_dict": {f"module.{key}": value for key, value in state.items()}}, good)
    loaded = load("plain", str(good))[0].network.state_dict()
    assert all(torch.equal(loaded[key], state[key]) for key in state)
    torch.save(nn.Linear(2, 2).state_dict(), other)
    assert refusal(load, "plain", str(other)) == (
        f"{other} does not fit Sequential: 4 missing (0.weight, 0.bias, 3.weight, …); 2 unexpected (weight, "
        "bias); pass the --model that these weights belong to"
    )
    torch.save({"0.weight": print}, bad)
    assert refusal(load, "plain", str(bad)).startswith(f"{bad} cannot be read as weights (")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("needs", "the factory '{nets}:needs' needs arguments (width, depth); give them defaults."),
        ("number", "the factory '{nets}:number' returned int; return an nn.Module."),
        ("fails", "the factory '{nets}:fails' raised OSError: no such weights (line 45)."),
        ("path", "'{nets}:path' is of type str; give a function that returns an nn.Module."),
        ("plan", "unknown model in {nets} 'plan'; did you mean plain?"),
        (
            "spatial",
            "the network of 'nets.spatial' gives (1, 4, 14, 14) for one image; it must give logits (B, C): "
            "average or flatten them.",
        ),
    ],
)
def test_what_cannot_be_evaluated_is_refused_in_one_line(load, nets, name, message):
    assert refusal(load, name) == message.format(nets=nets)


def test_random_weights_are_the_factorys_business(load, nets):
    message = refusal(load, "plain", "random")
    assert message == f"--weights random: '{nets}:plain' comes with the weights its factory makes; leave it out."
