from __future__ import annotations

import pytest
import torch

from bcos_eval.bcos import contribution_map, linear_summary, target_gradients
from bcos_eval.errors import InputError
from bcos_eval.models.registry import model_info
from bcos_eval.models.vit import Patches, position_codes

NAMES = ["bcos_simple_vit_ti_patch16_224", "bcos_vitc_ti_patch1_14"]
TARGETS = torch.tensor([[0, 3, 5], [1, 2, 7]])


@pytest.fixture(scope="module", params=NAMES)
def case(request):
    torch.manual_seed(1)
    model = model_info(request.param).build("small", 9).eval().double().requires_grad_(False)
    return model, model.encode(torch.rand(2, 3, 64, 96, dtype=torch.float64))


def test_map_position_term_and_bias_sum_to_the_logit(case):
    model, encoded = case
    maps = contribution_map(linear_summary(model, encoded, TARGETS), encoded[:, None])
    term = model.position_term(encoded, TARGETS)
    with torch.no_grad():
        logits = model(encoded).gather(1, TARGETS)
    torch.testing.assert_close(maps.sum((2, 3)) + term + model.logit_bias, logits, rtol=1e-9, atol=0)
    assert float(term.abs().min()) > 1e-6


def test_plain_input_times_gradient_gives_another_map(case):
    model, encoded = case
    maps = contribution_map(linear_summary(model, encoded, TARGETS), encoded[:, None])
    x = encoded.clone().requires_grad_()
    plain = contribution_map(target_gradients(model(x), x, TARGETS), encoded[:, None])
    difference = (plain - maps).flatten(2).norm(dim=2) / maps.flatten(2).norm(dim=2)
    assert float(difference.min()) > 0.3


def test_features_are_the_tokens_laid_out_as_the_patches(case):
    model, encoded = case
    with torch.no_grad():
        features = model.features(encoded)
        assert features.shape == (2, 96, 8, 12)
        assert torch.equal(model.head(features), model(encoded))
        tokens = model.network.embed(encoded)
        spatial = (tokens + position_codes(tokens)).permute(0, 3, 1, 2)
        flat = model.network.transformer((tokens + position_codes(tokens)).flatten(1, 2))
    assert features.shape == spatial.shape
    torch.testing.assert_close(features[0, :, 2, 5], flat[0, 2 * 12 + 5])


def test_position_codes_are_sines_of_column_and_row():
    codes = position_codes(torch.zeros(1, 3, 4, 8))
    column, row = 3, 2
    expected = [
        *(
            f(p / 10_000**e)
            for p in (column, row)
            for f in (torch.sin, torch.cos)
            for e in torch.tensor([0.0, 1.0])
        )
    ]
    torch.testing.assert_close(codes[row, column], torch.stack(expected))


def test_patches_hold_their_pixels_row_by_row_channels_last():
    maps = torch.arange(2 * 4 * 6.0).view(1, 2, 4, 6)
    patches = Patches(2)(maps)
    assert patches.shape == (1, 2, 3, 8)
    for row in range(2):
        for column in range(3):
            patch = maps[0, :, 2 * row : 2 * row + 2, 2 * column : 2 * column + 2]
            assert torch.equal(patches[0, row, column], patch.permute(1, 2, 0).flatten())


def test_images_that_patches_do_not_tile_are_refused():
    with pytest.raises(InputError) as caught:
        Patches(16)(torch.zeros(1, 3, 64, 60))
    assert str(caught.value) == (
        "images of 64×60 pixels cannot be cut into patches of 16×16; resize them to multiples of 16"
    )


@pytest.mark.slow
@pytest.mark.parametrize("side", [448, 672])
@pytest.mark.parametrize("name", ["bcos_simple_vit_ti_patch16_224", "vitc_ti_patch1_14"])
def test_grids_of_native_cells_are_taken(name: str, side: int):
    model = model_info(name).build("imagenet", 10).eval()
    with torch.no_grad():
        features = model.features(model.encode(torch.rand(1, 3, side, side)))
    assert features.shape[2:] == (side // 16, side // 16)
