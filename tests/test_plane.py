import numpy as np
import pytest
import torch
import xarray as xr

import ibfast
from ibfast.plane import information_plane, measure_arrays, measure_layers, over_seeds_sd, summary

RNG = np.random.default_rng(0)
LABELS = RNG.integers(0, 3, 200)


def plane_of(i_xt, i_ty=None, saturated=None, epochs=None, samples=16):
    """A plane with given values (seed, epoch, layer)."""
    i_xt = np.asarray(i_xt, dtype=float)
    i_ty = np.zeros_like(i_xt) if i_ty is None else np.asarray(i_ty, dtype=float)
    saturated = np.zeros(i_xt.shape, bool) if saturated is None else np.asarray(saturated)
    epochs = range(i_xt.shape[1]) if epochs is None else epochs
    return information_plane(
        {
            epoch: {"i_xt": i_xt[:, k], "i_ty": i_ty[:, k], "saturated": saturated[:, k]}
            for k, epoch in enumerate(epochs)
        },
        layers=[f"layer {k}" for k in range(i_xt.shape[2])],
        samples=samples,
        seeds=range(len(i_xt)),
    )


def test_measured_values_are_those_of_each_layer_and_seed():
    layers = [RNG.uniform(-1, 1, (4, 200, d)) for d in (3, 2)]
    edges = np.linspace(-1, 1, 8)
    measured = measure_layers(layers, LABELS, bins=edges, exhaustive=True)
    for seed in range(4):
        for place, layer in enumerate(layers):
            one = ibfast.layer_information(layer[seed], LABELS, bins=edges, exhaustive=True)
            for name, values in measured.items():
                assert values.shape == (4, 2)
                assert values[seed, place] == getattr(one, name)


def test_unit_major_tensors_are_taken_as_they_are():
    hidden = torch.rand(4, 3, 200)
    rows = hidden.transpose(1, 2)
    ours = measure_layers([rows], LABELS, bins=5)
    theirs = measure_layers([rows.contiguous().numpy()], LABELS, bins=5)
    assert all(np.array_equal(ours[name], theirs[name]) for name in ours)


def test_the_plane_has_named_dims_and_units():
    records = {
        epoch: {
            **measure_layers([RNG.uniform(-1, 1, (2, 200, 3))] * 3, LABELS, bins=4),
            "loss": np.full(2, float(epoch)),
        }
        for epoch in (10, 0)
    }
    plane = information_plane(
        records, layers=["a", "b", "c"], samples=200, seeds=(5, 6), attrs={"bins": 4}
    )
    assert dict(plane.sizes) == {"seed": 2, "epoch": 2, "layer": 3}
    assert plane.i_xt.dims == ("seed", "epoch", "layer")
    assert plane.loss.dims == ("seed", "epoch")
    assert plane.epoch.values.tolist() == [0, 10]
    assert plane.loss.sel(epoch=10).values.tolist() == [10, 10]
    assert plane.layer.attrs["names"] == ["a", "b", "c"]
    assert plane.attrs == {"samples": 200, "bins": 4}
    assert all({"units", "long_name"} <= set(plane[name].attrs) for name in plane)
    assert plane.i_ty.attrs["units"] == "bits"
    expected = records[10]["i_ty"]
    assert np.array_equal(plane.i_ty.sel(epoch=10), expected)


def test_no_records():
    with pytest.raises(ValueError, match="records must hold at least one epoch; got none"):
        information_plane({}, layers=[], samples=1)


def test_summary_by_hand():
    # Two seeds, three epochs, two layers.
    i_xt = [[[4, 1], [4, 3], [3.5, 1]], [[4, 1], [4, 5], [2.5, 3]]]
    i_ty = [[[0, 0], [0, 0], [1, 0.5]], [[0, 0], [0, 0], [1, 0.7]]]
    saturated = np.zeros((2, 3, 2), bool)
    saturated[:, 0, 0] = True
    lines = summary(plane_of(i_xt, i_ty, saturated, epochs=(0, 7, 50)))
    assert lines.peak_epoch.values.tolist() == [0, 7]
    assert lines.peak.values.tolist() == [4, 4]
    assert lines.compression.values.tolist() == [1, 2]
    assert lines.final_i_xt.values.tolist() == [3, 2]
    assert lines.final_i_xt_sd.values == pytest.approx([0.5**0.5, 2**0.5])
    assert lines.final_i_ty.values == pytest.approx([1, 0.6])
    assert lines.saturated.values.tolist() == [True, False]


@pytest.mark.parametrize(("seeds", "expected"), [([1, 0], False), ([1, 1, 0], True)])
def test_a_layer_is_saturated_where_more_than_half_of_the_seeds_are(seeds, expected):
    saturated = np.array(seeds, bool)[:, None, None]
    lines = summary(plane_of(np.ones(saturated.shape), saturated=saturated))
    assert lines.saturated.item() is expected


def test_sd_of_one_seed_is_nan():
    values = xr.DataArray(np.ones((1, 3)), dims=("seed", "layer"))
    assert np.isnan(over_seeds_sd(values)).all()
    assert np.isnan(summary(plane_of(np.ones((1, 2, 3)))).final_i_xt_sd).all()


def test_recorded_arrays():
    stack = RNG.uniform(-1, 1, (3, 200, 2))
    plane = measure_arrays({"a": stack, "b": stack[..., :1]}, LABELS, epochs=[0, 5, 9], bins=6)
    assert dict(plane.sizes) == {"seed": 1, "epoch": 3, "layer": 2}
    one = ibfast.layer_information(stack[1], LABELS, bins=6)
    assert plane.i_ty.sel(epoch=5, layer=1).item() == one.i_ty
    assert plane.layer.attrs["names"] == ["a", "b"]
    assert plane.attrs["samples"] == 200
    assert plane.attrs["bins"] == 6


def test_one_epoch_needs_no_axis():
    layer = RNG.uniform(-1, 1, (200, 2))
    flat = measure_arrays({"a": layer}, LABELS, bins=6)
    assert flat.equals(measure_arrays({"a": layer[None]}, LABELS, bins=6))


@pytest.mark.parametrize(
    ("layers", "epochs", "message"),
    [
        ({}, None, "layers must be one or more"),
        ({"a": np.zeros((2, 9, 1)), "b": np.zeros((9, 1))}, None, "layers must be one or more"),
        ({"a": np.zeros(9)}, None, r"layer 'a' must have shape \(n, d\).*got \(9,\)"),
        ({"a": np.zeros((0, 9, 1))}, None, r"layer 'a' must have shape .*got \(0, 9, 1\)"),
        ({"a": np.zeros((2, 9, 1))}, [1], "epochs must be 2 different integers"),
        ({"a": np.zeros((2, 9, 1))}, [1, 1], "epochs must be 2 different integers"),
        ({"a": np.zeros((3, 9, 1))}, [1, 1, 2], "epochs must be 3 different integers"),
        ({"a": np.zeros((2, 9, 1))}, [1.0, 2.0], r"epochs must be .*; got float64 \[1\.0, 2\.0\]"),
        ({"a": np.zeros((2, 9, 1))}, [-1, 2], r"integers, none negative; got int64 \[-1, 2\]"),
    ],
)
def test_bad_arrays(layers, epochs, message):
    with pytest.raises(ValueError, match=message):
        measure_arrays(layers, np.zeros(9, int), epochs=epochs)


def test_errors_name_the_epoch_and_the_layer():
    good, bad = np.zeros((2, 9, 1)), np.zeros((2, 9, 2))
    bad[1, 4, 0] = np.nan
    labels = np.zeros(9, int)
    with pytest.raises(ValueError, match=r"^epoch 7: layer 2: acts: NaN at row 4, unit 0"):
        measure_arrays({"a": good, "b": bad}, labels, epochs=[3, 7])
    with pytest.raises(ValueError, match=r"^epoch 0: layer 2: labels: shape \(9,\); expected"):
        measure_arrays({"a": good, "b": good[:, :5]}, labels)
    with pytest.raises(TypeError, match=r"^layer 1: acts: dtype complex128"):
        measure_layers([good[0] * 1j], labels)


def test_values_outside_the_edges():
    acts = np.array([[-3.0], [0.2], [0.8], [3.0]] * 4)
    labels, edges = np.arange(16) % 4, np.array([0, 0.5, 1])
    with pytest.raises(ValueError, match=r"layer 1: acts: 8 of 16 values lie outside \[0, 1\]"):
        measure_arrays({"a": acts}, labels, bins=edges)
    for outside, cells in (("clip", 3), ("cell", 4)):
        plane = measure_arrays({"a": acts}, labels, bins=edges, outside=outside)
        assert plane.n_cells.item() == cells
        assert plane.attrs["outside"] == outside
