"""The recorder against `layer_information` on activations that plain hooks have caught."""

import copy
import itertools
import random

import numpy as np
import pytest
import torch
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

import ibfast
from ibfast.binning import Edges, Integers, Uniform, Width
from ibfast.recorder import Batch, Recorder
from ibfast.recorder._cells import Cells

N = 300


def data(n=N, features=6, seed=0):
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(n, features, generator=generator)
    return x, (x[:, 0] + 0.3 * x[:, 1] > 0).long()


def mlp(*, final=None, hidden=nn.Tanh, seed=0):
    torch.manual_seed(seed)
    final = final or nn.Softmax(1)
    return nn.Sequential(
        nn.Linear(6, 3), hidden(), nn.Linear(3, 2), hidden(), nn.Linear(2, 2), final
    )


def batches(x, y, size):
    return [(x[i : i + size], y[i : i + size]) for i in range(0, len(x), size)]


def caught(model, names, run):
    """Copies of the outputs of modules while `run` runs, call by call."""
    out = {}
    modules = dict(model.named_modules())
    handles = [
        modules[name].register_forward_hook(
            lambda m, a, o, name=name: out.setdefault(name, []).append(copy.deepcopy(o))
        )
        for name in names
    ]
    try:
        with torch.no_grad():
            run()
    finally:
        for handle in handles:
            handle.remove()
    return out


def same(recorded, layer):
    """Equal, bit for bit."""
    for name in ("i_xt", "i_ty", "h_t", "h_t_given_x", "h_y", "n", "n_cells", "n_singletons"):
        assert recorded[name] == getattr(layer, name), name
    assert recorded["saturated"] == layer.saturated


def bins_of(recorder, name):
    return recorder._layout.cells[name].binning


def test_planes_are_those_of_caught_activations():
    model, (x, y) = mlp().eval(), data()
    loader = batches(x, y, 64)
    acts = caught(model, ["1", "3", "5"], lambda: [model(x) for x, _ in loader])
    recorder = Recorder(model, bins=7)
    assert recorder.layers == ["1", "3", "5"]
    measured = recorder.measure(loader, epoch=0)
    for name, expected in (("1", (-1, 1)), ("3", (-1, 1)), ("5", (0, 1))):
        layer = ibfast.layer_information(torch.cat(acts[name]), y, bins=7, range=expected)
        same(measured.layers["data"][name], layer)
    plane = recorder.plane()
    assert plane.i_ty.dims == ("seed", "epoch", "layer")
    assert plane.i_ty.values[0, 0, 0] == measured.layers["data"]["1"]["i_ty"]
    assert plane.saturated.dtype == bool
    assert plane.n.values.tolist() == [[[N, N, N]]]
    assert plane.layer.attrs["bins"][2] == "Uniform(n=7, range=(0.0, 1.0))"
    assert plane.attrs["samples"] == N


@settings(max_examples=25, deadline=None)
@given(st.lists(st.integers(1, N), max_size=6), st.sampled_from(["joint", "per_unit", 2]))
def test_no_number_depends_on_the_split_into_batches(cuts, dims):
    """Of the same activations, which the model itself computes row by row here."""
    x, y = data()
    x = x.round(decimals=1)  # of few values
    model = nn.Sequential(nn.Identity(), nn.ReLU())
    options = {"layers": "1", "bins": 5, "dims": dims, "exhaustive": True}
    whole = Recorder(model, **options).measure((x, y), epoch=0)
    places = [0, *sorted(set(cuts)), N]
    parts = [(x[a:b], y[a:b]) for a, b in itertools.pairwise(places) if a < b]
    assert Recorder(model, **options).measure(parts, epoch=0) == whole


def test_a_width_is_chosen_once_and_stays():
    model, (x, y) = mlp(hidden=nn.ReLU, final=nn.Identity()), data()
    recorder = Recorder(model, bins=16, when="every")
    recorder.measure(batches(x, y, 50), epoch=0)
    chosen = bins_of(recorder, "1")
    assert isinstance(chosen, Width)
    most = caught(model, ["1"], lambda: model(x))["1"][0].max().item()
    assert most / 16 / 2**0.5 <= chosen.width <= most / 16 * 2**0.5
    assert np.log2(chosen.width) % 1 == 0
    assert f"{N} rows at the first measurement" in recorder.plane().layer.attrs["notes"][0]
    with torch.no_grad():
        model[0].weight *= 8
    recorder.measure(batches(x, y, 50), epoch=1)
    assert bins_of(recorder, "1") is chosen
    acts = caught(model, ["1"], lambda: model(x))["1"][0]
    plane = recorder.plane()
    assert plane.i_xt.values[0, 1, 0] == ibfast.entropy(acts, bins=chosen)
    assert plane.i_xt.values[0, 1, 0] > plane.i_xt.values[0, 0, 0] + 1


def test_bins_come_from_the_activation_the_user_or_the_dtype():
    class Model(nn.Module):
        def __init__(self):
            super().__init__()
            self.tanh, self.six, self.relu = nn.Tanh(), nn.ReLU6(), nn.ReLU()
            self.whole, self.soft = Whole(), nn.Softsign()

        def forward(self, x):
            return self.whole(self.tanh(x)), self.six(x), self.relu(x), self.soft(x)

    class Whole(nn.Module):
        def forward(self, x):
            return (x > 0).to(torch.int32)

    x, y = data()
    edges = np.linspace(0, 3, 9)
    recorder = Recorder(
        Model(),
        ["tanh", "six", "relu", "whole", "soft"],
        bins={"relu": edges, "soft": Width(0.5), "*": 8},
        exhaustive=True,
    )
    recorder.measure((x, y), epoch=0)
    assert bins_of(recorder, "tanh") == Uniform(8, (-1, 1))
    assert bins_of(recorder, "six") == Uniform(8, (0, 6))
    assert bins_of(recorder, "relu") == Edges(edges)
    assert bins_of(recorder, "whole") == Integers()
    assert bins_of(recorder, "soft") == Width(0.5)


def test_values_beyond_the_bins_have_cells_and_are_reported():
    x, y = data()
    x[0, 0], x[1, 1] = torch.inf, 1e30
    model = nn.Sequential(nn.ReLU())
    recorder = Recorder(model, bins=Uniform(4, (0, 1)), exhaustive=True)
    measured = recorder.measure(batches(x, y, 70), epoch=0).layers["data"]["0"]
    acts = x.relu()
    same(measured, ibfast.layer_information(acts, y, bins=4, range=(0, 1), outside="cell"))
    share = ((acts > 1).sum() / acts.numel()).item()
    assert measured["outside_share"] == pytest.approx(share)
    diagnosis = recorder.plane().layer.attrs["diagnostics"][0]
    assert f"up to {share:.2%} of the activations lie outside" in diagnosis
    # The same with edges; the last edge itself is not outside.
    recorder = Recorder(model, bins=[0.0, 0.5, 1.0], exhaustive=True)
    x[5] = 1.0
    measured = recorder.measure((x, y), epoch=0).layers["data"]["0"]
    assert measured["outside_share"] == pytest.approx(((x > 1).sum() / x.numel()).item())
    # And a width, of which infinities alone have no number.
    recorder = Recorder(model, bins=Width(0.25), exhaustive=True)
    assert np.isfinite(recorder.measure((x, y), epoch=0).layers["data"]["0"]["i_xt"])


def test_in_place_activations_do_not_change_what_was_before():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(6, 3), nn.ReLU(inplace=True), nn.Linear(3, 2), nn.Tanh())
    x, y = data()
    acts = caught(model, ["0", "1"], lambda: model(x))
    recorder = Recorder(model, ["0", "1"], bins=Width(0.5))
    layers = recorder.measure((x, y), epoch=0).layers["data"]
    for name in ("0", "1"):
        same(layers[name], ibfast.layer_information(acts[name][0], y, bins=Width(0.5)))
    assert layers["0"]["n_cells"] > layers["1"]["n_cells"]


def test_a_module_that_runs_twice_is_two_layers():
    class Twice(nn.Module):
        def __init__(self):
            super().__init__()
            torch.manual_seed(0)
            self.first, self.second = nn.Linear(6, 3), nn.Linear(3, 3)
            self.tanh = nn.Tanh()
            self.alias = self.tanh

        def forward(self, x):
            return self.tanh(self.second(self.alias(self.first(x))))

    model, (x, y) = Twice(), data()
    acts = caught(model, ["tanh"], lambda: model(x))["tanh"]
    recorder = Recorder(model, "tanh", bins={"tanh:2": 5, "tanh": 9})
    layers = recorder.measure(batches(x, y, 100), epoch=0).layers["data"]
    assert list(layers) == ["tanh", "tanh:2"]
    for name, a, bins in zip(layers, acts, (9, 5), strict=True):
        same(layers[name], ibfast.layer_information(a, y, bins=bins, range=(-1, 1)))


@pytest.mark.parametrize(("pool", "dims"), [("spatial", "joint"), ("mean", "per_unit")])
def test_layers_whose_output_all_samples_share_are_left_out(pool, dims):
    class Positions(nn.Module):
        def __init__(self):
            super().__init__()
            self.place, self.linear = nn.Embedding(5, 3), nn.Linear(3, 2)

        def forward(self, x):  # (n, 5, 3)
            return self.linear(x + self.place(torch.arange(5)[None]))

    x, y = torch.randn(40, 5, 3), torch.arange(40) % 2
    options = {"pool": pool, "dims": dims, "bins": Width(0.5), "exhaustive": True}
    recorder = Recorder(Positions(), **options)
    for loader in ([(x, y)], [(x[:1], y[:1]), (x[1:], y[1:])]):
        assert list(recorder.measure(loader, epoch=0).layers["data"]) == ["linear"]
    assert recorder.plane().attrs["same_for_all_samples"] == ["place"]
    with pytest.raises(ValueError, match=r"'place', batch 0: acts: 1 rows; expected 40, .* leave"):
        Recorder(Positions(), ["place", "linear"], **options).measure((x, y), epoch=0)


class Sequences(nn.Module):
    """Outputs of every kind: tuples, mappings, sequences first or second, images."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.lstm = nn.LSTM(3, 2)  # (length, n, d), and a tuple
        self.gru = nn.GRU(3, 2, batch_first=True)
        self.attention = nn.MultiheadAttention(4, 2, batch_first=True)
        self.conv = nn.Conv1d(3, 4, 2)
        self.dictionary = Dictionary()
        self.norm = nn.LayerNorm(4)

    def forward(self, x):  # (n, 5, 3)
        self.lstm(x.transpose(0, 1))
        self.gru(x)
        z = self.norm(self.conv(x.transpose(1, 2)).transpose(1, 2))
        return self.dictionary(self.attention(z, z, z)[0])


class Dictionary(nn.Module):
    def forward(self, x):
        return {"nothing": None, "states": [x, x + 1]}


def rows(output, name, pool):
    """What a layer's rows should be, (n, positions, d) first."""
    while not isinstance(output, torch.Tensor):
        parts = output.values() if isinstance(output, dict) else output
        output = next(part for part in parts if part is not None)
    if name == "lstm":
        output = output.transpose(0, 1)
    positions = output.transpose(1, 2) if name == "conv" else output
    return {
        "flatten": output.flatten(1),
        "spatial": positions.flatten(0, 1),
        "max": positions.amax(1),
    }[pool]


@pytest.mark.parametrize("pool", ["flatten", "max", "spatial"])
def test_outputs_of_every_kind(pool):
    generator = torch.Generator().manual_seed(1)
    x, y = torch.randn(60, 5, 3, generator=generator), torch.arange(60) % 2
    model = Sequences().eval()
    names = ["lstm", "gru", "conv", "norm", "attention", "dictionary"]
    acts = caught(model, names, lambda: model(x))
    recorder = Recorder(model, names, bins=Width(0.25), pool=pool, exhaustive=True)
    layers = recorder.measure([(x[:7], y[:7]), (x[7:], y[7:])], epoch=0).layers["data"]
    assert list(layers) == names
    for name in names:
        values = rows(acts[name][0], name, pool)
        labels = y.repeat_interleave(len(values) // 60)
        expected = ibfast.layer_information(values, labels, bins=Width(0.25), exhaustive=True)
        same(layers[name], expected)
        assert layers[name]["units"] == values.shape[1]


def test_mean_pooling_is_the_mean_in_any_batch():
    generator = torch.Generator().manual_seed(1)
    x, y = torch.randn(64, 3, 7, 9, generator=generator), torch.arange(64) % 2
    model = nn.Sequential(nn.ReLU())
    seen = []

    def pooled(size):
        recorder = Recorder(model, bins=Width(2.0**-30), pool="mean", exhaustive=True)
        original = Cells.keys

        def keys(cells, values):
            seen.append(values)
            return original(cells, values)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(Cells, "keys", keys)
            measured = recorder.measure(batches(x, y, size), epoch=0)
        values = torch.cat(seen)
        seen.clear()
        return measured, values

    one, values = pooled(64)
    assert torch.allclose(values, x.relu().mean((2, 3)), rtol=1e-6)
    for size in (1, 5, 63):
        other, again = pooled(size)
        assert torch.equal(values, again)
        assert other == one


def test_a_function_pools_the_output_as_it_is():
    x, y = torch.randn(40, 5, 3), torch.arange(40) % 2
    model = Sequences().eval()
    last = caught(model, ["gru"], lambda: model(x))["gru"][0][1][-1]
    recorder = Recorder(model, "gru", bins=Width(0.5), pool=lambda out: out[1][-1])
    same(
        recorder.measure((x, y), epoch=0).layers["data"]["gru"],
        ibfast.layer_information(last, y, bins=Width(0.5)),
    )


def test_channels_can_be_said():
    x, y = torch.randn(40, 3, 5), torch.arange(40) % 2
    for channels, dim in (("auto", -1), (1, 1), (-1, -1)):
        recorder = Recorder(
            nn.Sequential(nn.ReLU()),
            bins=Width(0.5),
            pool="max",
            channels={"0": channels},
            exhaustive=True,
        )
        expected = x.relu().movedim(dim, -1).amax(1)
        same(
            recorder.measure((x, y), epoch=0).layers["data"]["0"],
            ibfast.layer_information(expected, y, bins=Width(0.5), exhaustive=True),
        )


def test_positions_have_labels_of_their_own():
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(50, 4, 2, generator=generator)
    of_positions, of_samples = (x[..., 0] > 0).long(), torch.arange(50) % 3
    recorder = Recorder(nn.Sequential(nn.Tanh()), bins=4, pool="spatial")
    batch = Batch(x, {"position": of_positions, "sample": of_samples})
    layer = recorder.measure([batch], epoch=0).layers["data"]["0"]
    acts = x.tanh().flatten(0, 1)
    for name, y in (
        ("position", of_positions.ravel()),
        ("sample", of_samples.repeat_interleave(4)),
    ):
        expected = ibfast.layer_information(acts, y, bins=4, range=(-1, 1))
        assert layer[f"i_ty/{name}"] == expected.i_ty
    assert layer["i_ty/position"] == pytest.approx(1, abs=0.01)


def test_splits_and_label_sets_are_dimensions():
    model, (x, y) = mlp(), data()
    other = (x[:, 2] > 0).long()
    both = [Batch(x, {"y": y, "other": other})]
    few = [Batch(x[:90], {"y": y[:90], "other": other[:90]})]
    recorder = Recorder(model, bins=5, when="every")
    for epoch in (0, 5):
        recorder.measure({"train": both, "test": few}, epoch=epoch)
    plane = recorder.plane()
    assert plane.i_ty.dims == ("seed", "epoch", "layer", "split", "labels")
    assert plane.i_xt.dims == ("seed", "epoch", "layer", "split")
    assert plane.split.values.tolist() == ["train", "test"]
    assert plane.labels.values.tolist() == ["y", "other"]
    assert plane.n.sel(split="test").values.ravel().tolist() == [90] * 6
    acts = caught(model.eval(), ["1"], lambda: model(x[:90]))["1"][0]
    expected = ibfast.layer_information(acts, other[:90], bins=5, range=(-1, 1))
    assert plane.i_ty.sel(split="test", labels="other").values[0, 1, 0] == expected.i_ty


def test_soft_labels_weights_and_inputs():
    model, (x, y) = mlp(), data()
    p = torch.rand(N, generator=torch.Generator().manual_seed(2))
    soft = torch.stack([p, 1 - p], dim=1)
    acts = caught(model.eval(), ["1"], lambda: model(x))["1"][0]
    how = {"bins": 5, "range": (-1, 1)}
    loader = [Batch(x[i : i + 70], soft[i : i + 70]) for i in range(0, N, 70)]
    measured = Recorder(model, "1", bins=5).measure(loader, epoch=0).layers["data"]["1"]
    same(measured, ibfast.layer_information(acts, soft.double(), **how))
    assert "i_ty_null" not in measured

    ids, weights = torch.arange(N) % 40, torch.randint(1, 5, (N,)) / 4
    batch = [Batch(x, y, inputs=ids, weights=weights)]
    measured = Recorder(model, "1", bins=5).measure(batch, epoch=0).layers["data"]["1"]
    expected = ibfast.layer_information(acts, y, inputs=ids, weights=weights, **how)
    for name in ("i_xt", "i_ty", "h_t_given_x"):
        assert measured[name] == pytest.approx(getattr(expected, name), rel=1e-12)
    assert measured["h_t_given_x"] > 0.5

    measured = Recorder(model, "1", bins=5).measure([Batch(x, y, inputs=ids)], epoch=0)
    same(measured.layers["data"]["1"], ibfast.layer_information(acts, y, inputs=ids, **how))


def test_class_weights_are_more_frequent_classes():
    model, (x, y) = mlp(), data()
    acts = caught(model.eval(), ["1"], lambda: model(x))["1"][0]
    how = {"bins": 5, "range": (-1, 1)}
    loader = batches(x, y, 90)
    weights = [1.0, 3.0]
    measured = Recorder(model, "1", bins=5, class_weights=weights).measure(loader, epoch=0)
    # Three copies of each row of class 1.
    often = torch.cat([torch.arange(N), *[torch.nonzero(y).ravel()] * 2])
    expected = ibfast.layer_information(acts[often], y[often], **how)
    assert measured.layers["data"]["1"]["i_ty"] == pytest.approx(expected.i_ty, rel=1e-12)
    soft = nn.functional.one_hot(y).double()
    for by_set in ({"y": weights}, weights):
        recorder = Recorder(model, "1", bins=5, class_weights=by_set)
        other = recorder.measure([Batch(x, soft)], epoch=0).layers["data"]["1"]
        assert other["i_ty"] == pytest.approx(expected.i_ty, rel=1e-12)
    one = Recorder(model, "1", bins=5, class_weights={"z": weights}).measure(loader, epoch=0)
    same(one.layers["data"]["1"], ibfast.layer_information(acts, y, **how))


def test_mean_over_units():
    model, (x, y) = mlp(), data()
    ids = torch.arange(N) % 30
    acts = caught(model.eval(), ["1"], lambda: model(x))["1"][0]
    for inputs in (None, ids):
        recorder = Recorder(model, "1", bins=5, dims="per_unit")
        loader = [
            Batch(x[i : i + 70], y[i : i + 70], None if inputs is None else ids[i : i + 70])
            for i in range(0, N, 70)
        ]
        measured = recorder.measure(loader, epoch=0).layers["data"]["1"]
        units = [
            ibfast.layer_information(acts[:, [u]], y, inputs=inputs, bins=5, range=(-1, 1))
            for u in range(3)
        ]
        for name in ("i_xt", "i_ty", "h_t", "h_y", "n_cells", "n_singletons"):
            assert measured[name] == np.mean([getattr(unit, name) for unit in units])
        assert (measured["n"], measured["units"]) == (N, 3)
    assert "mean over the units" in recorder.plane().layer.attrs["diagnostics"][0]


def test_projections_are_signed_sums():
    x, y = torch.randn(200, 50, generator=torch.Generator().manual_seed(0)), torch.arange(200) % 2
    x = (x * 8).round() / 8
    recorder = Recorder(nn.Sequential(nn.ReLU()), bins=8, dims=2, exhaustive=True)
    measured = recorder.measure(batches(x, y, 33), epoch=0).layers["data"]["0"]
    cells = recorder._layout.cells["0"]
    projected = cells.samples(x.relu())
    signs = next(iter(cells._signs.values()))
    assert set(signs.unique().tolist()) == {-1.0, 1.0}
    assert torch.equal(projected, (x.relu().double() @ signs) * (1 / 50**0.5))
    same(measured, ibfast.layer_information(projected, y, bins=cells.binning, exhaustive=True))
    assert "random projection to 2 dimensions" in recorder.plane().layer.attrs["diagnostics"][0]
    # What is much larger than anything at the first measurement is cut, and said.
    x[0] = 1e9
    later = recorder.measure((x, y), epoch=1).layers["data"]["0"]
    assert later["outside_share"] == 1 / 200


def test_shuffled_labels_show_the_bias_of_few_rows():
    x, y = torch.randn(500, 4, generator=torch.Generator().manual_seed(0)), torch.arange(500) % 2
    recorder = Recorder(nn.Sequential(nn.Tanh()), bins=4)
    layer = recorder.measure((x, y), epoch=0).layers["data"]["0"]
    assert layer["i_ty_null"] == pytest.approx(layer["i_ty"], rel=0.15)
    assert "are there with shuffled labels too" in recorder.plane().layer.attrs["diagnostics"][0]
    recorder = Recorder(nn.Sequential(nn.Tanh()), bins=4, shuffles=0)
    assert "i_ty_null" not in recorder.measure((x, y), epoch=0).layers["data"]["0"]


def test_estimators_get_the_same_sample_of_rows_in_any_batches():
    from ibfast.estimators import KDE, Binned

    x, y = data(1000)
    model = nn.Sequential(nn.Tanh())
    every = {"kde": KDE(0.1), "all": Binned(30, exhaustive=True)}
    found = []
    for size in (1000, 130, 1):
        recorder = Recorder(model, estimators=every, reservoir=100, exhaustive=True)
        found.append(recorder.measure(batches(x, y, size), epoch=0))
    assert found[0] == found[1] == found[2]
    layer = found[0].layers["data"]["0"]
    assert layer["i_xt_all"] <= np.log2(100) + 1e-12
    recorder = Recorder(model, estimators=every, reservoir=2000, exhaustive=True)
    layer = recorder.measure(batches(x, y, 130), epoch=0).layers["data"]["0"]
    assert layer["i_xt_kde"] == pytest.approx(KDE(0.1).i_xt(x.tanh()).value, rel=1e-12)
    assert layer["i_ty_kde"] == pytest.approx(KDE(0.1).i_ty(x.tanh(), y).value, rel=1e-9)
    plane = recorder.plane()
    assert plane.i_ty_kde.attrs["long_name"] == "I(T;Y), kde"
    assert plane.attrs["estimators"][0].startswith("kde: KDE(noise=0.1")


def test_listening_is_measuring():
    model, (x, y) = mlp(hidden=nn.ReLU), data()
    loader = batches(x, y, 64)
    measured = Recorder(model, bins=6)
    measured.measure(loader, epoch=2)
    heard = Recorder(model, bins=6)
    heard.calibrate(loader)
    with heard.listen(epoch=2) as labels:
        for x, y in loader:
            model(x)
            labels(y)
    xr.testing.assert_identical(measured.plane(), heard.plane())


def test_listening_without_calibration_takes_widths_from_the_first_batch():
    model, (x, y) = mlp(hidden=nn.ReLU), data()
    recorder = Recorder(model, bins=6, dims={"1": 2})
    with recorder.listen(epoch=0) as heard:
        for some, labels in batches(x, y, 64):
            model(some)
            heard(labels)
    notes = recorder.plane().layer.attrs["notes"]
    assert "the extent of 64 rows of its first batch" in notes[0]
    assert notes[2] == "range of the activation function"


def test_measuring_leaves_the_model_and_the_training_as_they_are():
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Linear(6, 4), nn.BatchNorm1d(4), nn.Dropout(0.5), nn.Tanh(), nn.Linear(4, 2)
    )
    model.train()
    model[2].eval()  # as a user may have set it
    x, y = data()
    loader = torch.utils.data.DataLoader(
        torch.utils.data.TensorDataset(x, y), batch_size=64, shuffle=True
    )
    before, state = copy.deepcopy(model.state_dict()), torch.get_rng_state()
    model(x).sum().backward()
    gradient = model[0].weight.grad.clone()
    before = copy.deepcopy(model.state_dict())
    state = torch.get_rng_state()
    Recorder(model, bins=6).measure(loader, epoch=0)
    assert [m.training for m in model] == [True, True, False, True, True]
    assert all(
        torch.equal(a, b) for a, b in zip(before.values(), model.state_dict().values(), strict=True)
    )
    assert torch.equal(model[0].weight.grad, gradient)
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.is_grad_enabled()
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in model.modules())


@pytest.mark.parametrize("whose", ["loader", "sampler", "dataset"])
def test_measuring_leaves_random_numbers_of_the_data_as_they_are(whose):
    class Augmented(torch.utils.data.Dataset):
        def __len__(self):
            return 100

        def __getitem__(self, i):
            noise = random.random() + np.random.rand()  # noqa: NPY002  (as data sets do)
            return torch.full((6,), noise + i), i % 2

    generator = torch.Generator()
    sampler = torch.utils.data.RandomSampler(range(100), generator=generator)
    options = {
        "loader": {"shuffle": True, "generator": generator},
        "sampler": {"sampler": sampler},
        "dataset": {},
    }[whose]
    loader = torch.utils.data.DataLoader(Augmented(), batch_size=10, **options)

    def state():
        numpy = np.random.get_state()[2]  # noqa: NPY002
        return generator.get_state().tolist(), random.getstate(), numpy

    before = state()
    Recorder(mlp(), bins=6, exhaustive=True).measure(loader, epoch=0)
    assert state() == before


def test_hooks_are_removed_after_an_error():
    model, (x, y) = mlp(), data()
    recorder = Recorder(model)

    def loader():
        yield x[:10], y[:10]
        raise KeyboardInterrupt

    for measure in (
        lambda: recorder.measure(loader(), epoch=0),
        lambda: recorder.measure([(x[:10, :2], y[:10])], epoch=0),
        lambda: listen_and_fail(recorder, model, x),
    ):
        with pytest.raises((KeyboardInterrupt, RuntimeError)):
            measure()
        assert not any(m._forward_hooks or m._forward_pre_hooks for m in model.modules())
        assert model.training
    with pytest.raises(ValueError, match="plane: nothing was measured yet"):
        recorder.plane()


def listen_and_fail(recorder, model, x):
    with recorder.listen(epoch=0):
        model(x)
        raise RuntimeError("the user's own")


def test_gradients_can_flow_while_listening():
    model, (x, y) = mlp(), data()
    recorder = Recorder(model, bins=6)
    with recorder.listen(epoch=0) as heard:
        nn.functional.nll_loss(model(x).log(), y).backward()
        heard(y)
    assert model[0].weight.grad.abs().sum() > 0
    assert recorder.plane().sizes["layer"] == 3


# torch's own compiler warns of torch's own old one.
compiles = pytest.mark.filterwarnings("ignore:`torch.jit.script_method` is deprecated")


@compiles
@pytest.mark.parametrize("wrap", [nn.DataParallel, torch.compile, lambda m: m])
def test_wrapped_models_are_watched_inside(wrap):
    model, (x, y) = mlp(), data()
    plain = Recorder(model, bins=6)
    plain.measure((x, y), epoch=0)
    wrapped = wrap(model)
    recorder = Recorder(wrapped, bins=6)
    assert recorder.layers == plain.layers
    recorder.measure((x, y), epoch=0)
    xr.testing.assert_identical(recorder.plane(), plain.plane())
    heard = Recorder(wrapped, bins=6)
    with heard.listen(epoch=0) as labels:
        wrapped(x)
        labels(y)
    xr.testing.assert_identical(heard.plane(), plain.plane())


@compiles
def test_models_compiled_in_place_are_watched():
    model, (x, y) = mlp(), data()
    plain = Recorder(model, bins=6)
    plain.measure((x, y), epoch=0)
    model.compile()
    recorder = Recorder(model, bins=6)
    with recorder.listen(epoch=0) as heard:
        model(x)
        heard(y)
    xr.testing.assert_identical(recorder.plane(), plain.plane())


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_other_precisions(dtype):
    x, y = data()
    model = nn.Sequential(nn.Tanh(), nn.ReLU()).to(dtype)
    x = x[:, :2]
    recorder = Recorder(model, ["0", "1"], bins=6)
    layers = recorder.measure((x.to(dtype), y), epoch=0).layers["data"]
    acts = x.to(dtype).tanh()
    same(layers["0"], ibfast.layer_information(acts, y, bins=6, range=(-1, 1)))
    same(layers["1"], ibfast.layer_information(acts.relu(), y, bins=bins_of(recorder, "1")))


def test_when():
    def due(when):
        recorder = Recorder(mlp(), when=when)
        return [epoch for epoch in range(130) if recorder.is_due(epoch)]

    assert due("every") == list(range(130))
    assert due([3, 7]) == [3, 7]
    assert due(lambda epoch: epoch % 50 == 0) == [0, 50, 100]
    logarithmic = due("log")
    assert logarithmic[:11] == list(range(11))
    assert set(logarithmic) == {0} | {round(10 ** (k / 20)) for k in range(43)}

    recorder, (x, y) = Recorder(mlp(), bins=6, when=[3]), data()
    assert recorder.measure((x, y), epoch=1) is None
    with recorder.listen(epoch=1) as heard:
        heard(y)
    assert recorder.measure((x, y), epoch=1, force=True).epoch == 1
    assert recorder.measure((x, y), epoch=3).epoch == 3
    assert recorder.plane().epoch.values.tolist() == recorder.epochs == [1, 3]
    assert recorder.model is recorder._layout.model


def test_the_last_epoch_can_be_said():
    recorder = Recorder(mlp(), when=45)
    due = [epoch for epoch in range(100) if recorder.is_due(epoch)]
    assert due == [*range(11), 11, 13, 14, 16, 18, 20, 22, 25, 28, 32, 35, 40, 45]


def test_extremes_and_a_width_that_was_chosen_too_early():
    model, (x, y) = nn.Sequential(nn.Identity(), nn.ReLU()), data()
    recorder = Recorder(model, "1", bins=4, when="every", exhaustive=True)
    recorder.measure((x, y), epoch=0)
    assert not recorder.plane().layer.attrs["diagnostics"][0].startswith("activations span")
    recorder.measure([(10 * x[:9], y[:9]), (10 * x[9:], y[9:])], epoch=1)
    plane = recorder.plane()
    assert plane.least.values.tolist() == [[[0.0], [0.0]]]
    assert plane.greatest.values[0, 1, 0] == (10 * x).max().item()
    span = plane.greatest.values[0].ravel()
    diagnosis = (
        f"activations span up to {span[1]:.3g}, 10 times as much as when the bins were chosen"
    )
    assert diagnosis in plane.layer.attrs["diagnostics"][0]
    wider = Width(bins_of(recorder, "1").width * 8)  # the power of two next to 10
    assert f"for as few as then, say bins={wider!r}" in plane.layer.attrs["diagnostics"][0]
    assert plane.name.values.tolist() == ["1"]
    again = Recorder(model, "1", bins=4)
    again.load_state_dict(recorder.state_dict())
    assert diagnosis in again.plane().layer.attrs["diagnostics"][0]


def test_a_layer_that_was_dead_when_its_width_was_chosen():
    model, (x, y) = nn.Sequential(nn.ReLU()), data()
    recorder = Recorder(model, bins=8, when="every")
    recorder.measure((-x.abs(), y), epoch=0)
    recorder.measure((x / 1000, y), epoch=1)
    diagnosis = recorder.plane().layer.attrs["diagnostics"][0]
    assert "activations span no more than 0.00" in diagnosis
    assert "but bins were chosen for 1, Width(width=0.125): few of them are used" in diagnosis


@pytest.mark.parametrize("dtype", [torch.uint8, torch.uint16, torch.int64, torch.bool])
def test_layers_of_integers(dtype):
    class Code(nn.Module):
        def forward(self, x):
            return (x[:, :3] > 0).to(dtype)

    x, y = data()
    layer = Recorder(Code(), Code).measure((x, y), epoch=0).layers["data"]["Code"]
    expected = ibfast.layer_information((x[:, :3] > 0).to(dtype), y, bins=Integers())
    same(layer, expected)
    assert (layer["least"], layer["greatest"]) == (0, 1)


def test_a_sequential_has_the_range_of_its_last_function():
    x, y = data()
    block = nn.Sequential(nn.Linear(6, 2), nn.Tanh(), nn.Dropout(0.1))
    model = nn.Sequential(block, nn.Sequential(nn.Flatten()), nn.Linear(2, 2))
    recorder = Recorder(model, ["0", "1"], bins=4)
    recorder.measure((x, {"y": y}), epoch=0)
    assert bins_of(recorder, "0") == Uniform(4, (-1, 1))
    assert isinstance(bins_of(recorder, "1"), Width)


def test_what_was_not_measured_is_nan():
    model, (x, y) = mlp(), data()
    recorder = Recorder(model, bins=6, when="every")
    recorder.measure({"train": [(x, y)]}, epoch=0)
    recorder.measure({"train": [(x, y)], "test": [(x[:50], y[:50])]}, epoch=1)
    recorder.measure([Batch(x, {"y": y, "z": 1 - y})], epoch=1, split="train")
    plane = recorder.plane()
    assert np.isnan(plane.i_ty.sel(split="test", labels="z")).all()
    assert (plane.i_ty.sel(split="train", epoch=1).diff("labels") == 0).all()
    assert np.isnan(plane.i_xt.sel(split="test", epoch=0)).all()
    assert np.isfinite(plane.i_xt.sel(epoch=1)).all()
    assert plane.n.dtype == plane.saturated.dtype == np.float64


def test_a_run_folder(tmp_path):
    from ibfast import plots, store

    model, (x, y) = mlp(), data()
    recorder = Recorder(model, bins=6)
    labels = {"digit": y, "a/b c": (x[:, 3] > 0).long()}
    with pytest.raises(ValueError, match="label set 'a/b c'"):
        recorder.measure([Batch(x, labels)], epoch=0)
    labels = {"digit": y, "b c": (x[:, 3] > 0).long()}
    for epoch in range(3):
        recorder.measure({"train": [Batch(x, labels)], "test": [Batch(x, labels)]}, epoch=epoch)
    folder = recorder.save(tmp_path / "run")
    plane, info = store.open_run(folder)
    xr.testing.assert_identical(plane, recorder.plane())
    assert info["recorder"]["version"] == 1
    names = {file.name for file in (folder / "figures").iterdir()}
    assert {"information_plane_digit.png", "information_plane_b-c.svg"} <= names
    assert plots.plane_figure(plane.sel(labels="digit")).axes[0].get_title() == "train"
    with pytest.raises(FileExistsError, match="choose another folder"):
        recorder.save(folder)
    recorder.save(folder, overwrite=True, figures=False)
    assert not (folder / "figures").exists()


def test_a_state_goes_on_with_the_same_bins():
    model, (x, y) = mlp(hidden=nn.ReLU), data()
    options = {"bins": 6, "dims": {"1": 2}, "when": "every"}
    recorder = Recorder(model, **options)
    recorder.measure((x, y), epoch=0)
    again = Recorder(model, **options)
    again.load_state_dict(recorder.state_dict())
    xr.testing.assert_identical(again.plane(), recorder.plane())
    for one in (recorder, again):
        one.measure((x * 3, y), epoch=1)
    xr.testing.assert_identical(again.plane(), recorder.plane())
    torch.save(recorder.state_dict(), (path := __import__("io").BytesIO()))
    path.seek(0)
    again.load_state_dict(torch.load(path, weights_only=True))
    xr.testing.assert_identical(again.plane(), recorder.plane())


def test_loaders_of_every_kind():
    model, (x, y) = mlp(hidden=nn.ReLU), data()
    expected = Recorder(model, bins=6).measure((x, y), epoch=0)
    for loader in (
        [(x, y)],
        [[x, y]],
        [Batch(x, y)],
        (x.numpy(), y.numpy()),
        torch.utils.data.DataLoader(torch.utils.data.TensorDataset(x, y), batch_size=N),
        [Batch((x,), y)],
        [Batch({"input": x}, {"y": y})],
        [{"input": x, "labels": y}],
        iter([(x, y)]),
    ):
        measured = Recorder(model, bins=6).measure(loader, epoch=0)
        assert measured == expected
    by_function = Recorder(model, bins=6, unpack=lambda batch: (batch[0], batch[2]))
    assert by_function.measure([(x, None, y)], epoch=0) == expected
    by_batch = Recorder(model, bins=6, unpack=lambda batch: Batch(batch[1], batch[0]))
    assert by_batch.measure([(y, x)], epoch=0) == expected


def test_a_model_without_parameters_and_a_layer_of_one_number():
    class Sum(nn.Module):
        def forward(self, x):
            return x.sum(1)

    x, y = data()
    layer = Recorder(Sum(), Sum, bins=8).measure((x, y), epoch=0).layers["data"]["Sum"]
    assert layer["units"] == 1
    assert 2 < layer["i_xt"] < 4


def test_scalars_are_named_by_split_and_layer():
    model, (x, y) = mlp(), data()
    measured = Recorder(model, bins=6).measure({"test": [(x, y)]}, epoch=4)
    scalars = measured.scalars("info")
    assert scalars["info/test/1/i_ty"] == measured.layers["test"]["1"]["i_ty"]
    assert all(isinstance(value, float) for value in scalars.values())


@pytest.mark.parametrize("dims", ["joint", "per_unit", 2])
@pytest.mark.parametrize("bins", [7, Width(0.3), Uniform(5, (-0.5, 0.5)), [-0.5, 0.0, 0.25]])
def test_tensors_elsewhere_have_the_same_cells(monkeypatch, dims, bins):
    """The path of other devices, on tensors of this one."""
    model, (x, y) = mlp(hidden=nn.ReLU), data()
    for dtype in (torch.float32, torch.bfloat16):
        model, x = model.to(dtype), x.to(dtype)
        options = {"bins": bins, "dims": dims, "exhaustive": True}
        here = Recorder(model, "*", **options).measure(batches(x, y, 70), epoch=0)
        with monkeypatch.context() as patch:
            patch.setattr("ibfast.recorder._cells._in_main_memory", lambda values: False)
            there = Recorder(model, "*", **options).measure(batches(x, y, 70), epoch=0)
        assert there == here
