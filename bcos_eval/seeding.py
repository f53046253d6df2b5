"""Random generators that belong to one thing, so that no result depends on batch, order or worker."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch
    from torch import Tensor

# torch is imported where it is needed: tables draw resamples with these seeds and should not wait for it.


def derived_seed(*parts: object) -> int:
    """Return a 63-bit seed that depends on every part, the same on every platform."""
    text = "\x1f".join(str(part) for part in parts)
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "little") >> 1


def image_key(image: Tensor) -> str:
    """Return a digest of the pixels of one image `(3, H, W)`, whatever batch it came in."""
    import torch

    return hashlib.sha256(image.detach().to("cpu", torch.float32).contiguous().numpy().tobytes()).hexdigest()


def derived_generator(*parts: object) -> torch.Generator:
    """Return a CPU generator seeded from the parts; the global generators are never touched."""
    import torch

    return torch.Generator().manual_seed(derived_seed(*parts))
