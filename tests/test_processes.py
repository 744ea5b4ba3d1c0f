"""Fresh processes: import order, forks, levels of SIMD, Ctrl-C, and what `import ibfast` loads."""

import json
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from ibfast import _core

LEVELS = ["v2", "v3", "v4"]


def run(code, *args, timeout=120, **environment):
    """Standard output of a fresh interpreter, which must end well and say nothing else."""
    done = run_any(code, *args, timeout=timeout, **environment)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return done.stdout.strip()


def run_any(code, *args, timeout=120, **environment):
    package = str(Path(_core.__file__).parents[1])
    path = os.pathsep.join([package, os.environ.get("PYTHONPATH", "")])
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", textwrap.dedent(code), *args],
        env=os.environ | {"PYTHONPATH": path} | environment,
        capture_output=True,
        text=True,
        timeout=timeout,
    )


def test_import_loads_numpy_alone():
    loaded = run(
        """
        import sys
        import ibfast
        heavy = {"torch", "scipy", "xarray", "matplotlib", "zarr", "pandas", "typer", "rich"}
        print(sorted(heavy & set(sys.modules)), "numpy" in sys.modules)
        """
    )
    assert loaded == "[] True"


def test_measuring_loads_no_more():
    loaded = run(
        """
        import sys
        import ibfast
        ibfast.mutual_info([[0.0], [1.0]] * 5, [0, 1] * 5)
        counts = ibfast.JointCounts([0, 1], 2)
        counts.update([[0.0], [1.0]] * 5, [0, 1] * 5)
        counts.to_bytes()
        print(sorted({"torch", "scipy", "xarray", "matplotlib"} & set(sys.modules)))
        """
    )
    assert loaded == "[]"


def test_memory_is_that_of_the_classes_seen():
    pytest.importorskip("resource")
    grown = run(
        """
        import resource
        import ibfast
        counts = ibfast.JointCounts([0, 1], 2**28)  # 2 GiB, were all of them counted
        counts.update([[0.0], [1.0]] * 5, [0, 1] * 5)
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        ibfast.information(counts)
        print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / before)
        """
    )
    assert float(grown) < 2


def measuring(imports, code):
    """The imports, in their order, a function to call, and the code that calls it."""
    return f"""
import {imports}
import numpy as np
acts = np.random.default_rng(0).integers(0, 3, (200_000, 6)).astype(np.float32)
label = acts[:, 0].astype(np.int64)

def measure(threads=0):
    return ibfast.mutual_info(acts, label, bins=3, threads=threads)
""" + textwrap.dedent(code)


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="no /proc to count threads in")
@pytest.mark.parametrize("order", ["torch, ibfast", "ibfast, torch"])
def test_torch_and_ibfast_in_either_order(order):
    pytest.importorskip("torch")
    out = run(
        measuring(
            order,
            """
        import os

        def tasks():
            return len(os.listdir("/proc/self/task"))

        torch.set_num_threads(4)
        alone, start = measure(1), tasks()
        assert measure(4) == alone
        assert tasks() >= start + 3 * ibfast._core.info()["openmp"], (start, tasks())
        ones = torch.ones(2_000_000)
        assert float(ones.sum()) == 2_000_000
        assert torch.get_num_threads() == 4
        assert [measure(4), measure(0)] == [alone] * 2
        assert float(ones.sum()) == 2_000_000
        print(ibfast._core.info()["threads"])
        """,
        )
    )
    assert int(out) == _core.info()["threads"]


@pytest.mark.parametrize("start", ["", "import torch; torch.rand(10**6).sum()"])
def test_a_forked_child_works_after_a_parallel_call(start):
    if start:
        pytest.importorskip("torch")
    out = run(
        measuring(
            "os, ibfast",
            f"""
        {start}
        expected = measure(4)
        child = os.fork()
        if child == 0:
            same = measure(4) == measure(0) == measure(1) == expected
            os._exit(0 if same and ibfast._core.info()["threads"] == 1 else 1)
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), measure(4) == expected)
        """,
        ),
        timeout=60,
    )
    assert out == "0 True"


def test_a_pool_of_forked_workers():
    out = run(
        measuring(
            "multiprocessing, ibfast",
            """
        expected = measure(2)
        with multiprocessing.get_context("fork").Pool(2) as pool:
            print(pool.map(measure, [0, 1, 2, 3]) == [expected] * 4)
        """,
        ),
        timeout=60,
    )
    assert out == "True"


def test_threads_of_python_may_measure_at_once():
    out = run(
        measuring(
            "ibfast",
            """
        from concurrent.futures import ThreadPoolExecutor

        with ThreadPoolExecutor(4) as pool:
            print(set(pool.map(measure, [2] * 12)) == {measure(1)})
        """,
        )
    )
    assert out == "True"


def test_the_environment_limits_the_threads():
    code = "import ibfast; print(ibfast._core.info()['threads'])"
    assert run(code, OMP_NUM_THREADS="1") == "1"


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="no CPU affinity on this system")
def test_affinity_limits_the_threads():
    code = """
        import os, ibfast
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
        print(ibfast._core.info()["threads"])
    """
    assert run(code) == "1"


def available(level):
    return run_any("import ibfast", IBFAST_SIMD=level).returncode == 0


ALL_THE_BITS = """
    import hashlib, sys
    import numpy as np
    import ibfast
    from ibfast.binning import *

    h = hashlib.sha256()
    rng = np.random.default_rng(0)
    for d in (1, 2, 5, 9, 16, 17, 40, 200):
        base = rng.normal(size=(40, d))[rng.integers(0, 40, 700)]
        soft, weights = rng.dirichlet([1, 1, 1], 700), rng.random(700)
        for dtype in "float16 float32 float64 int16 int64".split():
            acts = (base * (20 if dtype[0] == "i" else 1)).astype(dtype)
            for view in (acts, acts.T.copy().T, np.repeat(acts, 2, axis=1)[:, ::2]):
                spread = float(np.abs(acts.astype(float)).max())
                for bins, kwargs in (
                    (30, {}), (7, {"per_unit": True}), (Uniform(128, (-spread, spread)), {}),
                    (Uniform(200, (-1, 1)), {"outside": "cell"}), (Width(0.3), {}),
                    (Edges(np.geomspace(1e-3, 1, 20)), {"outside": "clip"}),
                    (Edges(np.sort(rng.normal(size=(d, 5)), axis=1)), {"outside": "cell"}),
                ):
                    h.update(discretise(view, bins, **kwargs).tobytes())
                    for labels, w in ((soft.argmax(1), None), (soft, weights)):
                        layer = ibfast.layer_information(
                            view, labels, bins=bins, weights=w, exhaustive=True, **kwargs)
                        h.update(repr(layer).encode())
                    if not kwargs.get("per_unit") and bins != 30:
                        counts = ibfast.JointCounts(bins, 3, **kwargs)
                        counts.update(view, soft)
                        h.update(counts.to_bytes())
    acts = rng.normal(size=(50, 20_000)).astype(np.float32)
    counts = ibfast.JointCounts(Uniform(128, (-9, 9)), 1)
    counts.update(acts, np.zeros(50, int))
    h.update(counts.to_bytes())
    print(ibfast._core.info()["simd"], h.hexdigest())
"""


def test_every_level_gives_the_same_bits():
    levels = [level for level in LEVELS if available(level)]
    if not levels:
        assert _core.info()["simd"] == "plain"
    out = [run(ALL_THE_BITS, IBFAST_SIMD=level).split() for level in [*levels, ""]]
    assert [name for name, _ in out[:-1]] == levels
    assert len({digest for _, digest in out}) == 1


@pytest.mark.parametrize("level", LEVELS)
def test_the_kernel_tests_pass_at_every_level(level):
    """Codes on edges and beside them, dtypes and layouts, with the loops of that level."""
    if level == _core.info()["simd"]:
        return  # test_kernel itself has run at this one
    if not available(level):
        pytest.skip(f"this machine does not run x86-64-{level}")
    here = Path(__file__).parent
    package = str(Path(_core.__file__).parents[1])
    chosen = "beside or keys or (every_number and float32) or (every_dtype and float) or broadcast"
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-k", chosen,
         str(here / "test_kernel.py"), str(here / "test_binning.py")],
        env=os.environ | {"IBFAST_SIMD": level, "PYTHONPATH": package},
        capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-4000:]


@pytest.mark.parametrize("level", ["v1", "V3", "avx2", "v33"])
def test_an_unknown_level_is_an_import_error(level):
    done = run_any("import ibfast", IBFAST_SIMD=level)
    assert done.returncode == 1
    assert "ImportError" in done.stderr
    assert f"IBFAST_SIMD: '{level}' is not one of the levels that this machine runs" in done.stderr


@pytest.mark.parametrize(
    "call",
    [
        "ibfast.mutual_info(acts, label, bins=200)",
        "ibfast.entropy(acts, bins=ibfast.binning.Width(0.1), threads=1)",
        "ibfast.layer_information(acts[None], label, bins=200, weights=weights)",
        "ibfast.JointCounts(200, 2, range=(0, 1)).update(acts, label)",
        "ibfast.binning.discretise(acts[:, :40], uneven, threads=1)",
    ],
)
def test_ctrl_c_interrupts_a_long_call(call):
    """The array is a broadcast one, too large to be read before the signal comes."""
    code = f"""
        import os, signal, threading, time
        import numpy as np
        import ibfast
        signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's "&" ignores it
        n = 4_000_000
        acts = np.broadcast_to(np.linspace(0, 1, n // 8, dtype=np.float32)[:, None], (n // 8, 4000))
        label, weights = np.zeros(n // 8, np.int8), np.ones(n // 8)
        uneven = np.linspace(0, 1, 100_000) ** 2
        threading.Timer(0.1, os.kill, (os.getpid(), signal.SIGINT)).start()
        begin = time.monotonic()
        try:
            {call}
        except KeyboardInterrupt:
            print("interrupted", end=" ")
        else:
            print("finished", end=" ")
        print(ibfast.entropy([[0.0], [1.0]] * 5))
    """
    assert run(code) == "interrupted 1.0"


def test_a_result_does_not_depend_on_the_process():
    code = """
        import json, sys
        import numpy as np
        import ibfast
        acts = np.random.default_rng(0).normal(size=(5000, 40)).round().astype(np.float32)
        counts = ibfast.JointCounts(ibfast.binning.Width(1), 2, threads=int(sys.argv[1]))
        counts.update(acts[:, :3], acts[:, 3] > 0)
        print(json.dumps([counts.to_bytes().hex(), vars(ibfast.information(counts))]))
    """
    assert json.loads(run(code, "1")) == json.loads(run(code, "3", PYTHONHASHSEED="7"))
