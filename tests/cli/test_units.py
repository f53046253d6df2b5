from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

import bcos_eval
from bcos_eval.bcos import unit_activations
from bcos_eval.cli.main import main
from bcos_eval.data import load_dataset
from bcos_eval.store.examples import load_examples


@pytest.fixture
def call(capsys):
    def caller(*arguments):
        with pytest.raises(SystemExit) as stopped:
            main([str(argument) for argument in arguments])
        captured = capsys.readouterr()
        return stopped.value.code, captured.out, captured.err

    return caller


def test_the_images_with_the_largest_activations_are_kept_and_drawn(call, tmp_path):
    out = tmp_path / "runs"
    asked = ("--model", "bcos_resnet18", "--unit", "layer4.1:37", "--samples", 40, "--top", 3)
    code, text, _ = call("units", *asked, "--out", out)
    assert code == 0
    assert text.split() == [
        str(out / "hidden_units" / f"units-shapes-bcos_resnet18{end}") for end in (".pdf", ".png", ".txt")
    ]
    (kept,) = load_examples(out)
    network, dataset = bcos_eval.load_model("bcos_resnet18", dataset="shapes"), load_dataset("shapes", size=64)
    of_each = [
        float(unit_activations(network, network.encode(dataset[at].image[None]), ("layer4.1", 37), over="max")[0])
        for at in range(40)
    ]
    best = np.argsort(of_each)[::-1][:3]
    assert kept.stimulus_ids == tuple(f"single/{dataset.sample_ids[at]}" for at in best)
    np.testing.assert_allclose(kept.maps.sum((1, 2, 3)), np.array(of_each)[best], rtol=0.02)


def test_explain_draws_units_in_the_place_of_classes(call, tmp_path):
    picture, out = tmp_path / "a.png", tmp_path / "explained.png"
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8)).save(picture)
    asked = ("explain", picture, "--model", "bcos_resnet18", "--out", out)
    assert call(*asked, "--unit", "layer4.1:37,conv1:0")[0] == 0
    assert out.is_file()
    assert call(*asked, "--unit", "layer4.1")[2] == (
        "error: --unit 'layer4.1' is not of the form LAYER:CHANNEL, for example layer4.1:37.\n"
    )
    assert call(*asked, "--unit", "conv1:0", "--target", "0")[2] == (
        "error: --unit is explained by the method bcos alone; leave --method, --target and --param out.\n"
    )
