"""LIME, KernelSHAP, occlusion and RISE, one target at a time, with the samples that ours draws.

Every function is the preparation for one image; what it returns makes the map `(H, W)` of one target.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import torch
from captum._utils.models import Model
from captum.attr import Lime, Occlusion
from skimage.segmentation import quickshift
from skimage.transform import resize
from torch import Tensor
from torch.utils.data import DataLoader

from bcos_eval.seeding import derived_generator, image_key

from .case import Case
from .gradient_alternatives import OneTarget

# Settings of the `lime` package and of B-cos-v2, explainers/lime.py.
_LIME_KERNEL_WIDTH = 0.25
_LIME_RIDGE = 1.0
_QUICKSHIFT = {"max_dist": 200, "ratio": 0.2, "rng": 42}

Regression = Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray]


class _Regression(Model):  # type: ignore[misc] # captum ships no type information
    """A linear regression as Captum's Lime takes it, computed in float64.

    Args:
        solve: Maps samples `(n, S)`, responses `(n,)` and sample weights `(n,)` to coefficients `(S,)`.
    """

    def __init__(self, solve: Regression) -> None:
        self.solve = solve
        self.coefficients = torch.empty(0)

    def fit(self, train_data: DataLoader[tuple[Tensor, ...]], **_kwargs: object) -> None:
        """Fit the one batch that Captum gives."""
        samples, responses, weights = (part.double().cpu().numpy() for part in next(iter(train_data)))
        self.coefficients = torch.from_numpy(self.solve(samples, responses, weights))

    def representation(self) -> Tensor:
        """Return the coefficients."""
        return self.coefficients

    def __call__(self, x: Tensor) -> Tensor:
        """Return the regression's value."""
        return x.double() @ self.coefficients.to(x.device)


def lime(case: Case) -> OneTarget:
    """Captum's Lime with the `lime` package's kernel and scikit-learn's Ridge, on probabilities."""
    from sklearn.linear_model import Ridge  # type: ignore[import-untyped,unused-ignore] # an optional package

    def ridge(samples: np.ndarray, responses: np.ndarray, weights: np.ndarray) -> np.ndarray:
        return np.asarray(Ridge(alpha=_LIME_RIDGE).fit(samples, responses, sample_weight=weights).coef_)

    segments = _superpixels(case)
    keep = torch.rand(case.integer("n_samples"), int(segments.max()) + 1, generator=_generator(case)) < 0.5
    keep[0] = True

    def probability(encoded: Tensor) -> Tensor:
        return case.network.probability(case.network(encoded))

    def similarity(_original: Tensor, _perturbed: Tensor, presence: Tensor, **_kwargs: object) -> Tensor:
        distance = 1 - presence.double().mean().sqrt()
        return (-(distance**2) / _LIME_KERNEL_WIDTH**2).exp().sqrt()[None]

    return _captum_lime(case, probability, segments, keep, similarity, ridge)


def kernel_shap(case: Case) -> OneTarget:
    """Captum's Lime with KernelSHAP's coalitions, weights and constrained regression, on logits."""
    segments = _superpixels(case)
    keep, weights = _coalitions(int(segments.max()) + 1, case.integer("n_samples"), _generator(case))
    rows = {tuple(row.tolist()): weight.to(case.image.device) for row, weight in zip(keep, weights, strict=True)}

    def similarity(_original: Tensor, _perturbed: Tensor, presence: Tensor, **_kwargs: object) -> Tensor:
        return rows[tuple(presence[0].bool().tolist())][None]

    return _captum_lime(case, case.network, segments, keep, similarity, _shapley_regression)


def occlusion(case: Case) -> OneTarget:
    """Captum's Occlusion on tiles; it gives every pixel the whole drop, ours the tile's share."""
    method = Occlusion(case.network)
    window = (case.encoded.shape[1], case.integer("size"), case.integer("size"))
    strides = (case.encoded.shape[1], case.integer("stride"), case.integer("stride"))
    n_pixels = case.integer("size") ** 2

    def explain(target: int) -> Tensor:
        with torch.no_grad():
            drops = method.attribute(
                case.encoded, window, strides, target=target, perturbations_per_eval=case.images_per_pass()
            )
        return drops[0, 0] / n_pixels

    return explain


def rise(case: Case) -> OneTarget:
    """RISE's published loop: masks by scikit-image, then one pass over them for a target."""
    masks = _rise_masks(case)
    n_expected = len(masks) * float(case.params["keep_probability"])

    def explain(target: int) -> Tensor:
        total = torch.zeros_like(masks[0])
        with torch.no_grad():
            for batch in masks.split(case.images_per_pass()):
                probabilities = case.network.probability(case.network(batch[:, None] * case.encoded))
                total += torch.einsum("n,nhw->hw", probabilities[:, target], batch)
        return total / n_expected

    return explain


def _captum_lime(
    case: Case,
    respond: Callable[[Tensor], Tensor],
    segments: Tensor,
    keep: Tensor,
    similarity: Callable[..., Tensor],
    solve: Regression,
) -> OneTarget:
    fill = _mean_colours(case.encoded, segments)

    def rows(_original: Tensor, **_kwargs: object) -> Iterator[Tensor]:
        yield from keep.to(segments.device).float().split(1)

    def explain(target: int) -> Tensor:
        method = Lime(respond, _Regression(solve), similarity, rows)
        coefficients = method.attribute(
            case.encoded,
            baselines=fill,
            target=target,
            feature_mask=segments[None, None],
            n_samples=len(keep),
            perturbations_per_eval=case.images_per_pass(),
            return_input_shape=False,
        )
        return coefficients.flatten().to(segments.device)[segments].float()

    return explain


def _superpixels(case: Case) -> Tensor:
    picture = case.encoded[0, :3].permute(1, 2, 0).double().cpu().numpy()
    labels = quickshift(  # type: ignore[no-untyped-call] # skimage ships no type information
        picture, kernel_size=case.integer("kernel_size"), **_QUICKSHIFT
    )
    numbers = torch.from_numpy(np.unique(labels, return_inverse=True)[1].reshape(labels.shape))
    return numbers.to(case.image.device)


def _mean_colours(encoded: Tensor, segments: Tensor) -> Tensor:
    fill = encoded.clone()
    for index in range(int(segments.max()) + 1):
        inside = segments == index
        fill[0, :, inside] = encoded[0, :, inside].double().mean(1, keepdim=True).float()
    return fill


def _coalitions(n_players: int, n_samples: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Return the empty, the full and the sampled coalitions, and their weights; ends have 0, being met exactly."""
    sizes = torch.arange(1, n_players, dtype=torch.float64)
    kernel = (n_players - 1) / (sizes * (n_players - sizes))
    chosen = torch.multinomial(kernel, n_samples, replacement=True, generator=generator) + 1
    ranks = torch.rand(n_samples, n_players, generator=generator).argsort(1).argsort(1)
    ends = torch.tensor([[False], [True]]).expand(2, n_players)
    weights = torch.ones(n_samples + 2, dtype=torch.float64)
    weights[:2] = 0
    return torch.cat([ends, ranks < chosen[:, None]]), weights


def _shapley_regression(samples: np.ndarray, responses: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Return the least-squares fit of smallest norm whose coefficients sum to the full minus the empty value."""
    gains = responses - responses[0]
    share = gains[1] / samples.shape[1]
    # Coefficients are `share` plus a vector whose sum is 0.
    centred = samples - samples.mean(1, keepdims=True)
    root = np.sqrt(weights)
    rest = np.linalg.lstsq(root[:, None] * centred, root * (gains - samples.sum(1) * share), rcond=None)[0]
    return np.asarray(rest + share)


def _rise_masks(case: Case) -> Tensor:
    n_cells, generator = case.integer("n_cells"), _generator(case)
    n_masks = case.integer("n_masks")
    height, width = case.image.shape[-2:]
    cell_height, cell_width = -(-height // n_cells), -(-width // n_cells)
    kept = torch.rand(n_masks, n_cells, n_cells, generator=generator) < float(case.params["keep_probability"])
    tops = torch.randint(cell_height, (n_masks,), generator=generator).tolist()
    lefts = torch.randint(cell_width, (n_masks,), generator=generator).tolist()
    large = ((n_cells + 1) * cell_height, (n_cells + 1) * cell_width)
    masks = [
        resize(  # type: ignore[no-untyped-call] # skimage ships no type information
            cells.float().numpy(), large, order=1, mode="reflect", anti_aliasing=False
        )[top : top + height, left : left + width]
        for cells, top, left in zip(kept, tops, lefts, strict=True)
    ]
    return torch.from_numpy(np.stack(masks)).to(case.image.device)


def _generator(case: Case) -> torch.Generator:
    return derived_generator(case.seed, case.explainer, image_key(case.image[0]))
