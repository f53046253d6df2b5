"""Random numbers that are the same on every platform: SplitMix64 on integers, nothing from the C library."""

from __future__ import annotations

import hashlib

import numpy as np
import numpy.typing as npt

UInt64s = npt.NDArray[np.uint64]
Floats = npt.NDArray[np.float64]

# Constants of SplitMix64 (Steele, Lea and Flood, OOPSLA 2014; Vigna's public-domain splitmix64.c).
_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_MULTIPLIER_1 = np.uint64(0xBF58476D1CE4E5B9)
_MULTIPLIER_2 = np.uint64(0x94D049BB133111EB)
_SHIFTS = (np.uint64(30), np.uint64(27), np.uint64(31))
_DROP_TO_53_BITS = np.uint64(11)
_UNIT = 2.0**-53


def mix(values: UInt64s) -> UInt64s:
    """Return the SplitMix64 hash of every value, a bijection of the 64-bit integers."""
    mixed = values + _GOLDEN
    mixed = (mixed ^ (mixed >> _SHIFTS[0])) * _MULTIPLIER_1
    mixed = (mixed ^ (mixed >> _SHIFTS[1])) * _MULTIPLIER_2
    return np.asarray(mixed ^ (mixed >> _SHIFTS[2]))


def scene_keys(name: str, indices: npt.NDArray[np.int64]) -> UInt64s:
    """Return one key per index; keys of different names have nothing in common.

    Args:
        name: Everything that separates this family of scenes from others.
        indices: Non-negative positions `(B,)`.
    """
    base = int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "little")
    return mix(mix(indices.astype(np.uint64)) ^ np.uint64(base))


class Stream:
    """Uniform draws for a batch of scenes; what a scene draws does not depend on the others.

    Args:
        keys: One key per scene `(B,)`.
        purpose: Separates the streams of one scene, so that parameters added to one element leave the
            others alone.
    """

    def __init__(self, keys: UInt64s, purpose: int) -> None:
        self._state = mix(keys ^ mix(np.array([purpose], dtype=np.uint64)))
        self._drawn = 0

    def bits(self, n: int) -> UInt64s:
        """Return the next `n` words of every scene, `(B, n)`."""
        counters = np.arange(self._drawn, self._drawn + n, dtype=np.uint64) * _GOLDEN
        self._drawn += n
        return mix(self._state[:, None] + counters[None, :])

    def uniform(self, low: float, high: float) -> Floats:
        """Return the next draw of every scene from [low, high), `(B,)`."""
        return low + (high - low) * self._unit(1)[:, 0]

    def uniforms(self, n: int) -> Floats:
        """Return the next `n` draws of every scene from [0, 1), `(B, n)`."""
        return self._unit(n)

    def integers(self, high: int) -> npt.NDArray[np.int64]:
        """Return the next integer of every scene from 0 to `high - 1`, `(B,)`."""
        return np.floor(self._unit(1)[:, 0] * high).astype(np.int64)

    def _unit(self, n: int) -> Floats:
        return (self.bits(n) >> _DROP_TO_53_BITS).astype(np.float64) * _UNIT
