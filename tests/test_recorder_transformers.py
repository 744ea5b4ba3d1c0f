"""Models of others: every layer against activations that plain hooks catch in the same pass."""

import pytest
import torch
from torch import nn

import ibfast

transformers = pytest.importorskip(
    "transformers", reason='needs transformers: pip install "ibfast[dev]"'
)

N, LENGTH = 60, 8
POSITIONS = "position_embeddings"


def bert():
    torch.manual_seed(0)
    config = transformers.BertConfig(
        vocab_size=40,
        hidden_size=12,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=20,
        max_position_embeddings=16,
        num_labels=3,
    )
    return transformers.BertForSequenceClassification(config).eval()


def resnet():
    torch.manual_seed(0)
    config = transformers.ResNetConfig(
        num_channels=1, embedding_size=4, hidden_sizes=[4, 6], depths=[1, 2], layer_type="basic"
    )
    return transformers.ResNetForImageClassification(config).eval()


def sequences(seed):
    """Batches as a tokenizer and a collator make them."""
    generator = torch.Generator().manual_seed(seed)
    ids = torch.randint(1, 40, (N, LENGTH), generator=generator)
    mask = (torch.arange(LENGTH) < torch.randint(3, LENGTH + 1, (N, 1), generator=generator)).long()
    columns = {"input_ids": ids * mask, "attention_mask": mask, "labels": ids[:, 0] % 3}
    return [{name: c[rows] for name, c in columns.items()} for rows in torch.arange(N).split(25)]


def images(seed):
    generator = torch.Generator().manual_seed(seed)
    columns = {
        "pixel_values": torch.randn(N, 1, 16, 16, generator=generator),
        "labels": torch.randint(3, (N,), generator=generator),
    }
    return [{name: c[rows] for name, c in columns.items()} for rows in torch.arange(N).split(25)]


def all_modules(name, module):
    """Leaves and containers that run; but embedded positions have one row for all samples."""
    never = isinstance(module, nn.ModuleList) or name.endswith((".layers", "self.dropout"))
    return not never and not name.endswith(POSITIONS)


def pooled(output, pool):
    """Rows of units, and of how many positions a sample has them, as the documentation says."""
    if not isinstance(output, torch.Tensor):
        output = output[0]  # of a tuple or a ModelOutput
    if output.ndim == 2 or pool == "flatten":
        return output.flatten(1).clone(), 1
    positions = (output.movedim(1, -1) if output.ndim == 4 else output).flatten(1, -2)
    if pool == "spatial":
        return positions.flatten(0, 1), positions.shape[1]
    return positions.mean(1), 1


def check(model, layers, pool, loaders, label_of):
    """Record and catch in one pass, and compare every number of every layer and split."""
    recorder = ibfast.Recorder(model, layers, bins=5, pool=pool, exhaustive=True)
    recorder.calibrate(loaders["train"])
    modules = {name or type(model).__name__: module for name, module in model.named_modules()}
    expected = {}
    for split, loader in loaders.items():
        caught = {}

        def catch(name, caught=caught):
            return lambda m, a, out: caught.setdefault(name, []).append(pooled(out, pool))

        handles = [modules[n].register_forward_hook(catch(n)) for n in recorder.layers]
        with recorder.listen(epoch=0, split=split) as heard, torch.no_grad():
            for batch in loader:
                model(**{name: value for name, value in batch.items() if name != "labels"})
                heard(batch["labels"])
        for handle in handles:
            handle.remove()
        for name, parts in caught.items():
            if name.endswith(POSITIONS):
                continue
            positions = parts[0][1]
            labels = torch.cat([label_of(batch, positions) for batch in loader])
            expected[split, name] = ibfast.layer_information(
                torch.cat([values for values, _ in parts]),
                labels,
                bins=recorder._layout.cells[name].binning,
                outside="cell",
                exhaustive=True,
            )
    plane = recorder.plane()
    names, splits = plane.layer.attrs["names"], plane.split.values.tolist()
    assert len(expected) == 2 * len(names)
    measured = recorder.measure(loaders, epoch=1)
    for field in ("i_xt", "i_ty", "h_t", "h_y", "n", "n_cells", "n_singletons", "saturated"):
        of_plane = plane[field].values[0, 0]
        for (split, name), layer in expected.items():
            value = getattr(layer, field)
            assert of_plane[names.index(name), splits.index(split)] == value, (split, name, field)
            assert measured.layers[split][name][field] == value, (split, name, field)
    return plane


@pytest.mark.parametrize("pool", ["flatten", "mean", "spatial"])
@pytest.mark.parametrize("layers", [all_modules, "auto"])
@pytest.mark.parametrize(("build", "batches"), [(bert, sequences), (resnet, images)])
def test_every_layer_is_that_of_caught_activations(build, batches, layers, pool):
    loaders = {"train": batches(1), "test": batches(2)}
    plane = check(
        build(),
        layers,
        pool,
        loaders,
        lambda b, positions: b["labels"].repeat_interleave(positions),
    )
    assert plane.sizes["layer"] > 8
    assert (plane.i_ty > 0).any()
    if (build, layers) == (bert, "auto"):
        assert plane.attrs["same_for_all_samples"] == [f"bert.embeddings.{POSITIONS}"]


def test_positions_have_labels_of_their_own():
    loaders = {
        split: [{**batch, "labels": batch["input_ids"] % 4} for batch in sequences(seed)]
        for split, seed in (("train", 1), ("test", 2))
    }
    layers = ["bert.embeddings.word_embeddings", "bert.encoder.layer.?"]
    plane = check(bert(), layers, "spatial", loaders, lambda b, positions: b["labels"].flatten())
    assert plane.n.values.ravel().tolist() == [N * LENGTH] * 6
    word = plane.isel(layer=0)
    assert (word.i_ty > 0.9 * word.h_y).all()  # which it is made from
