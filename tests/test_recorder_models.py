"""The recorder on models and data that are not as simple as one would like."""

import contextlib
import copy
import json

import numpy as np
import pytest
import torch
import xarray as xr
from torch import nn
from torch.nn.utils import parametrizations
from torch.utils.checkpoint import checkpoint
from torch.utils.data import BatchSampler, DataLoader, RandomSampler, TensorDataset

import ibfast
from ibfast.binning import Uniform, Width
from ibfast.estimators import KDE, Binned
from ibfast.recorder import Batch, Recorder
from test_distributed import two_ranks
from test_recorder import batches, bins_of, caught, data, mlp, same

TANH = nn.Sequential(nn.Tanh())


class Function(nn.Module):
    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, x):
        return self.function(x)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_soft_labels_of_a_softmax(dtype):
    """Their sums are 1 as nearly as their dtype can say."""
    x, _ = data()
    soft = (x @ torch.linspace(-1, 1, 60).reshape(6, 10)).to(dtype).softmax(1)
    again = Binned(Uniform(3, (-1, 1)))
    recorder = Recorder(TANH, bins=3, estimators={"again": again})
    layer = recorder.measure(batches(x, soft, 70), epoch=0).layers["data"]["0"]
    same(layer, ibfast.layer_information(x.tanh(), soft, bins=3, range=(-1, 1)))
    assert layer["i_ty_again"] == pytest.approx(layer["i_ty"], rel=0.02, abs=1e-3)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.bool, torch.int8])
def test_classes_of_any_dtype(dtype):
    x, y = data()
    expected = Recorder(TANH, bins=3).measure((x, y), epoch=0)
    assert Recorder(TANH, bins=3).measure((x, y.to(dtype)), epoch=0) == expected


def test_units_by_the_thousand(monkeypatch):
    """Each has a table of its own, made without a copy of that of all."""
    monkeypatch.setattr(ibfast.JointCounts, "to_bytes", None)
    x, y = torch.randn(50, 4000), torch.arange(50) % 2
    recorder = Recorder(nn.Sequential(nn.ReLU()), bins=4, dims="per_unit")
    layer = recorder.measure((x, y), epoch=0).layers["data"]["0"]
    some = [0, 1999, 3999]
    alone = Recorder(nn.Sequential(nn.ReLU()), bins=bins_of(recorder, "0"))
    units = [alone.measure((x[:, [i]], y), epoch=0).layers["data"]["0"]["i_ty"] for i in some]
    few = Recorder(nn.Sequential(nn.ReLU()), bins=bins_of(recorder, "0"), dims="per_unit")
    mean = few.measure((x[:, some], y), epoch=0).layers["data"]["0"]["i_ty"]
    assert mean == pytest.approx(np.mean(units), rel=1e-12)
    assert 0 < layer["i_ty"] < 1


def test_a_transformer_with_padding():
    """Its fused layers would pass nested tensors, which hooks switch off half of the way."""
    torch.manual_seed(0)
    layer = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)

    class Model(nn.Module):
        def __init__(self):
            super().__init__()
            self.encoder = nn.TransformerEncoder(layer, 2)

        def forward(self, x, padding):
            return self.encoder(x, src_key_padding_mask=padding)

    model = Model().eval()
    x, y = torch.randn(40, 5, 8), torch.arange(40) % 2
    padding = torch.zeros(40, 5, dtype=torch.bool)
    padding[::2, 3:] = True
    names = ["encoder.layers.0.norm2", "encoder.layers.1.norm2"]
    torch.backends.mha.set_fastpath_enabled(False)
    acts = caught(model, names, lambda: model(x, padding))
    torch.backends.mha.set_fastpath_enabled(True)
    recorder = Recorder(model, names, bins=Width(1.0), pool="max", exhaustive=True)
    recorder.measure([Batch((x, padding), y)], epoch=0)
    with torch.no_grad(), recorder.listen(epoch=1) as heard:
        model(x, padding)
        heard(y)
    assert torch.backends.mha.get_fastpath_enabled()
    for name, values in zip(names, recorder.plane().i_xt.values[0].T, strict=True):
        pooled = acts[name][0].amax(1)
        expected = ibfast.layer_information(pooled, y, bins=Width(1.0), exhaustive=True).h_t
        assert values.tolist() == [expected, expected]


def test_fused_attention_is_back_after_passes_that_overlap():
    model, (x, y) = mlp(), data()
    with contextlib.ExitStack() as first, contextlib.ExitStack() as second:
        heard = first.enter_context(Recorder(model, bins=4).listen(epoch=0))
        also = second.enter_context(Recorder(model, bins=4).listen(epoch=0))
        model(x)
        heard(y)
        also(y)
        first.close()
        assert not torch.backends.mha.get_fastpath_enabled()
    assert torch.backends.mha.get_fastpath_enabled()


@pytest.mark.parametrize("reentrant", [True, False])
@pytest.mark.parametrize("before", [True, False])
def test_gradient_checkpoints_are_not_layers_once_more(reentrant, before):
    class Model(nn.Module):
        def __init__(self):
            super().__init__()
            self.inside = mlp()

        def forward(self, x):
            return checkpoint(self.inside, x, use_reentrant=reentrant)

    model, (x, y) = Model(), data()
    recorder = Recorder(model, bins=4)
    x.requires_grad_()
    with recorder.listen(epoch=0) as heard:
        for some, labels in batches(x, y, 150):
            loss = model(some)[:, 0].sum()
            if before:
                heard(labels)
            loss.backward()
            if not before:
                heard(labels)
    assert recorder.plane().layer.attrs["names"] == ["inside.1", "inside.3", "inside.5"]


def test_a_copy_of_a_model_that_is_watched():
    model, (x, y) = mlp(), data()
    recorder = Recorder(model, bins=4)
    with recorder.listen(epoch=0) as heard:
        model(x)
        clone = copy.deepcopy(model)
        clone(x)
        heard(y)
    assert torch.equal(clone(x), model(x))
    other = Recorder(model, bins=4)
    other.measure((x, y), epoch=0)
    xr.testing.assert_identical(other.plane(), recorder.plane())


def test_modes_are_set_by_the_methods_of_modules():
    class Merges(nn.Linear):
        merged = False

        def train(self, mode=True):
            self.merged = not mode
            return super().train(mode)

    model, (x, y) = nn.Sequential(Merges(6, 2), Merges(2, 2), nn.Tanh()), data()
    model[1].eval()
    Recorder(model, "2", bins=4).measure((x, y), epoch=0)
    assert [m.training for m in model] == [True, False, True]
    assert [m.merged for m in model[:2]] == [False, True]


def test_auto_takes_modules_with_parametrizations():
    class LowRank(nn.Module):
        def __init__(self):
            super().__init__()
            self.a = nn.Parameter(torch.ones(2, 1))

        def forward(self, weight):
            return weight + self.a

    last = nn.Linear(3, 2)
    nn.utils.parametrize.register_parametrization(last, "weight", LowRank())
    model = nn.Sequential(
        parametrizations.spectral_norm(nn.Linear(6, 3)),
        nn.ReLU(),
        parametrizations.weight_norm(nn.Linear(3, 3)),
        last,
    )
    recorder = Recorder(model, bins=4, exhaustive=True)
    assert recorder.layers == ["1", "2", "3"]
    assert len(recorder.measure(data(), epoch=0).layers["data"]) == 3


@pytest.mark.filterwarnings("ignore:.*torch.jit.*deprecated")
def test_torch_script_is_not_watched_inside():
    inside = torch.jit.script(nn.Sequential(nn.Linear(6, 3), nn.Tanh()))
    model, (x, y) = nn.Sequential(inside, nn.Linear(3, 2)), data()
    recorder = Recorder(model, bins=4)
    assert recorder.layers == ["1"]
    recorder.measure((x, y), epoch=0)
    with pytest.raises(ValueError, match="layers: '0' is TorchScript, inside which nothing is wa"):
        Recorder(model, "0")


def test_names_with_colons_and_of_the_model_itself():
    class Model(nn.Module):
        def __init__(self):
            super().__init__()
            self.parts = nn.ModuleDict({"a:b": nn.Tanh(), "[c]*": nn.Tanh()})

        def forward(self, x):
            for name in ("a:b", "[c]*", "a:b"):
                x = self.parts[name](x)
            return x

    model = Model()
    bins = {"parts.a:b": 3, "parts.a:b:2": 5, "*": 7}
    recorder = Recorder(model, nn.Tanh, bins=bins, exhaustive=True)
    recorder.measure(data(), epoch=0)
    assert recorder.plane().layer.attrs["names"] == ["parts.a:b", "parts.[c]*", "parts.a:b:2"]
    counts = [bins_of(recorder, name).n for name in recorder.plane().layer.attrs["names"]]
    assert counts == [3, 7, 5]
    again = Recorder(model, nn.Tanh, exhaustive=True)
    again.load_state_dict(recorder.state_dict())
    xr.testing.assert_identical(again.plane(), recorder.plane())

    model = nn.Sequential()
    model.add_module("Sequential", nn.Linear(6, 3))
    model.add_module("last", nn.Linear(3, 1))
    layers = Recorder(model, exhaustive=True).measure(data(), epoch=0).layers["data"]
    assert {name: layer["units"] for name, layer in layers.items()} == {"Sequential": 3, "last": 1}


def test_an_exact_name_counts_before_patterns_at_each_call():
    model = Function(lambda x: model.tanh(model.tanh(x)))
    model.tanh = nn.Tanh()
    recorder = Recorder(model, "tanh", bins={"*": 8, "tanh": 5}, exhaustive=True)
    recorder.measure(data(), epoch=0)
    assert bins_of(recorder, "tanh") == bins_of(recorder, "tanh:2") == Uniform(5, (-1, 1))


@pytest.mark.parametrize("dims", ["joint", 2])
@pytest.mark.parametrize("scale", [1e308, 1e-320, torch.inf])
def test_the_ends_of_floating_point(tmp_path, scale, dims):
    model = Function(lambda x: x[:, :2].double().sign() * scale)
    recorder = Recorder(model, Function, dims=dims, exhaustive=True)
    x, y = data()
    x = x.abs() if scale == torch.inf else x
    recorder.measure((x, y), epoch=0)
    folder = recorder.save(tmp_path / "run", figures=False)
    state = json.loads((folder / "run.json").read_text())["recorder"]
    again = Recorder(model, Function, dims=dims, exhaustive=True)
    again.load_state_dict(state)
    xr.testing.assert_identical(again.plane(), recorder.plane())


@pytest.mark.parametrize("dims", ["joint", 2])
def test_a_batch_of_infinities_alone_has_no_say_in_the_width(dims):
    x, y = data()
    x = x + 1000
    x[:50] = torch.inf
    model = Function(torch.clone)
    whole, parts = (Recorder(model, Function, dims=dims, exhaustive=True) for _ in range(2))
    assert parts.measure(batches(x, y, 50), epoch=0) == whole.measure((x, y), epoch=0)
    assert bins_of(parts, "Function") == bins_of(whole, "Function")


def test_tensors_that_are_negated_lazily():
    model = Function(lambda x: torch.complex(x, x).conj().imag)
    x, y = data()
    recorder = Recorder(model, Function, bins=Width(0.5), exhaustive=True)
    layer = recorder.measure((x, y), epoch=0).layers["data"]["Function"]
    same(layer, ibfast.layer_information(-x, y, bins=Width(0.5), exhaustive=True))


def test_random_numbers_of_a_batch_sampler_are_left():
    generator, (x, y) = torch.Generator(), data()
    sampler = BatchSampler(RandomSampler(range(len(x)), generator=generator), 50, drop_last=False)
    before = generator.get_state()
    loader = DataLoader(TensorDataset(x, y), batch_sampler=sampler)
    Recorder(TANH, bins=3).measure(loader, epoch=0)
    assert torch.equal(generator.get_state(), before)


def test_workers_that_stay_go_on_as_without_measuring():
    x, y = data(40)

    def order(measure):
        torch.manual_seed(0)
        loader = DataLoader(
            TensorDataset(x, y),
            batch_size=10,
            shuffle=True,
            num_workers=1,
            persistent_workers=True,
            multiprocessing_context="fork",
        )
        seen = []
        for _ in range(2):
            for number, (batch, _) in enumerate(loader):
                seen.append(batch)
                if measure and number == 1:
                    Recorder(TANH, bins=3, exhaustive=True).measure(loader, epoch=0)
        return torch.cat(seen)

    assert torch.equal(order(measure=False), order(measure=True))


def test_integers_of_numpy_and_any_seed(tmp_path):
    options = {"bins": np.int64(3), "estimators": {"kde": KDE(0.1)}, "seed": 2**31 - 1}
    recorder = Recorder(TANH, when=np.int64(3), **options)
    recorder.measure(data(), epoch=np.int64(3))
    recorder.measure(data(), epoch=torch.tensor(3))
    assert recorder.epochs == [3]
    recorder.save(tmp_path / "run", figures=False)


def test_a_state_has_all_that_a_plane_says():
    class Model(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv, self.unused = nn.Conv1d(1, 2, 3), nn.Linear(6, 2)
            self.shared = nn.Embedding(4, 2)

        def forward(self, x):
            self.shared(torch.arange(4)[None])
            return self.conv(x[:, None])

    model = Model()
    recorder = Recorder(model, pool="mean", exhaustive=True)
    recorder.measure(data(), epoch=0)
    again = Recorder(model, pool="mean", exhaustive=True)
    again.load_state_dict(json.loads(json.dumps(recorder.state_dict())))
    xr.testing.assert_identical(again.plane(), recorder.plane())
    assert again.plane().attrs["never_ran"] == ["unused"]
    assert again.plane().attrs["same_for_all_samples"] == ["shared"]


def test_layers_that_run_for_one_split_only(tmp_path):
    class Model(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b, self.c = (nn.Linear(6, 2) for _ in range(3))

        def forward(self, x):
            return self.a(x) if len(x) == 60 else self.b(x)

    x, y = data()
    recorder = Recorder(Model(), bins=3, exhaustive=True)
    labels = {"y": y[:60], "z": 1 - y[:60]}
    recorder.measure({"u": [Batch(x[:60], labels)], "v": [Batch(x[:50], {"y": y[:50]})]}, epoch=0)
    assert recorder.plane().attrs["never_ran"] == ["c"]
    figures = recorder.save(tmp_path / "run") / "figures"
    assert (figures / "information_plane_z.png").exists()  # of one split


def test_a_batch_that_failed_is_not_counted_twice():
    model = nn.Sequential(nn.Tanh(), nn.Flatten())
    x, y = torch.randn(20, 4, 2), torch.arange(20) % 2
    recorder = Recorder(model, ["0", "1"], bins=Width(0.5), pool={"0": "spatial"})

    def listen(*rest):
        with recorder.listen(epoch=0) as heard:
            model(x)
            with pytest.raises(ValueError, match=r"layer '1', batch 0: labels: shape \(20, 4\)"):
                heard(y[:, None].repeat(1, 4))
            for labels in rest:
                heard(labels)

    for rest in ((), (y,)):
        with pytest.raises(ValueError, match="batch 0: counted in part only, for an error came"):
            listen(*rest)
    with pytest.raises(ValueError, match="loader: an empty mapping; expected at least one split"):
        recorder.measure({}, epoch=0)


def test_layers_that_run_on_one_rank_only(tmp_path):
    results = two_ranks(
        tmp_path,
        """
    class Model(nn.Module):
        def __init__(self):
            super().__init__()
            self.tanh, self.relu = nn.Tanh(), nn.ReLU()
        def forward(self, x):
            if rank:
                self.relu(self.tanh(x))
            return self.tanh(x)
    recorder = Recorder(Model(), [nn.Tanh, nn.ReLU], bins=4, exhaustive=True)
    recorder.measure([(x, y)], epoch=0)
    recorder.reduce()
    result = recorder.plane()
    """,
    )
    xr.testing.assert_identical(*results)
    assert results[0].layer.attrs["names"] == ["tanh", "relu", "tanh:2"]
    assert results[0].n.values.tolist() == [[[600, 300, 300]]]
