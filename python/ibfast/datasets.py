"""Tasks without a download: rules on all 4096 patterns of 12 bits, scanned digits, files of MNIST.

The rules are small enough that every input can be measured. Labels are exact and the same on every
machine.
"""

from __future__ import annotations

import gzip
import math
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["committee_rule", "digits", "mnist", "read_idx", "spherical_rule"]

_BITS = 12
_GOLDEN = (1 + 5**0.5) / 2
# Bit j sits on vertex j of an icosahedron; this order gives the labels that the authors published.
_VERTICES = np.array(
    [
        (0, 1, _GOLDEN),
        (0, -1, _GOLDEN),
        (1, -_GOLDEN, 0),
        (_GOLDEN, 0, 1),
        (-1, -_GOLDEN, 0),
        (-1, _GOLDEN, 0),
        (-_GOLDEN, 0, -1),
        (0, 1, -_GOLDEN),
        (_GOLDEN, 0, -1),
        (0, -1, -_GOLDEN),
        (1, _GOLDEN, 0),
        (-_GOLDEN, 0, 1),
    ]
) / np.sqrt(1 + _GOLDEN**2)
# The midpoint of the gap in f that is nearest to P(y=1) = 1/2.
_THETA = 7.63204

_IDX_TYPES = {0x08: "u1", 0x09: "i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}
_MNIST_STEMS = {"train": "train", "test": "t10k"}
_MNIST_HOMES = (
    "https://ossci-datasets.s3.amazonaws.com/mnist",
    "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com",
)


def spherical_rule(
    information: float | None = None,
) -> tuple[NDArray[np.uint8], NDArray[np.uint8] | NDArray[np.float64]]:
    """Shwartz-Ziv & Tishby's rule: a rotation-invariant threshold on 12 points of a sphere.

    Twelve bits switch the vertices of an icosahedron on and off, and
    ``f(x) = (number of on-bits) + |sum of the on-vertices|``, the square roots of the pattern's
    spherical-harmonic power at degrees 0 and 1. The label is ``f > theta``.

    Parameters
    ----------
    information : float, optional
        I(X;Y) in bits of soft labels ``p(y=1|x) = sigmoid(gain * (f - theta))``; the gain is solved
        for. The paper's value is 0.99. Without it the labels are hard and I(X;Y) = H(Y) = 0.99916.

    Returns
    -------
    x : ndarray of uint8, shape (4096, 12)
        Row n holds the binary digits of n, most significant first.
    y : ndarray, shape (4096,)
        Hard labels as uint8, or ``p(y=1|x)`` as float64 when `information` is given.

    Raises
    ------
    ValueError
        If `information` is not between 0 and H(Y) of the hard labels, both excluded.

    Examples
    --------
    >>> x, y = spherical_rule()
    >>> x.shape, int(y.sum())
    ((4096, 12), 2118)

    References
    ----------
    Shwartz-Ziv, R. & Tishby, N. (2017). Opening the black box of deep neural networks via
    information. arXiv:1703.00810, section 3.1.
    """
    x = _all_patterns()
    # Patterns of one orbit differ in the last digits of f: rounding makes them equal again.
    f = np.round(x.sum(axis=1) + np.linalg.norm(x @ _VERTICES, axis=1), 9)
    if information is None:
        return x, (f > _THETA).astype(np.uint8)

    hard = _label_information((f > _THETA).astype(np.float64))
    if not 0 < information < hard:
        raise ValueError(
            f"information must be between 0 and H(Y) = {hard:.7f} bits, both excluded; "
            f"got {information}"
        )
    return x, _sigmoid(_gain(f - _THETA, information) * (f - _THETA))


def committee_rule(seed: int = 0) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Return the majority vote of three random perceptrons with weights of +-1 on 12 bits.

    A stand-in for the committee machine of Shwartz-Ziv & Tishby's figure 8, whose weights are not
    published: these are ours. Each perceptron votes by the sign of ``w . (2 x - 1)``, and by its
    first input alone where that is zero, so that exactly half of the labels are 1.

    Parameters
    ----------
    seed : int
        Seed of the weights.

    Returns
    -------
    x : ndarray of uint8, shape (4096, 12)
        Row n holds the binary digits of n, most significant first.
    y : ndarray of uint8, shape (4096,)
        The majority's vote.

    Examples
    --------
    >>> x, y = committee_rule()
    >>> int(y.sum())
    2048

    References
    ----------
    Shwartz-Ziv & Tishby (2017), arXiv:1703.00810, figure 8.
    """
    x = _all_patterns()
    weights = np.random.default_rng(seed).choice(np.array([-1, 1]), size=(3, _BITS))
    fields = (2 * x.astype(np.int64) - 1)[:, None, :] * weights
    # The sum is even: half a vote of the first input decides a tie and nothing else.
    votes = fields.sum(axis=2) + 0.5 * fields[:, :, 0] > 0
    return x, (votes.sum(axis=1) >= 2).astype(np.uint8)


def digits() -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Return the handwritten digits of scikit-learn, a sample of real data.

    Returns
    -------
    x : ndarray of float64, shape (1797, 64)
        Grey values of 8x8 pixels from 0 to 1.
    y : ndarray of int64, shape (1797,)
        The digits, 0 to 9.

    Raises
    ------
    ImportError
        If scikit-learn is missing.

    Examples
    --------
    >>> x, y = digits()
    >>> x.shape, int(y.max())
    ((1797, 64), 9)

    References
    ----------
    Alpaydin & Kaynak (1998), "Optical recognition of handwritten digits", UCI Machine Learning
    Repository: the test set.
    """
    try:
        from sklearn.datasets import load_digits
    except ImportError as error:
        raise ImportError('digits needs scikit-learn: pip install "ibfast[run]"') from error
    x, y = load_digits(return_X_y=True)
    return x / 16.0, y.astype(np.int64)


def mnist(folder: str | Path, split: str = "train") -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Read MNIST, Fashion-MNIST or another set in the same files from a folder of yours.

    Parameters
    ----------
    folder : str or Path
        Where ``train-images-idx3-ubyte``, ``train-labels-idx1-ubyte``, ``t10k-images-idx3-ubyte``
        and ``t10k-labels-idx1-ubyte`` are, also with a dot before ``idx``, also as ``.gz``. Nothing
        is downloaded.
    split : {"train", "test"}
        Which two of them.

    Returns
    -------
    images : ndarray of uint8, shape (n, 28, 28)
    labels : ndarray of uint8, shape (n,)

    Raises
    ------
    FileNotFoundError
        A file is missing; the text says where it can be had.
    ValueError
        The split is another one; a file is damaged, or has something else in it.

    Examples
    --------
    >>> images, labels = mnist("data/mnist", "test")  # doctest: +SKIP
    >>> images.shape  # doctest: +SKIP
    (10000, 28, 28)

    References
    ----------
    LeCun, Cortes & Burges, "The MNIST database of handwritten digits". Xiao, Rasul & Vollgraf
    (2017), "Fashion-MNIST", arXiv:1708.07747.
    """
    if split not in _MNIST_STEMS:
        raise ValueError(f"split: {split!r}; expected 'train' or 'test'")
    paths = [_find_mnist(Path(folder), split, kind) for kind in ("images-idx3", "labels-idx1")]
    images, labels = (read_idx(path) for path in paths)
    for path, array, shape in ((paths[0], images, (28, 28)), (paths[1], labels, ())):
        if array.dtype != np.uint8 or array.ndim == 0 or array.shape[1:] != shape:
            expected = str(("n", *shape)).replace("'", "")
            raise ValueError(
                f"{path}: {array.dtype} of shape {array.shape}; expected uint8 {expected}"
            )
    if len(images) != len(labels):
        raise ValueError(
            f"{folder}: {len(images)} images and {len(labels)} labels; expected as many"
        )
    return images, labels


def read_idx(path: str | Path) -> NDArray[Any]:
    """Read an array from an IDX file, the format of MNIST; also one that is compressed by gzip.

    Parameters
    ----------
    path : str or Path

    Returns
    -------
    ndarray
        Of the type in the file (uint8, int8, int16, int32, float32 or float64) and of its shape.

    Raises
    ------
    ValueError
        It is no IDX file, is cut off, goes on after the array, or the gzip is damaged.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.NamedTemporaryFile() as file:
    ...     _ = file.write(bytes([0, 0, 8, 2, 0, 0, 0, 2, 0, 0, 0, 3, *range(6)]))
    ...     file.flush()
    ...     read_idx(file.name)
    array([[0, 1, 2],
           [3, 4, 5]], dtype=uint8)

    References
    ----------
    LeCun, Cortes & Burges, "The MNIST database of handwritten digits": two zero bytes, a type, the
    number of dimensions, their sizes, and the values, most significant byte first.
    """
    data = Path(path).read_bytes()
    if data.startswith(b"\x1f\x8b"):
        try:
            data = gzip.decompress(data)
        except (EOFError, OSError, zlib.error) as error:
            raise ValueError(f"{path}: damaged gzip file: {error}") from error
    if len(data) < 4 or data[:2] != b"\0\0" or data[2] not in _IDX_TYPES:
        raise ValueError(
            f"{path}: begins with {data[:4].hex(' ') or 'nothing'}; expected an IDX file: 00 00, a "
            f"type ({', '.join(f'{code:02x}' for code in _IDX_TYPES)}) and the number of dimensions"
        )
    dtype, start = np.dtype(_IDX_TYPES[data[2]]), 4 + 4 * data[3]
    if len(data) < start:
        raise ValueError(f"{path}: {len(data)} bytes; expected {data[3]} sizes, {start} bytes")
    shape = struct.unpack(f">{data[3]}I", data[4:start])
    expected = start + math.prod(shape) * dtype.itemsize
    if len(data) != expected:
        raise ValueError(
            f"{path}: {len(data)} bytes; expected {expected}, for {dtype.name} of shape {shape}: "
            f"it is {'cut off' if len(data) < expected else 'followed by something else'}"
        )
    return np.frombuffer(data, dtype, offset=start).reshape(shape).astype(dtype.newbyteorder("="))


def _find_mnist(folder: Path, split: str, kind: str) -> Path:
    stem = f"{_MNIST_STEMS[split]}-{kind}-ubyte"
    dotted = stem.replace("-idx", ".idx")
    names = [stem, f"{stem}.gz", dotted, f"{dotted}.gz"]
    for name in names:
        if (folder / name).is_file():
            return folder / name
    addresses = "".join(
        f"\n  {home}/{first}-{last}-ubyte.gz"
        for home in _MNIST_HOMES
        for first in _MNIST_STEMS.values()
        for last in ("images-idx3", "labels-idx1")
    )
    raise FileNotFoundError(
        f"{folder}: none of {', '.join(names)} is there. The four files of MNIST, or of "
        f"Fashion-MNIST, are at{addresses}"
    )


def _all_patterns() -> NDArray[np.uint8]:
    rows = np.arange(2**_BITS)[:, None]
    return ((rows >> np.arange(_BITS - 1, -1, -1)) & 1).astype(np.uint8)


def _sigmoid(z: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(0.5 * (1 + np.tanh(0.5 * z)), dtype=np.float64)


def _binary_entropy(p: NDArray[np.float64]) -> NDArray[np.float64]:
    """Entropy in bits of a coin that shows 1 with probability p; zero at 0 and 1."""
    q = np.stack([p, 1 - p])
    entropy: NDArray[np.float64] = -np.sum(
        q * np.log2(q, out=np.zeros_like(q), where=q > 0), axis=0
    )
    return entropy


def _label_information(p: NDArray[np.float64]) -> float:
    """I(X;Y) in bits of equally likely inputs with the given p(y=1|x)."""
    return float(_binary_entropy(p.mean(keepdims=True))[0] - _binary_entropy(p).mean())


def _gain(margin: NDArray[np.float64], information: float) -> float:
    """Bisect for the gain at which the soft labels have the given I(X;Y)."""
    low, high = 0.0, 1.0
    while _label_information(_sigmoid(high * margin)) < information:
        low, high = high, 2 * high
    for _ in range(60):
        middle = 0.5 * (low + high)
        if _label_information(_sigmoid(middle * margin)) < information:
            low = middle
        else:
            high = middle
    return high
