"""LeGrad: how attention would have to change for the tokens of each layer to speak for the class."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Annotated, Any, Literal

import torch
from torch import Tensor, nn

from bcos_eval.bcos import SelfAttention
from bcos_eval.contract.explainer import Need, Style, register_explainer
from bcos_eval.contract.network import Network, name_of
from bcos_eval.contract.params import Param, Range
from bcos_eval.errors import IncompatibleError

from .attention import SELF_ATTENTION, softmax_node, token_maps, watched_attention
from .gradcam import Upsample, resized


def attention_blocks(model: Network) -> list[nn.Module]:
    """Return the blocks of a transformer: the members of a sequence that hold one attention layer each.

    Empty if some attention layer is itself such a member, or in none: then nothing gives the tokens after a block.
    """
    modules = dict(model.named_modules())
    blocks = []
    for name, module in modules.items():
        if not isinstance(module, SelfAttention | nn.MultiheadAttention):
            continue
        parts = name.split(".")
        members = (
            modules[".".join(parts[:end])]
            for end in range(len(parts) - 1, 0, -1)
            if isinstance(modules[".".join(parts[: end - 1])], nn.Sequential | nn.ModuleList)
        )
        block = next(members, None)
        if block is None or isinstance(modules[".".join(parts[:-1])], nn.Sequential | nn.ModuleList):
            return []
        blocks.append(block)
    return blocks if len(set(blocks)) == len(blocks) else []


def _refusal_without_blocks(model: Network, _params: Mapping[str, Param]) -> str | None:
    if attention_blocks(model):
        return None
    return (
        f"classifies the tokens after each block and '{name_of(model)}' has no sequence of blocks with one "
        "attention layer each; use attention_gradient, rollout or gradcam"
    )


BLOCKS = Need("a sequence of attention blocks", _refusal_without_blocks)


@register_explainer(
    "legrad",
    source="Bousselham et al., ICCV 2025",
    family="attention",
    needs=(SELF_ATTENTION, BLOCKS),
    aliases=("le_grad",),
    style=Style("#E69F00", "-."),
)
def le_grad(
    model: Network,
    images: Tensor,
    targets: Tensor,
    *,
    n_layers: Annotated[int, Range(low=0)] = 0,
    stretch: Literal["minmax", "none"] = "minmax",
    upsample: Upsample = "bilinear",
) -> Tensor:
    """Return the sensitivity of the class to attention on each patch, `(B, K, H, W)`, non-negative.

    The tokens after each block are classified by the network's own pooling and classifier. The gradient of that
    logit by the block's own attention matrix, its negative part set to zero, is averaged over heads and over the
    tokens that attend, and over blocks. Each map is then stretched from 0 to 1: what all patches have in common,
    often the larger part, is taken off, and localisation metrics count what is above it. A map that is the same
    everywhere becomes zero. Taken outside explanation mode, which holds attention constant. One forward pass
    serves all targets, which take a pass back through each block.

    Args:
        model: A vision transformer.
        images: `(B, 3, H, W)` in [0, 1].
        targets: `(B, K)`.
        n_layers: How many blocks count, from the last one; 0 for all, as in the paper's equations. The official
            code takes the last two of large networks unless told.
        stretch: Whether maps begin at 0 and end at 1, as the official code has it, or stay as they are.
        upsample: How maps of patches are brought to the image's size.

    Raises:
        IncompatibleError: If the blocks do not run once each, in their order, on tokens; or if the tokens are no
            grid of patches.
    """
    maps = [_maps(model, image, wanted, n_layers) for image, wanted in zip(images, targets, strict=True)]
    whole = resized(torch.stack(maps), images.shape[-2:], upsample)
    if stretch == "none":
        return whole
    low, high = whole.amin((2, 3), keepdim=True), whole.amax((2, 3), keepdim=True)
    return (whole - low) / (high - low).masked_fill(high == low, 1)


def _maps(model: Network, image: Tensor, targets: Tensor, n_layers: int) -> Tensor:
    """Return maps `(K, h, w)` of one image `(3, H, W)`."""
    size = (image.shape[-2], image.shape[-1])
    with _BlocksApart(attention_blocks(model), n_layers) as blocks:
        attentions: list[Tensor] = []
        with watched_attention(model, attentions.append):
            logits = model(model.encode(image[None]).detach())
    if not blocks.ran_in_order or len(attentions) != blocks.n_blocks or len(logits) != len(blocks.starts):
        raise IncompatibleError(
            f"method 'legrad' classifies the tokens after each block and those of '{name_of(model)}' do not run "
            "once each, one after the other; use attention_gradient, rollout or gradcam"
        )
    of_layers: list[Tensor] = []
    for attention in attentions[-len(blocks.starts) :]:
        softmax_node(attention).register_prehook(partial(_keep, of_layers, attention.shape))
    rows = []
    for k, target in enumerate(targets.tolist()):
        # A block's tokens are cut from those before, so that each layer's logit reaches its own attention alone.
        torch.autograd.grad(logits[:, target].sum(), blocks.starts, retain_graph=k + 1 < len(targets))
        rows.append(torch.stack(of_layers).mean(0))
        of_layers.clear()
    return token_maps(model, torch.stack(rows), size)


def _keep(of_layers: list[Tensor], shape: torch.Size, gradients: tuple[Tensor, ...]) -> None:
    """Keep the mean over heads and attending tokens of a gradient's positive part, `(N,)`."""
    of_layers.append(gradients[0].detach().float().view(shape)[0].clamp(min=0).mean((0, 1)))


class _BlocksApart:
    """Makes a forward pass classify the tokens after each of the last blocks: one row of logits for each.

    The blocks run on tokens cut from the graph, and the last one gives the outputs of all as a batch.

    Args:
        blocks: In the order they run.
        n_last: How many count; 0 for all.

    Attributes:
        n_blocks: Number of all blocks.
        starts: Tokens that enter the blocks that count, leaves of the graph.
        ran_in_order: Whether each ran once, in this order, on one tensor, and gave one of the same shape.
    """

    def __init__(self, blocks: list[nn.Module], n_last: int) -> None:
        self.n_blocks = len(blocks)
        self.starts: list[Tensor] = []
        self.ran_in_order = True
        self._blocks = blocks
        self._counted = blocks[-n_last:]
        self._ran: list[nn.Module] = []
        self._outputs: list[Tensor] = []
        self._handles: list[Any] = []

    def __enter__(self) -> _BlocksApart:
        self._handles += [block.register_forward_pre_hook(self._cut) for block in self._counted]
        self._handles += [block.register_forward_hook(self._collect) for block in self._blocks]
        return self

    def __exit__(self, *_exception: object) -> None:
        for handle in self._handles:
            handle.remove()
        self.ran_in_order &= self._ran == self._blocks
        self._outputs.clear()

    def _cut(self, _block: nn.Module, inputs: tuple[Any, ...]) -> tuple[Any, ...] | None:
        if not inputs or not isinstance(inputs[0], Tensor):
            return None
        self.starts.append(inputs[0].detach().requires_grad_())
        return (self.starts[-1], *inputs[1:])

    def _collect(self, block: nn.Module, inputs: tuple[Any, ...], output: object) -> object:
        self._ran.append(block)
        if block not in self._counted:
            return None
        if not isinstance(output, Tensor) or not inputs or output.shape != inputs[0].shape:
            self.ran_in_order = False
            return None
        self._outputs.append(output)
        return torch.cat(self._outputs) if block is self._blocks[-1] else None
