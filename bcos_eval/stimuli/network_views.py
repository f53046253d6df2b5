"""Networks that see a part of what they are shown: a cell of a grid, its features, a window over the border.

A view is a network to every explainer: it has the modules, the classes and the split of the network behind it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, cast

import torch
from torch import Tensor, nn

from bcos_eval.contract.network import Network, is_out_of_memory
from bcos_eval.errors import IncompatibleError


def is_split(network: object) -> bool:
    """Whether a network says what its last spatial features are."""
    return hasattr(network, "features") and hasattr(network, "head")


def check_takes_size(network: Network, side: int, plural: str, device: torch.device) -> None:
    """Refuse a network that takes no images of a size; one that says `takes_any_size` is not tried.

    Args:
        network: The network.
        side: Side of the images in pixels.
        plural: What they are, for the message.
        device: Where to try.

    Raises:
        IncompatibleError: If it fails on a black image; the message says what it said and names other presets.
    """
    if getattr(network, "takes_any_size", False):
        return
    try:
        with torch.no_grad():
            network(network.encode(torch.zeros(1, 3, side, side, device=device)))
    except Exception as error:  # a user's code may raise anything
        if is_out_of_memory(error):
            raise
        first_line = str(error).partition("\n")[0]
        raise IncompatibleError(
            f"model '{network.name}' does not take {plural} of {side}×{side} pixels ({first_line}); use "
            "grid_pg/rescaled, grid_pg/bcosification_strided or grid_pg/aloe_strided, which show it "
            f"{network.input_size}×{network.input_size}."
        ) from error


class NetworkView(nn.Module):
    """A network behind another input or output; in evaluation mode.

    Args:
        network: The network behind.
    """

    def __init__(self, network: Network) -> None:
        super().__init__()
        self.network = cast("Any", network)
        self.name = network.name
        self.weights_id = network.weights_id
        self.is_bcos = network.is_bcos
        self.num_classes = network.num_classes
        self.input_size = network.input_size
        self.logit_bias = float(getattr(network, "logit_bias", 0.0))
        self.eval()

    def encode(self, images: Tensor) -> Tensor:
        """Map images `(B, 3, H, W)` in [0, 1] to network input."""
        return self.network.encode(images)

    def probability(self, logits: Tensor) -> Tensor:
        """Map logits to probabilities."""
        return self.network.probability(logits)

    def forward(self, encoded: Tensor) -> Tensor:
        """Map network input to logits `(B, C)`."""
        return self.network(encoded)

    def named_modules(self, *args: Any, **kwargs: Any) -> Iterator[tuple[str, nn.Module]]:  # noqa: ANN401 - as torch's
        """Iterate over the modules of the network behind by the names they have there."""
        return self.network.named_modules(*args, **kwargs)


class MaskedInput(NetworkView):
    """A network whose input is zero outside a mask, which can be exchanged: zero padding in encoded space.

    One view serves all windows of a grid, since what is prepared for a network is kept by its identity.
    """

    def __init__(self, network: Network) -> None:
        super().__init__(network)
        self._masks: list[Tensor] = []
        if is_split(network):
            self.features, self.head = self.network.features, self.network.head

    def show(self, inside: Tensor) -> None:
        """Let the network see what is True in `inside`, `(H, W)` bool, and zeros elsewhere."""
        self._masks[:] = [inside]

    def encode(self, images: Tensor) -> Tensor:
        """Map images `(B, 3, H, W)` in [0, 1] to network input, zero outside the mask."""
        return self.network.encode(images).mul(self._masks[0])


class CellNetwork(NetworkView):
    """A network that sees one cell of an n × n grid: DiFull's.

    Its features are those of all cells, each computed alone, stitched together; its head sees the cell's.

    Args:
        network: The network behind.
        n: Cells per side.
        row: Row of the cell.
        column: Column of the cell.
    """

    def __init__(self, network: Network, n: int, row: int, column: int) -> None:
        super().__init__(network)
        self._place = (n, row, column)
        if is_split(network):
            self.features, self.head = self._features, self._head

    def forward(self, encoded: Tensor) -> Tensor:
        """Map a grid `(B, C, n·H, n·W)` to the logits of its cell `(B, C)`."""
        return self.network(_part(encoded, *self._place))

    def _features(self, encoded: Tensor) -> Tensor:
        n = self._place[0]
        rows = encoded.chunk(n, -2)
        return torch.cat([torch.cat([self.network.features(c) for c in row.chunk(n, -1)], -1) for row in rows], -2)

    def _head(self, features: Tensor) -> Tensor:
        return self.network.head(_part(features, *self._place))


class PartNetwork(NetworkView):
    """A network whose head sees the features of one cell of an n × n grid: DiPart's.

    Arguments as for `CellNetwork`; the network behind must be split into features and head.
    """

    def __init__(self, network: Network, n: int, row: int, column: int) -> None:
        super().__init__(network)
        self._place = (n, row, column)

    def features(self, encoded: Tensor) -> Tensor:
        """Map a grid to its spatial features `(B, F, n·h, n·w)`."""
        return self.network.features(encoded)

    def head(self, features: Tensor) -> Tensor:
        """Map the cell's part of the features to logits `(B, C)`."""
        return self.network.head(_part(features, *self._place))

    def forward(self, encoded: Tensor) -> Tensor:
        """Map a grid to the logits of its cell `(B, C)`."""
        return self.head(self.features(encoded))


def _part(maps: Tensor, n: int, row: int, column: int) -> Tensor:
    """Return one of n × n equal parts of maps `(B, C, H, W)`; a remainder at the end is left out."""
    height, width = maps.shape[-2] // n, maps.shape[-1] // n
    return maps[..., row * height : (row + 1) * height, column * width : (column + 1) * width]
