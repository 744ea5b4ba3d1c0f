import gzip
import hashlib
import struct
import sys
from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from ibfast.datasets import committee_rule, digits, mnist, read_idx, spherical_rule

PUBLISHED = "77732f16f85e91b49d3997196b56163b3bd362d8cf631468a8de3f986e88359f"


def label_information(p):
    """I(X;Y) of equally likely inputs, pattern by pattern."""

    def entropy(q):
        return -sum(x * np.log2(x) for x in (q, 1 - q) if x > 0)

    return entropy(p.mean()) - np.mean([entropy(q) for q in p])


def test_patterns_are_the_binary_digits():
    x, _ = spherical_rule()
    assert x.dtype == np.uint8
    assert x.tolist() == [list(bits) for bits in product((0, 1), repeat=12)]


def test_hard_labels_are_the_published_ones():
    _, y = spherical_rule()
    assert y.dtype == np.uint8
    assert hashlib.sha256(y.tobytes()).hexdigest() == PUBLISHED
    assert label_information(y.astype(float)) == pytest.approx(0.9991571, abs=1e-7)


def test_soft_labels_of_the_paper():
    x, p = spherical_rule(0.99)
    _, y = spherical_rule()
    assert p.shape == (4096,)
    assert p.dtype == np.float64
    assert label_information(p) == pytest.approx(0.99, abs=1e-6)
    assert np.array_equal(p > 0.5, y.astype(bool))
    assert ((p > 0.001) & (p < 0.999)).sum() == 240
    assert len(x) == 4096


@given(st.floats(1e-6, 0.99915))
def test_soft_labels_have_the_information_asked_for(information):
    assert label_information(spherical_rule(information)[1]) == pytest.approx(information, abs=1e-9)


@pytest.mark.parametrize("information", [0, -0.1, 0.9991572, 1, float("nan")])
def test_information_out_of_range(information):
    with pytest.raises(ValueError, match=r"information must be between 0 and H\(Y\) = 0.99915"):
        spherical_rule(information)


@given(st.integers(0, 2**32))
def test_committee_is_balanced_and_odd(seed):
    x, y = committee_rule(seed)
    assert y.dtype == np.uint8
    assert np.array_equal(1 - y, y[::-1])  # row 4095 - n is the complement of row n
    assert np.array_equal(y, committee_rule(seed)[1])
    assert len(x) == len(y)


def test_committee_is_a_majority_of_perceptrons():
    x, y = committee_rule(3)
    weights = np.random.default_rng(3).choice([-1, 1], size=(3, 12))
    for n in range(0, 4096, 37):
        spins = [2 * int(bit) - 1 for bit in x[n]]
        votes = 0
        for w in weights.tolist():
            field = sum(a * b for a, b in zip(w, spins, strict=True)) or w[0] * spins[0]
            votes += 1 if field > 0 else -1
        assert y[n] == (votes > 0)


def test_digits_are_a_sample_of_real_data(monkeypatch):
    x, y = digits()
    assert (x.shape, x.dtype, x.min(), x.max()) == ((1797, 64), np.float64, 0, 1)
    assert (y.shape, np.unique(y).tolist()) == ((1797,), list(range(10)))
    assert np.issubdtype(y.dtype, np.integer)
    monkeypatch.setitem(sys.modules, "sklearn.datasets", None)
    with pytest.raises(
        ImportError, match=r'digits needs scikit-learn: pip install "ibfast\[run\]"'
    ):
        digits()


IDX_CODES = {"uint8": 8, "int8": 9, "int16": 11, "int32": 12, "float32": 13, "float64": 14}


def idx(array):
    """The bytes of an IDX file, as LeCun's page has them."""
    head = struct.pack(
        f">BBBB{array.ndim}I", 0, 0, IDX_CODES[array.dtype.name], array.ndim, *array.shape
    )
    return head + array.astype(array.dtype.newbyteorder(">")).tobytes()


def write_mnist(folder, stem="train", n=5, names=("{}-images-idx3-ubyte", "{}-labels-idx1-ubyte")):
    rng = np.random.default_rng(n)
    images = rng.integers(0, 256, (n, 28, 28), dtype=np.uint8)
    labels = rng.integers(0, 10, n, dtype=np.uint8)
    for name, array in zip(names, (images, labels), strict=True):
        data = idx(array)
        path = folder / name.format(stem)
        path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)
    return images, labels


@given(
    array=hnp.arrays(
        st.sampled_from([*IDX_CODES]), hnp.array_shapes(min_dims=0, max_dims=5, min_side=0)
    ),
    compressed=st.booleans(),
)
def test_idx_files_come_back(tmp_path_factory, array, compressed):
    path = tmp_path_factory.getbasetemp() / "array.idx"
    path.write_bytes(gzip.compress(idx(array)) if compressed else idx(array))
    found = read_idx(path)
    assert (found.dtype, found.shape) == (array.dtype, array.shape)
    assert found.dtype.isnative
    assert found.flags.writeable
    assert found.tobytes() == array.tobytes()  # NaN too


def test_idx_is_read_to_the_last_byte(tmp_path):
    path = tmp_path / "array"
    data = bytes.fromhex("00000b02 00000001 00000003 0102 fffe 8000")
    path.write_bytes(data)
    assert read_idx(str(path)).tolist() == [[258, -2, -32768]]
    for n in range(4):
        path.write_bytes(data[:n])
        with pytest.raises(
            ValueError, match=r"array: begins with .*; expected an IDX file: 00 00, a"
        ):
            read_idx(path)
    for n in range(4, 12):
        path.write_bytes(data[:n])
        with pytest.raises(ValueError, match=rf"array: {n} bytes; expected 2 sizes, 12 bytes"):
            read_idx(path)
    for n in range(12, 18):
        path.write_bytes(data[:n])
        expected = rf"{n} bytes; expected 18, for int16 of shape \(1, 3\): it is cut off"
        with pytest.raises(ValueError, match=expected):
            read_idx(path)
    path.write_bytes(data + b"\0")
    with pytest.raises(ValueError, match=r"19 bytes; expected 18, .* followed by something else"):
        read_idx(path)


@pytest.mark.parametrize("wrong", ["01000801", "00010801", "00000a01", "89504e47"])
def test_what_is_no_idx_file_is_refused(tmp_path, wrong):
    (tmp_path / "array").write_bytes(bytes.fromhex(wrong) + bytes(20))
    shown = bytes.fromhex(wrong).hex(" ")
    with pytest.raises(
        ValueError, match=rf"begins with {shown}; .* type \(08, 09, 0b, 0c, 0d, 0e\)"
    ):
        read_idx(tmp_path / "array")


def test_a_size_beyond_memory_is_only_a_file_cut_off(tmp_path):
    (tmp_path / "array").write_bytes(bytes.fromhex("00000e03") + b"\xff" * 12)
    with pytest.raises(ValueError, match=r"array: 16 bytes; expected \d{30}, .* cut off"):
        read_idx(tmp_path / "array")


@pytest.mark.parametrize("damage", ["cut", "header", "middle", "sum", "tail"])
def test_damaged_gzip_is_refused(tmp_path, damage):
    data = bytearray(gzip.compress(idx(np.random.default_rng(0).integers(0, 255, 999, np.uint8))))
    if damage == "cut":
        del data[-20:]
    elif damage == "tail":
        data += b"more"
    else:
        data[{"header": 2, "middle": len(data) // 2, "sum": -6}[damage]] ^= 255
    (tmp_path / "array.gz").write_bytes(data)
    with pytest.raises(ValueError, match=r"array\.gz: damaged gzip file: ."):
        read_idx(tmp_path / "array.gz")


@pytest.mark.parametrize("suffix", ["", ".gz"])
@pytest.mark.parametrize("mark", ["-", "."])
def test_mnist_of_either_name(tmp_path, mark, suffix):
    names = [
        f"{{}}-{kind}{mark}{idx}-ubyte{suffix}"
        for kind, idx in (("images", "idx3"), ("labels", "idx1"))
    ]
    for split, stem, n in (("train", "train", 7), ("test", "t10k", 4)):
        expected = write_mnist(tmp_path, stem, n, names)
        for found, array in zip(mnist(tmp_path, split), expected, strict=True):
            assert np.array_equal(found, array)
            assert found.dtype == np.uint8
    assert len(mnist(str(tmp_path))[0]) == 7


def test_mnist_that_is_missing(tmp_path):
    match = r"""(?s)train-images-idx3-ubyte, train-images-idx3-ubyte\.gz, train-images\.idx3.*
  https://ossci-datasets\.s3\.amazonaws\.com/mnist/train-images-idx3-ubyte\.gz
.*
  http://fashion-mnist\.s3-website\.eu-central-1\.amazonaws\.com/t10k-labels-idx1-ubyte\.gz$"""
    with pytest.raises(FileNotFoundError, match=match):
        mnist(tmp_path)
    write_mnist(tmp_path)
    with pytest.raises(FileNotFoundError, match="none of t10k-images-idx3-ubyte, "):
        mnist(tmp_path, "test")
    (tmp_path / "train-labels-idx1-ubyte").unlink()
    with pytest.raises(FileNotFoundError, match="none of train-labels-idx1-ubyte, "):
        mnist(tmp_path)


def test_mnist_with_something_else_in_it(tmp_path):
    images, _ = write_mnist(tmp_path)
    for name, wrong, expected in (
        ("labels-idx1", np.zeros(4, np.uint8), "5 images and 4 labels"),
        (
            "labels-idx1",
            np.zeros((5, 1), np.uint8),
            r"labels-.* uint8 of shape \(5, 1\); .* \(n,\)",
        ),
        ("labels-idx1", np.array(5, np.uint8), r"labels-.* uint8 of shape \(\); .* \(n,\)"),
        ("images-idx3", images.astype(np.int32), r"images-.* int32 of .*; .* uint8 \(n, 28, 28\)"),
        (
            "images-idx3",
            images[:, :27],
            r"images-.* uint8 of shape \(5, 27, 28\); .* \(n, 28, 28\)",
        ),
    ):
        (tmp_path / f"train-{name}-ubyte").write_bytes(idx(wrong))
        with pytest.raises(ValueError, match=expected):
            mnist(tmp_path)
    with pytest.raises(ValueError, match="split: 'valid'; expected 'train' or 'test'"):
        mnist(tmp_path, "valid")
