"""Which weights a model would have to fetch, how large they are, and whether they can be had."""

from __future__ import annotations

import urllib.request
from dataclasses import dataclass
from pathlib import Path

from bcos_eval.version import __version__

from .download import NETWORK_ERRORS, cache_dir, open_url, reason_of_network
from .load import registered_origin
from .published import PublishedWeights, torchvision_file
from .registry import model_info
from .torchvision_zoo import weights_called

_MEGABYTE = 1e6
# The size of a file is asked for where a plan is only looked at: nobody waits long for that.
_TIMEOUT_S = 10.0


@dataclass(frozen=True, slots=True)
class Fetch:
    """A file of weights that is not here yet.

    Attributes:
        model: Whose weights.
        url: Where it lies.
        n_bytes: Its size; None where the server does not say.
        problem: Why it cannot be had; empty if it can.
    """

    model: str
    url: str
    n_bytes: int | None
    problem: str = ""

    def __str__(self) -> str:
        """What is to be fetched, in words."""
        if self.problem:
            return f"cannot be had from {self.url} ({self.problem})"
        size = "of unknown size" if self.n_bytes is None else f"{self.n_bytes / _MEGABYTE:.1f} MB"
        return f"{size} to fetch from {self.url}, which answers"


def missing_weights(model: str, weights: str | None, dataset: str) -> PublishedWeights | None:
    """Return the published file that `load_model` would fetch; None if it would fetch none of known size.

    Raises:
        InputError: For an unknown model.
    """
    info = model_info(model)
    if weights is None:
        origin = registered_origin(info, dataset)
    elif weights != "random" and (entry := weights_called(info.name, weights)) is not None:
        origin = torchvision_file(entry)
    else:
        return None
    if origin is None or isinstance(origin, Path) or (cache_dir() / origin.file_name).is_file():
        return None
    return origin


def asked_about(model: str, published: PublishedWeights) -> Fetch:
    """Return what the server says of a file, without fetching it."""
    request = urllib.request.Request(
        published.url, method="HEAD", headers={"User-Agent": f"bcos-eval/{__version__}"}
    )
    try:
        with open_url(request, _TIMEOUT_S) as response:
            length = response.headers.get("Content-Length") or ""
    except NETWORK_ERRORS as error:
        return Fetch(model, published.url, None, reason_of_network(error))
    return Fetch(model, published.url, int(length) if length.isdigit() else None)
