"""What recording adds to an evaluation pass: `python -m benchmarks.recorder`."""

import torch

import ibfast
from benchmarks.cases import Result, _child, paired
from benchmarks.tables import show

WIDTHS, ROWS, BATCH = (784, 1024, 20, 20, 20, 10), 10_000, 1_000

SETUP = """
import torch, ibfast
torch.set_num_threads(2)
torch.manual_seed(0)
def network(widths):
    layers = []
    for below, above in zip(widths, widths[1:]):
        layers += [torch.nn.Linear(below, above), torch.nn.Tanh()]
    return torch.nn.Sequential(*layers[:-1], torch.nn.Softmax(1)).eval()
def batches(rows, units, size):
    x, y = torch.randn(rows, units), torch.arange(rows) % 10
    return list(zip(x.split(size), y.split(size)))
"""
MEMORY = """
def status(key):
    return next(int(l.split()[1]) for l in open("/proc/self/status") if l.startswith(key)) * 1024
def peak(call):
    open("/proc/self/clear_refs", "w").write("5")
    before = status("VmRSS")
    call()
    return (status("VmHWM") - before) / 1e6
model, loader = network(WIDTHS), batches(ROWS, WIDTHS[0], BATCH)
recorder = ibfast.Recorder(model, LAYERS, exhaustive=True, when="every")
def evaluate():
    with torch.no_grad():
        for x, _ in loader:
            model(x)
small = ibfast.Recorder(model, exhaustive=True)
small.measure(loader[:1], epoch=0)
evaluate()
print(peak(lambda: recorder.measure(loader, epoch=0)))
"""


def results():
    names = {}
    exec(SETUP, names)
    model, loader = names["network"](WIDTHS), names["batches"](ROWS, WIDTHS[0], BATCH)
    shape = f"{'-'.join(map(str, WIDTHS))}, {ROWS:,} rows"

    def evaluate():
        with torch.no_grad():
            for x, _ in loader:
                model(x)

    for what, layers in (("every layer", "auto"), ("every module", "*")):
        recorder = ibfast.Recorder(model, layers, exhaustive=True, when="every")
        recorder.measure(loader, epoch=0)
        for bare in (True, False):
            recorder._shuffles = 0 if bare else 4
            ours, alone = paired(lambda r=recorder: r.measure(loader, epoch=1), evaluate, 15)
            yield Result(
                f"{shape}, {what}, {'without' if bare else 'with'} shuffled labels: "
                "measuring / evaluating",
                ours / alone,
                1.5,
                True,
                f"{ours * 1e3:.0f} ms, evaluation alone {alone * 1e3:.0f} ms",
            )
        setting = {"WIDTHS": WIDTHS, "ROWS": ROWS, "BATCH": BATCH, "LAYERS": layers}
        code = SETUP + "".join(f"{k} = {v!r}\n" for k, v in setting.items()) + MEMORY
        yield Result(f"{shape}, {what}: extra MB", _child(code), 200, True, "peak RSS")


def main():
    torch.set_num_threads(2)
    show(results(), "2 threads")


if __name__ == "__main__":
    main()
