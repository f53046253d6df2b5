"""Refusals of networks and methods that cannot be shown a stimulus the way a metric wants, before any work."""

from __future__ import annotations

import torch

from bcos_eval.contract.plugins import Network
from bcos_eval.engine.batch import is_out_of_memory
from bcos_eval.engine.choice import Choice
from bcos_eval.errors import IncompatibleError
from bcos_eval.user_code.network import UserModel

from .network_views import is_split
from .source import StimulusKind

# The parameter by which methods take a layer that networks need not offer as their features.
_LAYER = "layer"


def check_view(network: Network, method: Choice, metric: Choice, kind: StimulusKind) -> None:
    """Refuse a combination that a kind of stimulus cannot be explained with.

    Args:
        network: The network to explain.
        method: What is to explain it.
        metric: What is to be scored, for the message.
        kind: What it is measured on.

    Raises:
        IncompatibleError: If cells do not tile the network's native size, or have no half; if the features that
            are to be cut or stitched are unknown.
    """
    side = network.input_size
    if kind.view == "rescaled" and side % kind.n:
        raise IncompatibleError(
            f"metric '{metric.name}' scales {kind.n}×{kind.n} cells to the {side} pixels of '{network.name}', "
            f"which {kind.n} does not divide; use --param {metric.name}.n=2."
        )
    if kind.view.startswith("strided") and side % 2:
        raise IncompatibleError(
            f"metric '{metric.name}' moves windows by half a cell and '{network.name}' has cells of {side} "
            "pixels; use grid_pg/rescaled."
        )
    if kind.view == "dipart" and not is_split(network):
        raise IncompatibleError(
            f"metric '{metric.name}' cuts the last spatial features and '{network.name}' has no features() and "
            "head(); add them, or use difull."
        )
    if kind.view == "difull" and method.params.get(_LAYER):
        raise IncompatibleError(
            f"metric '{metric.name}' stitches features of cells, which is known for the last ones only; leave out "
            f"--param {method.name}.{_LAYER}, or use dipart."
        )


def check_grid_size(network: Network, kind: StimulusKind, device: torch.device) -> None:
    """Refuse a network of the user's own that takes no image as large as a whole grid.

    The suite's networks take images of any size that is a multiple of their native one.

    Raises:
        IncompatibleError: If it fails on a black grid; the message says what it said and names other presets.
    """
    if kind.name == "single" or kind.view not in ("plain", "dipart") or not isinstance(network, UserModel):
        return
    side = kind.n * network.input_size
    try:
        with torch.inference_mode():
            network(network.encode(torch.zeros(1, 3, side, side, device=device)))
    except Exception as error:  # a user's code may raise anything
        if is_out_of_memory(error):
            raise
        first_line = str(error).partition("\n")[0]
        raise IncompatibleError(
            f"model '{network.name}' does not take {kind.plural} of {side}×{side} pixels ({first_line}); use "
            "grid_pg/rescaled, grid_pg/bcosification_strided or grid_pg/aloe_strided, which show it "
            f"{network.input_size}×{network.input_size}."
        ) from error
