"""Counts and recorders over real gloo processes: equal to one process, bit for bit."""

import pickle
import subprocess
import sys
import textwrap

import pytest
import torch
import xarray as xr
from torch import nn

import ibfast
from ibfast import distributed
from ibfast.recorder import Recorder
from test_recorder import batches, data, mlp

HEADER = """
    import pickle, sys
    import torch
    from torch import nn
    import ibfast
    from ibfast import distributed
    from ibfast.recorder import Batch, Recorder
    rank, folder = int(sys.argv[1]), sys.argv[2]
    torch.set_num_threads(1)
    torch.distributed.init_process_group(
        "gloo", init_method=f"file://{folder}/meeting", rank=rank, world_size=2
    )
    sys.path.insert(0, TESTS)
    from test_recorder import batches, data, mlp
    x, y = data()
    result = None
"""
FOOTER = """
    with open(f"{folder}/result{rank}", "wb") as file:
        pickle.dump(result, file)
    torch.distributed.destroy_process_group()
"""


def two_ranks(folder, code):
    """What both ranks leave in `result`."""
    tests = repr(str(__import__("pathlib").Path(__file__).parent))
    text = (HEADER.replace("TESTS", tests) + code + FOOTER).replace("\n    ", "\n")
    script = folder / "rank.py"
    script.write_text(textwrap.dedent(text))
    ranks = [
        subprocess.Popen(
            [sys.executable, str(script), str(rank), str(folder)],
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in (0, 1)
    ]
    errors = [rank.communicate(timeout=120)[1] for rank in ranks]
    assert [rank.returncode for rank in ranks] == [0, 0], "\n".join(errors)
    return [pickle.loads((folder / f"result{rank}").read_bytes()) for rank in (0, 1)]


def test_tables_of_two_ranks(tmp_path):
    results = two_ranks(
        tmp_path,
        """
    counts = ibfast.JointCounts(bins=5, n_classes=2, range=(-9, 9))
    counts.update(x[rank::2], y[rank::2])
    merged = distributed.merge_counts(counts)
    result = counts.n, merged.to_bytes(), distributed.rank(), distributed.gather("ab"[rank])
    """,
    )
    x, y = data()
    whole = ibfast.JointCounts(bins=5, n_classes=2, range=(-9, 9))
    whole.update(x, y)
    for rank, (n, merged, number, letters) in enumerate(results):
        assert (n, number, letters) == (150, rank, ["a", "b"])
        assert merged == whole.to_bytes()


def test_recorders_of_two_ranks(tmp_path):
    """ReLU layers, whose widths have to be agreed on; projections; units; inputs; soft labels."""
    results = two_ranks(
        tmp_path,
        """
    options = {"bins": 6, "dims": {"3": 2, "4": "per_unit"}, "when": "every"}
    model = mlp(hidden=nn.ReLU, final=nn.Identity())
    recorder = Recorder(model, **options)
    mine = [Batch(*batch, inputs=torch.arange(len(batch[1])) % 7) for batch in batches(x, y, 20)]
    recorder.calibrate(mine[rank::2])
    for epoch in range(2):
        recorder.measure({"a": mine[rank::2], "b": mine[rank : 3 + rank]}, epoch=epoch)
        recorder.reduce()
    try:
        recorder.reduce()
    except ValueError as error:
        assert "epochs [-1, -1]" in str(error)
    soft = torch.nn.functional.one_hot(y).float()
    weighted = Recorder(model, "1", bins=ibfast.binning.Width(0.5), class_weights=[1, 3])
    weighted.measure(batches(x, soft, 20)[rank::2], epoch=0)
    weighted.reduce()
    result = recorder.plane(), weighted.plane()
    """,
    )
    (x, y), options = data(), {"bins": 6, "dims": {"3": 2, "4": "per_unit"}, "when": "every"}
    model = mlp(hidden=nn.ReLU, final=nn.Identity())
    one = Recorder(model, **options)
    loader = [
        ibfast.recorder.Batch(*batch, inputs=torch.arange(len(batch[1])) % 7)
        for batch in batches(x, y, 20)
    ]
    for epoch in range(2):
        one.measure({"a": loader, "b": [*loader[:3], *loader[1:4]]}, epoch=epoch)
    soft = torch.nn.functional.one_hot(y).float()
    weighted = Recorder(model, "1", bins=ibfast.binning.Width(0.5), class_weights=[1, 3])
    weighted.measure(batches(x, soft, 20), epoch=0)
    for plane, soft_plane in results:
        xr.testing.assert_identical(plane, one.plane())
        xr.testing.assert_identical(soft_plane, weighted.plane())


def test_a_rank_without_data(tmp_path):
    results = two_ranks(
        tmp_path,
        """
    recorder = Recorder(mlp(hidden=nn.ReLU), bins=6)
    mine = batches(x, y, 60) if rank else []
    recorder.calibrate(mine)
    recorder.measure(mine, epoch=0)
    recorder.reduce()
    result = recorder.plane()
    """,
    )
    x, y = data()
    one = Recorder(mlp(hidden=nn.ReLU), bins=6)
    one.measure(batches(x, y, 60), epoch=0)
    for plane in results:
        xr.testing.assert_identical(plane, one.plane())


def test_ranks_that_do_not_agree(tmp_path):
    results = two_ranks(
        tmp_path,
        """
    recorder = Recorder(mlp(hidden=nn.ReLU), bins=6, when="every")
    result = []
    def refused():
        try:
            recorder.reduce()
        except ValueError as error:
            result.append(str(error))
    refused()
    recorder.measure([((1 + 9 * rank) * x, y)], epoch=0)
    refused()
    recorder.measure([((1 + 9 * rank) * x, y)], epoch=rank)
    refused()
    other = Recorder(mlp(), bins=6)
    recorder = other
    recorder.measure([Batch(x, {f"y{rank}": y})], epoch=0)
    refused()
    recorder = Recorder(mlp(), bins=6)
    if rank == 0:
        recorder.measure([(x, y)], epoch=0)
    refused()
    """,
    )
    for result in results:
        assert (
            result[0]
            == "reduce: epochs [-1, -1] were measured last on the ranks; expected one epoch"
        )
        assert result[1].startswith("layer '1': bins {'kind': 'width', 'width': ")
        assert "call calibrate() on all ranks before the first measurement" in result[1]
        assert "epochs [0, 1] were measured last" in result[2]
        assert result[3].startswith("layer '1', rank 1: labels, inputs: ['y1']; expected ['y0']")
        assert "epochs [0, -1]" in result[4]


def test_without_ranks():
    assert distributed.rank() == 0
    with pytest.raises(RuntimeError, match=r"torch\.distributed is not in use: call torch\.dist"):
        distributed.gather(1)


def test_a_loader_whose_workers_measure():
    """A worker that is forked after a parallel call of the kernel does not hang."""
    code = """
    import torch, ibfast
    acts, labels = torch.randn(20_000, 32), torch.arange(20_000) % 7
    def measure(number):
        return ibfast.mutual_info(acts[:, : number + 1], labels, bins=4, threads=2)
    class Measures(torch.utils.data.Dataset):
        def __len__(self):
            return 4
        def __getitem__(self, number):
            return measure(number)
    here = [measure(number) for number in range(4)]
    loader = torch.utils.data.DataLoader(
        Measures(), batch_size=None, num_workers=2, multiprocessing_context="fork"
    )
    assert list(loader) == here
    print("done")
    """
    run = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert run.stdout == "done\n", run.stderr


def test_a_recorder_fed_by_workers_of_a_loader():
    model, (x, y) = mlp(), data()
    expected = Recorder(model, bins=6).measure(batches(x, y, 50), epoch=0)
    loader = torch.utils.data.DataLoader(
        torch.utils.data.TensorDataset(x, y), batch_size=50, num_workers=2
    )
    assert Recorder(model, bins=6).measure(loader, epoch=0) == expected
