"""What models are shown: single images, grids, mosaics; pools of confident images; views and windows."""

from bcos_eval.contract.plugins import import_modules

from .kind import STIMULI, Explain, Material, PoolChoice, StimulusKind, StimulusSource, Unreadable, stimulus_kind

__all__ = [
    "STIMULI",
    "Explain",
    "Material",
    "PoolChoice",
    "StimulusKind",
    "StimulusSource",
    "Unreadable",
    "stimulus_kind",
]

import_modules(__name__, __path__)
