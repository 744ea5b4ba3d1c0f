"""Training of many seeds at once: against plain torch, and what measuring gradients adds."""

import itertools

import torch

from benchmarks.cases import Result, paired, seconds
from benchmarks.tables import show
from ibfast.datasets import spherical_rule
from ibfast.gradients import gradient_statistics
from ibfast.models import MLP
from ibfast.train import Trainer

WIDTHS = (12, 10, 7, 5, 4, 3, 2)
SEEDS, PLAIN_SEEDS = 50, 3
BATCH = 256
OPTIONS = {"batch_size": BATCH, "train_fraction": 0.8, "lr": 2e-4}
EPOCHS, CHECKPOINTS = 10_000, 100


def plain_epoch():
    """An epoch of one seed after another, as one would write it in torch; of `PLAIN_SEEDS`."""
    x, y = spherical_rule()
    inputs, labels = torch.from_numpy(x).float(), torch.from_numpy(y).long()
    seeds = []
    for seed in range(PLAIN_SEEDS):
        torch.manual_seed(seed)
        layers = []
        for below, above in itertools.pairwise(WIDTHS):
            layers += [torch.nn.Linear(below, above), torch.nn.Tanh()]
        network = torch.nn.Sequential(*layers[:-1])
        rows = torch.randperm(len(inputs))[: round(OPTIONS["train_fraction"] * len(inputs))]
        optimizer = torch.optim.Adam(network.parameters(), lr=OPTIONS["lr"])
        seeds.append((network, optimizer, inputs[rows], labels[rows]))

    def epoch():
        for network, optimizer, own_inputs, own_labels in seeds:
            for batch in torch.randperm(len(own_inputs)).split(BATCH):
                optimizer.zero_grad()
                loss = torch.nn.functional.cross_entropy(
                    network(own_inputs[batch]), own_labels[batch]
                )
                loss.backward()
                optimizer.step()

    return epoch


def results(rounds=15):
    trainer = Trainer(MLP(WIDTHS, seeds=SEEDS), *spherical_rule(), **OPTIONS)
    plain = plain_epoch()

    def ours():
        trainer.run(1)

    def measure():
        gradient_statistics(trainer)

    for call in (ours, plain, measure):
        seconds(call, 2)
    epoch, other = paired(ours, plain, rounds)
    scaled = other * SEEDS / PLAIN_SEEDS
    yield Result(
        f"{SEEDS} seeds, minibatches of {BATCH}, one after another in torch / ibfast",
        scaled / epoch,
        6,
        False,
        f"an epoch: {epoch * 1e3:.1f} ms, other {scaled * 1e3:.0f} ms "
        f"({PLAIN_SEEDS} seeds measured, scaled to {SEEDS})",
    )
    epoch, one = paired(ours, measure, rounds)
    yield Result(
        f"gradients at {CHECKPOINTS} checkpoints / training of {EPOCHS:,} epochs",
        CHECKPOINTS * one / (EPOCHS * epoch),
        0.15,
        True,
        f"one pass {one * 1e3:.1f} ms, one epoch {epoch * 1e3:.1f} ms, extrapolated",
    )


def main():
    show(results(), f"{torch.get_num_threads()} threads of torch, least of several rounds")


if __name__ == "__main__":
    main()
