"""Where the pools of a run lie: what each network says about the images of a dataset it was shown, in pieces."""

from __future__ import annotations

import hashlib
import json

from bcos_eval.version import NUMERICAL_VERSION

POOLS_FOLDER = "pools"
# Of the digest in a folder's name.
KEY_DIGITS = 12
# Raised when a dataset is divided into pieces in another way.
_LAYOUT = 2


def pool_name(dataset: str, dataset_digest: str, model: str, weights: str) -> str:
    """Return the folder of a pool; another dataset, network or numerical version has another.

    Args:
        dataset: Name of the dataset.
        dataset_digest: Its digest.
        model: Name of the network.
        weights: Which weights it has.
    """
    text = json.dumps([NUMERICAL_VERSION, _LAYOUT, dataset_digest, model, weights])
    return f"{dataset}-{model}-{hashlib.sha256(text.encode()).hexdigest()[:KEY_DIGITS]}"
