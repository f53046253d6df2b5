from __future__ import annotations

import pytest
import torch
from torch import nn

from bcos_eval.contract.plugins import find_explainer
from bcos_eval.models import load_model
from bcos_eval.stimuli.grids.kind import GridKind
from bcos_eval.stimuli.network_views import CellNetwork, MaskedInput, PartNetwork
from bcos_eval.stimuli.windows import explain_padded_windows, explain_windows, window_slices

SIDE = 64
GRADIENT_METHODS = {"bcos_resnet18": ("bcos", "ixg", "grad"), "resnet18": ("ixg", "grad", "gb", "intgrad")}


def explainer(name, **params):
    return lambda network, images, targets: torch.cat(
        [find_explainer(name)(network, i, k, **params) for i, k in zip(images.split(1), targets.split(1))]  # noqa: B905
    )


def grids(n, count=1, side=SIDE):
    return torch.rand(count, 3, n * side, n * side, generator=torch.Generator().manual_seed(n))


@pytest.fixture(scope="module")
def network():
    loaded = {}

    def load(name):
        if name not in loaded:
            loaded[name] = load_model(name, weights="random", dataset="shapes")
        return loaded[name]

    return load


def kind(view, n=2):
    return GridKind("rao2022", n, view=view)


def explain_in_view(explain, network, kind, images, targets):
    return kind.explain(explain, network, images, targets)


# --- windows ---------------------------------------------------------------------------------------------------


def ones_in_window(network, images, targets):
    return torch.ones(*targets.shape, *images.shape[-2:])


@pytest.mark.parametrize(("n", "n_windows"), [(2, 9), (3, 25)])
def test_windows_without_padding_start_and_end_at_the_border(n, n_windows):
    windows = list(window_slices(n * 8, 8))
    assert len(windows) == n_windows
    assert windows[0][1:] == (slice(0, 8), slice(0, 8))
    assert windows[-1][1:] == (slice(n * 8 - 8, n * 8),) * 2


def test_a_grid_of_448_pixels_with_padding_has_25_windows_and_each_pixel_is_in_four():
    images = torch.zeros(1, 3, 448, 448)
    calls = []

    def counting(network, window, targets):
        calls.append(window.shape)
        return ones_in_window(network, window, targets)

    maps = explain_padded_windows(counting, ToyView(), images, torch.zeros(1, 4, dtype=torch.int64), 2)
    assert calls == [(1, 3, 224, 224)] * 25
    assert torch.equal(maps, torch.full((1, 4, 448, 448), 4.0))


def test_maps_of_windows_without_padding_are_divided_by_their_coverage():
    maps = explain_windows(
        ones_in_window, None, torch.zeros(2, 3, 16, 16), torch.zeros(2, 4, dtype=torch.int64), 2
    )
    assert torch.equal(maps, torch.ones(2, 4, 16, 16))


def test_windows_without_padding_equal_the_definition_in_loops():
    images = torch.rand(1, 3, 12, 12, generator=torch.Generator().manual_seed(0))

    def edge_weighted(network, window, targets):
        return (window.sum(1, keepdim=True) * torch.arange(6.0)).expand(-1, targets.shape[1], -1, -1)

    maps = explain_windows(edge_weighted, None, images, torch.zeros(1, 1, dtype=torch.int64), 2)
    for i in range(12):
        for j in range(12):
            offsets = [j - left for left in (0, 3, 6) if 0 <= j - left < 6]
            expected = images[0, :, i, j].sum() * sum(offsets) / len(offsets)
            assert maps[0, 0, i, j] == pytest.approx(float(expected), abs=1e-5)


def test_windows_of_an_odd_side_are_refused():
    with pytest.raises(ValueError, match=r"^windows of 7 pixels have no half; give cells of an even side\.$"):
        list(window_slices(14, 7))


class ToyView(nn.Module):
    """A network that returns the sum of its input; B-cos encoding."""

    def __init__(self):
        super().__init__()
        self.name, self.weights_id, self.is_bcos, self.num_classes, self.input_size = "toy", "1", True, 1, 8

    def encode(self, images):
        return torch.cat([images, 1 - images], 1)

    def probability(self, logits):
        return logits.sigmoid()

    def forward(self, encoded):
        return encoded.flatten(1).sum(1, keepdim=True)


def test_padding_is_zero_in_all_channels_of_the_encoded_input():
    seen = []

    def looking(view, window, targets):
        seen.append(view.encode(window))
        return ones_in_window(view, window, targets)

    images = torch.rand(1, 3, 16, 16)
    explain_padded_windows(looking, ToyView(), images, torch.zeros(1, 1, dtype=torch.int64), 2)
    padded = nn.functional.pad(ToyView().encode(images), [4] * 4)
    expected = [padded[..., top : top + 8, left : left + 8] for top in range(0, 17, 4) for left in range(0, 17, 4)]
    assert len(seen) == len(expected) == 25
    assert all(torch.equal(*pair) for pair in zip(seen, expected, strict=True))


def test_linear_summaries_of_padded_windows_equal_those_of_padded_inputs(network):
    model, images = network("bcos_resnet18"), grids(2)
    targets = torch.tensor([[0, 1]])
    maps = explain_in_view(explainer("bcos"), model, kind("strided_padded"), images, targets)
    padded = nn.functional.pad(model.encode(images), [32] * 4)
    expected = torch.zeros(1, 2, 192, 192)
    from bcos_eval.bcos import contribution_map, linear_summary

    for top in range(0, 129, 32):
        for left in range(0, 129, 32):
            window = padded[..., top : top + 64, left : left + 64]
            weights = linear_summary(model, window, targets)
            expected[..., top : top + 64, left : left + 64] += contribution_map(weights, window[:, None])
    expected = expected[..., 32:-32, 32:-32]
    # float32 sums of four windows
    torch.testing.assert_close(maps, expected, rtol=0, atol=1e-5 * float(expected.abs().max()))


@pytest.mark.parametrize("view", ["strided", "strided_padded"])
def test_a_network_that_takes_its_native_size_only_can_be_explained_through_windows(view):
    class Fixed(ToyView):
        def forward(self, encoded):
            if encoded.shape[-1] != 8:
                raise RuntimeError("native size only")
            return super().forward(encoded)

    maps = explain_in_view(explainer("ixg"), Fixed(), kind(view), torch.rand(1, 3, 16, 16), torch.tensor([[0]]))
    # Input × gradient of a sum is the encoded input, 3 in every pixel.
    torch.testing.assert_close(maps, torch.full((1, 1, 16, 16), 3.0 if view == "strided" else 12.0))


# --- disconnected cells ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["bcos_resnet18", "resnet18", "vitc_ti_patch1_14"])
def test_a_cell_s_network_gives_the_logits_of_the_cell_alone(name, network):
    model, images = network(name), grids(2)
    for row, column in ((0, 0), (1, 0), (1, 1)):
        view = CellNetwork(model, 2, row, column)
        cell = images[..., row * SIDE : (row + 1) * SIDE, column * SIDE : (column + 1) * SIDE]
        with torch.no_grad():
            expected = model(model.encode(cell))
            torch.testing.assert_close(view(view.encode(images)), expected)
            torch.testing.assert_close(view.head(view.features(view.encode(images))), expected)


@pytest.mark.parametrize("name", ["bcos_resnet18", "resnet18"])
def test_stitched_features_are_those_of_every_cell(name, network):
    model, images = network(name), grids(2)
    with torch.no_grad():
        stitched = CellNetwork(model, 2, 0, 0).features(model.encode(images))
        corner = model.features(model.encode(images[..., SIDE:, SIDE:]))
    assert stitched.shape[-1] == 2 * corner.shape[-1]
    torch.testing.assert_close(stitched[..., corner.shape[-2] :, corner.shape[-1] :], corner)


@pytest.mark.parametrize("name", ["bcos_resnet18", "resnet18"])
def test_dipart_s_head_sees_a_part_of_the_features_of_the_whole_grid(name, network):
    model, images = network(name), grids(2)
    view = PartNetwork(model, 2, 1, 1)
    with torch.no_grad():
        features = model.features(model.encode(images))
        half = features.shape[-1] // 2
        expected = model.head(features[..., half:, half:])
        torch.testing.assert_close(view(view.encode(images)), expected)


@pytest.mark.parametrize(
    ("name", "method"), [(name, method) for name, methods in GRADIENT_METHODS.items() for method in methods]
)
@pytest.mark.parametrize("n", [2, 3])
def test_gradient_maps_are_exactly_zero_outside_their_cell(name, method, n, network):
    params = {"n_steps": 2} if method == "intgrad" else {}
    images = grids(n)
    maps = explain_in_view(
        explainer(method, **params), network(name), kind("difull", n), images, torch.tensor([[1, 2]])
    )
    assert maps.shape == (1, 2, n * SIDE, n * SIDE)
    inside = torch.zeros_like(maps, dtype=torch.bool)
    inside[:, 0, :SIDE, :SIDE] = inside[:, 1, -SIDE:, -SIDE:] = True
    assert torch.equal(maps[~inside], torch.zeros_like(maps[~inside]))
    assert (maps[:, 0, :SIDE, :SIDE] > 0).any()
    assert (maps[:, 1, -SIDE:, -SIDE:] > 0).any()


@pytest.mark.parametrize(
    ("name", "method"), [("bcos_resnet18", "bcos"), ("resnet18", "ixg"), ("resnet18", "gradcam")]
)
def test_a_cell_s_gradient_map_is_the_map_of_the_cell_alone(name, method, network):
    model, images = network(name), grids(2)
    maps = explain_in_view(explainer(method), model, kind("difull"), images, torch.tensor([[1, 2]]))
    alone = find_explainer(method)(model, images[..., SIDE:, SIDE:], torch.tensor([[2]]))
    torch.testing.assert_close(maps[:, 1:, SIDE:, SIDE:], alone, rtol=0, atol=1e-5 * float(alone.abs().max()))


def test_gradcam_marks_other_cells_too_since_its_weights_are_shared(network):
    maps = explain_in_view(
        explainer("gradcam"), network("resnet18"), kind("difull"), grids(2), torch.tensor([[1, 2]])
    )
    assert (maps[:, 0, SIDE:, SIDE:] > 0).any()


@pytest.mark.parametrize("view", ["difull", "dipart"])
def test_views_leave_the_network_as_it_was(view, network):
    model = network("bcos_resnet18")
    before = {name: value.clone() for name, value in model.state_dict().items()}
    explain_in_view(explainer("bcos"), model, kind(view), grids(2), torch.tensor([[1, 2]]))
    assert not any(module.training or getattr(module, "explaining", False) for module in model.modules())
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())


def test_a_view_names_the_modules_of_the_network_behind_it(network):
    model = network("resnet18")
    for view in (CellNetwork(model, 2, 0, 0), PartNetwork(model, 2, 0, 0), MaskedInput(model)):
        assert dict(view.named_modules()).keys() == dict(model.named_modules()).keys()
        assert (view.name, view.num_classes, view.is_bcos) == (model.name, model.num_classes, model.is_bcos)


def test_the_plain_view_is_the_explainer_s_own_map(network):
    model, images, targets = network("resnet18"), grids(2), torch.tensor([[0, 1, 2, 3]])
    plain = explain_in_view(explainer("ixg"), model, kind("plain"), images, targets)
    assert torch.equal(plain, find_explainer("ixg")(model, images, targets))
