"""The same cases under pytest-benchmark, one test a group."""

import pytest

from benchmarks import cases


@pytest.mark.parametrize("group", cases.GROUPS)
def test_ratios(benchmark, keep, group):
    results = benchmark.pedantic(lambda: list(cases.run(group)), rounds=1)
    for result in results:
        benchmark.extra_info[result.name] = result.value
        keep(result)
