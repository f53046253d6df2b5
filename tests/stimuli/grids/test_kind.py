from __future__ import annotations

import re

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from bcos_eval.errors import IncompatibleError
from bcos_eval.models.registry import model_info
from bcos_eval.stimuli.grids.kind import GridKind
from bcos_eval.stimuli.grids.rule import GRID_RULES
from bcos_eval.user_code.network import UserModel

IXG = ("ixg", {})


class OneSize(nn.Module):
    """Takes images of 8 pixels only, as a transformer with learned position codes does."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(3 * 8 * 8, 4)

    def forward(self, images):
        if images.shape[-1] != 8:
            raise ValueError("8 pixels only")
        return self.layer(images.flatten(1))


def user_model(module=None, side=8):
    return UserModel(
        module or OneSize(),
        name="mine",
        num_classes=4,
        input_size=side,
        encode=nn.Identity(),
        probability="softmax",
    )


@pytest.mark.parametrize(
    ("view", "n", "side", "method", "message"),
    [
        (
            "rescaled", 3, 8, IXG,
            "metric 'grid_pg' scales 3×3 cells to the 8 pixels of 'mine', which 3 does not divide; use --param "
            "grid_pg.n=2.",
        ),
        (
            "strided", 2, 7, IXG,
            "metric 'grid_pg' moves windows by half a cell and 'mine' has cells of 7 pixels; use "
            "grid_pg/rescaled.",
        ),
        (
            "strided_padded", 2, 7, IXG,
            "metric 'grid_pg' moves windows by half a cell and 'mine' has cells of 7 pixels; use "
            "grid_pg/rescaled.",
        ),
        (
            "dipart", 2, 8, IXG,
            "metric 'grid_pg' cuts the last spatial features and 'mine' has no features() and head(); add them, "
            "or use difull.",
        ),
        (
            "difull", 2, 8, ("gradcam", {"layer": "layer"}),
            "metric 'grid_pg' stitches features of cells, which is known for the last ones only; leave out "
            "--param gradcam.layer, or use dipart.",
        ),
    ],
)  # fmt: skip
def test_what_cannot_be_shown_in_a_view_is_refused(view, n, side, method, message):
    with pytest.raises(IncompatibleError, match=f"^{re.escape(message)}$"):
        GridKind("bcos_v2", n, view=view).check(user_model(side=side), *method, "grid_pg")


@pytest.mark.parametrize("view", ["plain", "rescaled", "strided", "strided_padded", "difull"])
def test_a_network_of_one_even_size_can_be_shown_parts(view):
    GridKind("bcos_v2", 2, view=view).check(user_model(), *IXG, "grid_pg")


def test_a_network_of_one_size_is_refused_whole_grids_and_told_what_to_use():
    message = (
        "model 'mine' does not take 2×2 grids of 16×16 pixels (8 pixels only); use grid_pg/rescaled, "
        "grid_pg/bcosification_strided or grid_pg/aloe_strided, which show it 8×8."
    )
    with pytest.raises(IncompatibleError, match=f"^{re.escape(message)}$"):
        GridKind("bcos_v2", 2).check_size(user_model(), torch.device("cpu"))


@pytest.mark.parametrize("view", ["rescaled", "strided", "strided_padded", "difull"])
def test_a_network_of_one_size_is_not_tried_where_it_is_shown_its_size(view):
    GridKind("bcos_v2", 2, view=view).check_size(user_model(), torch.device("cpu"))


class Attends(OneSize):
    """With attention of torch's own, as torchvision's transformers have."""

    def __init__(self):
        super().__init__()
        self.attention = nn.MultiheadAttention(4, 1)


def test_readers_are_told_that_a_transformer_is_shown_larger_images_than_it_knows():
    kind = GridKind("bcos_v2", 3)
    assert kind.caution(user_model(Attends()), "grid_pg/bcos_v2") == (
        "the transformer 'mine' is shown whole grids of 24 pixels a side and was trained on 8: its grid_pg "
        "measures that, too. To compare it with others, use grid_pg/bcosification_strided or "
        "grid_pg/aloe_strided, which show it images of its own size."
    )
    # Once for all presets that show it so.
    assert kind.caution(user_model(Attends()), "grid_pg/how_to_probe") == kind.caution(
        user_model(Attends()), "grid_pg/bcos_v2"
    )
    assert kind.caution(user_model(), "grid_pg/bcos_v2") == ""
    assert GridKind("bcos_v2", 2, view="strided").caution(user_model(Attends()), "grid_pg/aloe_strided") == ""


@pytest.mark.parametrize("name", ["bcos_vitc_ti_patch1_14", "vitc_ti_patch1_14", "vit_b_16", "swin_t", "maxvit_t"])
def test_transformers_are_known_by_their_modules(name):
    with torch.device("meta"):
        network = model_info(name).build("imagenet", 1000)
    assert GridKind("bcos_v2", 2).caution(network, "grid_pg/bcos_v2")


@pytest.mark.parametrize(
    "name", ["resnet18", "bcos_densenet121", "convnext_tiny", "efficientnet_b0", "mobilenet_v2"]
)
def test_convolutional_networks_are_no_transformers(name):
    with torch.device("meta"):
        network = model_info(name).build("imagenet", 1000)
    assert GridKind("bcos_v2", 2).caution(network, "grid_pg/bcos_v2") == ""


@settings(max_examples=60)
@given(rule=st.sampled_from(sorted(GRID_RULES)), n=st.integers(2, 60), n_classes=st.integers(1, 60))
def test_too_few_classes_are_refused_before_an_image_is_read_and_the_advice_is_allowed(rule, n, n_classes):
    class Labels:
        name = "toy"
        labels = list(range(n_classes)) * 2  # no images: reading one fails

    needed = {"rao2022_repeat_corners": -1, "bcos_v2": 1, "bcos_v2_blockwise": 1}.get(rule, 0)
    fitting = [size for size in range(2, n + 1) if size**2 + needed <= n_classes]
    if fitting[-1:] == [n]:
        GridKind(rule, n).check_classes(Labels())
        return
    with pytest.raises(IncompatibleError) as caught:
        GridKind(rule, n).check_classes(Labels())
    advice = f"a smaller grid (--param METRIC.n={fitting[-1]}) or " if fitting else ""
    assert str(caught.value) == (
        f"no {n}×{n} grid can be filled: it takes images of {n * n + needed} classes and dataset 'toy' has "
        f"{n_classes}; use {advice}another dataset."
    )
