"""From codes to keys on the device that holds them, as fingerprint.hpp does it."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import pad

__all__ = ["Packer", "splitmix64"]

_PRIME = 2**31 - 1
_LANES, _LANE_BITS = 16, 28


class Packer:
    """Packs or hashes rows of codes; the factors of the hash are kept for each device."""

    def __init__(self) -> None:
        self._factors: dict[tuple[torch.device, int], Tensor] = {}

    def keys(self, codes: Tensor, bits: int) -> Tensor:
        """Keys of codes of `bits` bits: packed where they fit, else hashed (fingerprint.hpp)."""
        d = codes.shape[1]
        if d * bits <= 128:
            return _packed(codes, 8 if bits <= 8 and d <= 16 else bits)
        if bits == 64:
            digits = torch.stack([codes & 0x3FFFFF, codes >> 22, codes >> 43], dim=2)
            digits[:, :, 1:] &= 0x1FFFFF
            digits = _in_groups(digits.flatten(1), _LANES)
        else:
            a_lane = _LANE_BITS // bits
            grouped = _in_groups(codes, a_lane, _LANES)
            places = torch.arange(0, a_lane * bits, bits, device=codes.device)
            digits = (grouped << places[:, None]).sum(2)
        groups = digits.shape[1]
        at = codes.device, groups
        if at not in self._factors:
            self._factors[at] = torch.from_numpy(_coefficients(groups)).to(codes.device)
        return _hashed(digits, self._factors[at])


def _packed(codes: Tensor, step: int) -> Tensor:
    places = torch.arange(0, codes.shape[1] * step, step, device=codes.device)
    first = -(-64 // step)  # of the units that lie in the high word alone
    low = (codes[:, :first] << places[:first]).sum(1)
    high = (codes[:, first:] << (places[first:] - 64)).sum(1)
    if first * step > 64 and codes.shape[1] >= first:
        high += codes[:, first - 1] >> (64 - (first - 1) * step)
    return torch.stack([high, low], dim=1)


def _in_groups(values: Tensor, *shape: int) -> Tensor:
    """(rows, groups, *shape), with zeros at the end."""
    padded = pad(values, (0, -values.shape[1] % math.prod(shape)))
    return padded.reshape(len(values), -1, *shape)


def splitmix64(numbers: NDArray[Any], seed: int) -> NDArray[np.uint64]:
    """The numbers drawn first (1), second (2), ... from a seed (Steele, Lea & Flood 2014)."""
    z = np.uint64(seed) + np.uint64(0x9E3779B97F4A7C15) * numbers.astype(np.uint64)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    drawn: NDArray[np.uint64] = z ^ (z >> np.uint64(31))
    return drawn


def _coefficients(groups: int) -> NDArray[np.int64]:
    """hash_coefficients() of the kernel, (hash, group, lane)."""
    count = groups * 4 * _LANES
    drawn = (splitmix64(np.arange(1, count + 65), 0x1BFA57) >> np.uint64(33)).astype(np.int64)
    kept = drawn[drawn < _PRIME][:count]  # all but one in 2^31
    return np.ascontiguousarray(kept.reshape(groups, 4, _LANES).transpose(1, 0, 2))


def _fold(values: Tensor) -> Tensor:
    return (values & _PRIME) + (values >> 31)


def _hashed(digits: Tensor, factors: Tensor) -> Tensor:
    """Of digits below 2^28: a product is below 2^59, the sum over a group below 2^63."""
    residues = []
    for factor in factors:
        sums = _fold((digits * factor).sum(2)).sum(1)
        rest = _fold(_fold(_fold(sums)))
        residues.append(torch.where(rest == _PRIME, 0, rest))
    a, b, c, d = residues
    return torch.stack([c | (d << 32), a | (b << 32)], dim=1)
