"""Whatever can be wrong with what a recorder is given: a clear error, and nothing is lost."""

import numpy as np
import pytest
import torch
from torch import nn

import ibfast
from ibfast.binning import Integers, Quantile, Uniform, Width
from ibfast.estimators import KDE
from ibfast.recorder import Batch, Recorder
from ibfast.recorder._cells import Cells
from test_recorder import batches, data, mlp


def measure(batch=None, *, model=None, layers="auto", **options):
    x, y = data(40)
    options = {"bins": 4, "exhaustive": True, **options}
    loader = [(x, y)] if batch is None else [batch]
    return Recorder(model or mlp(), layers, **options).measure(loader, epoch=0)


@pytest.mark.parametrize(
    ("options", "kind", "text"),
    [
        ({"layers": "nope"}, ValueError, "layers: no module is called 'nope'; the nearest names"),
        ({"layers": ["1", "x.*"]}, ValueError, r"no module is called 'x\.\*'"),
        ({"layers": nn.Tanh()}, ValueError, "layers: Tanh is no module of the model"),
        ({"layers": nn.Conv2d}, ValueError, "chooses no module of Sequential"),
        ({"layers": lambda name, module: False}, ValueError, "chooses no module of Sequential"),
        ({"layers": []}, ValueError, "chooses no module of Sequential"),
        ({"layers": 3}, TypeError, "layers: 3 of type int; expected 'auto', names or patterns"),
        ({"layers": [int]}, TypeError, "layers: <class 'int'> of type type; expected"),
        ({"bins": 0}, ValueError, "bins: 0; expected an integer from 1"),
        ({"bins": Quantile(4)}, ValueError, r"bins: Quantile\(n=4\) depends on the data, but a"),
        ({"bins": {"9": 3}}, ValueError, "bins: '9' fits none of the layers 1, 3, 5"),
        ({"bins": {"1": "x"}}, TypeError, "bins: 'x'; expected an integer, an array of edges"),
        ({"pool": "sum"}, ValueError, "pool: 'sum'; expected one of flatten, mean, max, spatial"),
        ({"pool": 3}, TypeError, "pool: 3 of type int; expected one of flatten"),
        ({"channels": "last"}, ValueError, "channels: 'last'; expected 'auto' or a dimension"),
        ({"channels": 1.5}, TypeError, "channels: 1.5 of type float; expected an integer"),
        ({"dims": "all"}, ValueError, "dims: 'all'; expected 'joint', 'per_unit' or an integer"),
        ({"dims": 0}, ValueError, "dims: 0; expected an integer from 1"),
        ({"when": "sometimes"}, ValueError, "when: 'sometimes'; expected 'log', 'every', the"),
        ({"when": 1.5}, TypeError, r"when: 1\.5 of type float; expected 'log', 'every', the"),
        ({"when": [-1]}, ValueError, "when: -1; expected an integer from 0"),
        ({"class_weights": [1, -1]}, ValueError, "class_weights: -1.0 at 1; expected finite"),
        ({"class_weights": [1, 0]}, ValueError, "class_weights: .*; expected positive numbers"),
        ({"estimators": {"a b": KDE()}}, ValueError, "estimators: 'a b'; expected names such as"),
        ({"estimators": {"kde": KDE}}, TypeError, "estimators: 'kde' is a type; expected one of"),
        ({"estimators": {"k": KDE()}, "reservoir": 0}, ValueError, "reservoir: 0; expected an"),
        ({"shuffles": -1}, ValueError, "shuffles: -1; expected an integer from 0"),
        ({"unpack": 3}, TypeError, "unpack: 3; expected a function from a batch to a Batch"),
        ({"seed": -1}, ValueError, "seed: -1; expected an integer from 0"),
        ({"threads": -1}, ValueError, "threads: -1; expected an integer from 0"),
    ],
)
def test_options(options, kind, text):
    with pytest.raises(kind, match=text):
        Recorder(mlp(), **options)


def test_unlike_names_are_not_offered():
    with pytest.raises(ValueError, match=r"nearest names are 'encoder\.0\.5'"):
        Recorder(nn.ModuleDict({"encoder": nn.Sequential(mlp())}), "encoder.0.5x")


def test_what_is_no_model():
    with pytest.raises(TypeError, match=r"model: function; expected a torch\.nn\.Module"):
        Recorder(lambda x: x)


def test_models_and_tensors_on_the_meta_device():
    with pytest.raises(ValueError, match=r"model: its parameters, such as '0\.weight', are on the"):
        Recorder(mlp().to("meta"))

    class Meta(nn.Module):
        def forward(self, x):
            return x.to("meta")

    with pytest.raises(ValueError, match="layer 'Meta', batch 0: its output is on the meta device"):
        measure(model=Meta(), layers=Meta)


X, Y = data(40)


@pytest.mark.parametrize(
    ("batch", "kind", "text"),
    [
        (X, TypeError, r"batch 0: loader: a batch that is a Tensor; expected \(x, labels\)"),
        ((X,), TypeError, "batch 0: loader: a batch that is a tuple of 1; expected"),
        ((X, Y, Y), TypeError, "batch 0: loader: a batch that is a tuple of 3; expected"),
        ({"x": X}, TypeError, "batch 0: loader: a batch with 'x' and no 'labels'; say unpack="),
        ({}, TypeError, "batch 0: loader: a batch with nothing and no 'labels'"),
        ((X, None), ValueError, "batch 0: labels: None for 'y'; expected the labels of each"),
        ((X, {}), ValueError, "batch 0: labels: an empty mapping; expected the labels of each"),
        ((X, {"a": Y, "b": None}), ValueError, "batch 0: labels: None for 'b'; expected the lab"),
        ((X, {3: Y}), ValueError, "batch 0: labels: label set 3; expected names without '/'"),
        ((X, Y[:30]), ValueError, "layer '1', batch 0: acts: 40 rows; expected 30, as there are"),
        ((X, {"a": Y, "b": Y[:3]}), ValueError, r"batch 0: labels: shapes \[\(40,\), \(3,\)\]"),
        ((X, 3), ValueError, r"batch 0: labels: shapes \[\(\)\]; expected as many rows in each"),
        ((X, Y - 1), ValueError, "layer '1', batch 0: labels: classes from -1 to 0; expected 0"),
        ((X, Y + 0.5), ValueError, "batch 0: labels: fractional values; expected classes 0, 1"),
        ((X, torch.rand(40, 3)), ValueError, "batch 0: labels: row 0 is .* sums to"),
        ((X, Y[:, None].repeat(1, 3)), ValueError, r"labels: shape \(40, 3\); expected \(n,\) or"),
        (Batch(X, Y, inputs=Y[:3]), ValueError, r"batch 0: inputs: shape \(3,\); expected \(n,\)"),
        (Batch(X, Y, inputs=Y + 2**31), ValueError, r"batch 0: inputs: 2147483649; expected ids"),
        (Batch(X, Y, inputs=Y - 1), ValueError, "layer '1', batch 0: labels: classes from -1"),
        (Batch(X, Y, weights=-Y), ValueError, "batch 0: weights: -1.0 at row .*none negative"),
    ],
)
def test_batches(batch, kind, text):
    with pytest.raises(kind, match=text):
        measure(batch)


def test_class_weights_that_do_not_fit():
    with pytest.raises(ValueError, match="class_weights: 1 of them for classes from 0 to 1"):
        measure(class_weights=[1.0])
    soft = torch.full((40, 2), 0.5)
    with pytest.raises(ValueError, match=r"class_weights: 3 of them for labels of shape \(40, 2\)"):
        measure((X, soft), class_weights=[1.0, 2.0, 3.0])


def test_estimators_that_cannot_weigh():
    with pytest.raises(ValueError, match=r"class_weights: \[1, 2\]; expected none with estimators"):
        Recorder(mlp(), class_weights=[1, 2], estimators={"kde": KDE()})
    with pytest.raises(ValueError, match="batch 0: weights: given; expected none with estimators"):
        measure(Batch(X, Y, weights=Y + 1), estimators={"kde": KDE()})


def test_loaders():
    recorder = Recorder(mlp())
    with pytest.raises(TypeError, match="loader: int; expected batches to iterate over"):
        recorder.measure(3, epoch=0)
    with pytest.raises(ValueError, match="loader: no batch; expected at least one"):
        recorder.measure([], epoch=0)
    with pytest.raises(TypeError, match="loader: an iterator; expected one that can be iterated"):
        recorder.calibrate(iter([(X, Y)]))
    with pytest.raises(TypeError, match=r"batch 0: unpack: it returned int; expected ibfast\.rec"):
        measure(unpack=lambda batch: 3)
    with pytest.raises(ValueError, match="split: 'a/b'; expected a name without '/'"):
        recorder.measure([(X, Y)], epoch=0, split="a/b")
    with pytest.raises(ValueError, match="split: ''; expected a name"):
        recorder.measure({"": [(X, Y)]}, epoch=0)
    with pytest.raises(ValueError, match="epoch: -1; expected an integer from 0"):
        recorder.measure([(X, Y)], epoch=-1)
    with pytest.raises(TypeError, match=r"epoch: 1\.5 of type float; expected an integer"):
        recorder.is_due(1.5)


@pytest.mark.parametrize("bins", [4, Width(0.5), Uniform(4, (-1, 1))])
@pytest.mark.parametrize("dims", ["joint", "per_unit", 2])
def test_not_a_number_names_layer_batch_row_and_unit(bins, dims):
    x = X.clone()
    x[25, 3] = torch.nan
    model = nn.Sequential(nn.Tanh())
    place = "row 5, unit [0-9]" if dims == 2 else "row 5, unit 3"
    with pytest.raises(ValueError, match=f"layer '0', batch 1: acts: NaN at {place}"):
        Recorder(model, bins=bins, dims=dims).measure(batches(x, Y, 20), epoch=0)
    relu = nn.Sequential(nn.ReLU())
    with pytest.raises(ValueError, match=f"layer '0', batch 1: acts: NaN at {place}"):
        Recorder(relu, bins=bins, dims=dims).measure(batches(x, Y, 20), epoch=0)


def test_an_error_in_a_later_measurement_loses_nothing():
    model = mlp()
    recorder = Recorder(model, bins=4, when="every")
    recorder.measure([(X, Y)], epoch=0)
    before = recorder.plane()
    bad = X.clone()
    bad[3] = torch.nan
    with pytest.raises(ValueError, match="layer '1', batch 1: acts: NaN at row 3"):
        recorder.measure([(X, Y), (bad, Y)], epoch=1)
    assert recorder.plane().identical(before)
    recorder.measure([(X, Y)], epoch=1)
    assert recorder.plane().sizes["epoch"] == 2


def test_layers_that_change_shape_between_batches():
    model = nn.Sequential(nn.Tanh())
    with pytest.raises(ValueError, match="layer '0', batch 1: acts: 5 units; expected 6, as in"):
        Recorder(model, exhaustive=True).measure([(X, Y), (X[:, :5], Y)], epoch=0)
    with pytest.raises(ValueError, match=r"layer '0', batch 1: labels, inputs: .*as in the first"):
        Recorder(model).measure([(X, Y), (X, {"z": Y})], epoch=0)
    with pytest.raises(ValueError, match=r"layer '0', batch 1: labels, inputs: .*as in the first"):
        Recorder(model).measure([(X, Y), Batch(X, Y, inputs=Y)], epoch=0)
    with pytest.raises(
        ValueError, match="layer '0', batch 1: acts: signed integer; expected float"
    ):
        Recorder(nn.Sequential(nn.ReLU()), bins=Width(1.0)).measure(
            [(X, Y), ((X * 9).long(), Y)], epoch=0
        )


def test_layers_that_never_run():
    class Half(nn.Module):
        def __init__(self):
            super().__init__()
            self.used, self.unused = nn.Linear(6, 2), nn.Linear(6, 2)

        def forward(self, x):
            return self.used(x)

    model = Half()
    for layers in (["*used", "unused"], [model.unused, "used"]):
        with pytest.raises(ValueError, match="layers: 'unused' never ran; a module whose weights"):
            measure(model=model, layers=layers)
    with pytest.raises(ValueError, match="batch 0, but none of the layers 'unused' has run since"):
        measure(model=model, layers="unused")
    for layers in ("auto", "*used", nn.Linear):
        recorder = Recorder(model, layers, exhaustive=True)
        recorder.measure([(X, Y)], epoch=0)
        assert recorder.plane().layer.attrs["names"] == ["used"]
        assert recorder.plane().attrs["never_ran"] == ["unused"]
        runs = []
        handle = model.used.register_forward_hook(lambda *_, runs=runs: runs.append(1))
        recorder.measure([(X, Y)], epoch=1)
        handle.remove()
        assert len(runs) == 1  # nobody waits for bins of what does not run


@pytest.mark.parametrize(
    ("output", "kind", "text"),
    [
        ("a string", TypeError, "no tensor in an output of type str; say pool=function"),
        ((None, 3), TypeError, "no tensor in an output of type tuple"),
        ({}, TypeError, "no tensor in an output of type dict"),
        (torch.tensor(3.0), ValueError, "its output is a single number; expected one row a"),
        (torch.eye(40).to_sparse(), TypeError, "its output is torch.sparse_coo; expected a dense"),
        (
            torch.zeros(40, 2, dtype=torch.complex64),
            TypeError,
            "its output is torch.complex64; expected real",
        ),
        (torch.zeros(40, 0), ValueError, r"its output has shape \(40, 0\), which is empty"),
    ],
)
def test_outputs_that_cannot_be_measured(output, kind, text):
    class Odd(nn.Module):
        def forward(self, x):
            return output

    with pytest.raises(kind, match=f"layer 'Odd', batch 0: .*{text}"):
        measure(model=Odd(), layers=Odd, bins=Width(1.0))


def test_pools_that_do_not_fit():
    model = nn.Sequential(nn.Unflatten(1, (2, 3)), nn.Tanh())
    for channels in (3, -3, 0):
        with pytest.raises(ValueError, match=f"channels: {channels}; there is no such dimension"):
            measure(model=model, layers="1", pool="mean", channels=channels)
    for pool, got in ((lambda out: out, r"shape \(40, 2, 3\)"), (lambda out: 3, "3")):
        with pytest.raises(ValueError, match=rf"pool: the function returned {got}; expected a ten"):
            measure(model=model, layers="1", pool=pool)
    with pytest.raises(ValueError, match=r"layer '1', batch 0: acts: 2 rows; expected 40, .*pool="):
        measure(model=model, layers="1", pool=lambda out: out[:2, 0])


def test_bins_that_do_not_fit_the_layer():
    with pytest.raises(TypeError, match=r"layer '1', batch 0: acts: dtype float32; Integers\(\) e"):
        measure(bins=Integers())
    with pytest.raises(ValueError, match=r"layer '1', batch 0: edges: shape \(5, 2\); expected"):
        measure(bins=np.zeros((5, 2)))


def test_projections_to_more_dimensions_than_units():
    with pytest.raises(
        ValueError, match="layer '1', batch 0: dims: 99; expected at most 3, the un"
    ):
        measure(dims=99)


def test_projections_of_too_many_units():
    cells = Cells(4, 2, None, 0, 0)
    cells.settle([cells.observe(torch.ones(2, 3))], "")
    with pytest.raises(ValueError, match="dims: 2097153 units; expected at most 2097152 to proj"):
        cells.observe(torch.ones(1, 2**21 + 1))


def test_labels_that_are_missing_while_listening():
    model = mlp()
    recorder = Recorder(model, bins=4)

    def listen(*batches):
        """Each a number of runs of the model, and labels or False where none are handed over."""
        with recorder.listen(epoch=0) as heard:
            for runs, labels in batches:
                for _ in range(runs):
                    model(X)
                if labels is not False:
                    heard(labels)

    with pytest.raises(ValueError, match="labels: missing for batch 1: after the model has run"):
        listen((1, Y), (2, Y))
    with pytest.raises(ValueError, match="labels: missing for batch 0, the last"):
        listen((1, False))
    with pytest.raises(ValueError, match="labels: of batch 0, but none of the layers '1'"):
        listen((0, Y))
    with pytest.raises(ValueError, match="batch 0: labels: None for 'y'; expected"):
        listen((1, None))
    with pytest.raises(ValueError, match="loader: no batch"), recorder.listen(epoch=0):
        pass
    with pytest.raises(ValueError, match="split: 'a/b'"), recorder.listen(epoch=0, split="a/b"):
        pass
    with pytest.raises(ValueError, match="plane: nothing was measured yet"):
        recorder.plane()


def test_replicas_of_data_parallel_training():
    model = mlp()
    recorder = Recorder(model, bins=4)
    with recorder.listen(epoch=0) as heard:
        with pytest.raises(RuntimeError, match="a replica of the model runs, as DataParallel"):
            model[1]._replicate_for_data_parallel()(X)
        model(X)
        heard(Y)


def test_saturation_warns_once():
    model = nn.Sequential(nn.Tanh())
    recorder = Recorder(model, when="every")
    with pytest.warns(ibfast.SaturationWarning, match="layers 0: at least nine in ten") as caught:
        recorder.measure([(X, Y)], epoch=0)
    assert caught[0].filename == __file__
    recorder.measure([(X, Y)], epoch=1)
    diagnosis = recorder.plane().layer.attrs["diagnostics"][0]
    assert "saturated in 2 of 2 measurements: in 'data' at epoch 0 100% of 40 rows are" in diagnosis
    assert "for 6 units have more cells than there are rows to fill" in diagnosis


def test_states():
    recorder = Recorder(mlp(), bins=4)
    recorder.measure([(X, Y)], epoch=0)
    state = recorder.state_dict()
    for wrong in (None, {}, {**state, "version": 99}):
        with pytest.raises(ValueError, match="that is no recorder's state of version 1"):
            Recorder(mlp()).load_state_dict(wrong)
    with pytest.raises(ValueError, match=r"state: layers \['3', '5'\]; expected some of \['1'\]"):
        Recorder(mlp(), "1").load_state_dict(state)


@pytest.mark.parametrize(
    "options",
    [{"pool": "max"}, {"pool": lambda out: out}, {"channels": 1}, {"dims": 2}, {"seed": 5}],
)
def test_states_of_other_quantities(options):
    recorder = Recorder(mlp(), bins=4, pool="mean")
    recorder.measure([(X, Y)], epoch=0)
    other = Recorder(mlp(), **{"pool": "mean", **options})
    with pytest.raises(ValueError, match=r"state: of layer '1' with \{'pool': 'mean', .* as here"):
        other.load_state_dict(recorder.state_dict())
    with pytest.raises(ValueError, match="plane: nothing was measured yet"):
        other.plane()
    same = Recorder(mlp(), bins=9, pool="mean")
    same.load_state_dict(recorder.state_dict())
    assert same.plane().identical(recorder.plane())


def test_reduce_needs_ranks_and_something_measured():
    recorder = Recorder(mlp())
    with pytest.raises(RuntimeError, match=r"torch\.distributed is not in use: call"):
        recorder.reduce()
