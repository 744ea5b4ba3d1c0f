"""The information plane of a small classifier of digits that Lightning trains.

    pip install "ibfast[lightning]" scikit-learn
    python examples/lightning_digits.py --epochs 40 --out digits-plane

prints the last values of each layer and leaves a run folder with figures: `--out` is replaced if it
holds a run already.
"""

import argparse

import lightning
import torch
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from ibfast.integrations.lightning import InformationPlaneCallback


class Classifier(lightning.LightningModule):
    def __init__(self):
        super().__init__()
        self.net = nn.Sequential(
            nn.Linear(64, 12), nn.Tanh(), nn.Linear(12, 6), nn.Tanh(), nn.Linear(6, 4), nn.Tanh()
        )
        self.head = nn.Linear(4, 10)

    def forward(self, x):
        return self.head(self.net(x))

    def training_step(self, batch, _):
        x, y = batch
        return nn.functional.cross_entropy(self(x), y)

    def validation_step(self, batch, _):
        x, y = batch
        self.log("val_accuracy", (self(x).argmax(1) == y).float().mean())

    def configure_optimizers(self):
        return torch.optim.Adam(self.parameters(), lr=0.01)


def loaders():
    images, digits = load_digits(return_X_y=True)
    split = train_test_split(images / 16, digits, test_size=0.3, stratify=digits, random_state=0)
    x_train, x_test, y_train, y_test = split
    train, test = (
        TensorDataset(torch.tensor(x, dtype=torch.float32), torch.tensor(y))
        for x, y in ((x_train, y_train), (x_test, y_test))
    )
    return DataLoader(train, batch_size=64, shuffle=True), DataLoader(test, batch_size=256)


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--epochs", type=int, default=40)
    parser.add_argument("--out", default="digits-plane", help="run folder")
    options = parser.parse_args(arguments)

    lightning.seed_everything(0)
    train, test = loaders()
    callback = InformationPlaneCallback(
        {"train": train, "test": test}, layers=nn.Tanh, bins=4, folder=options.out
    )
    trainer = lightning.Trainer(
        accelerator="cpu",
        callbacks=[callback],
        enable_checkpointing=False,
        enable_model_summary=False,
        logger=False,
        max_epochs=options.epochs,
    )
    trainer.fit(Classifier(), train, test)

    last = callback.plane().isel(seed=0, epoch=-1)
    print(f"after {last.epoch.item()} epochs, in bits:")
    print(f"{'layer':8}{'split':8}{'I(X;T)':>8}{'I(T;Y)':>8}{'shuffled':>10}{'H(Y)':>8}")
    for place, layer in enumerate(last.layer.attrs["names"]):
        for split in last.split.values:
            of = last.isel(layer=place).sel(split=split)
            numbers = f"{of.i_xt:8.3f}{of.i_ty:8.3f}{of.i_ty_null:10.3f}{of.h_y:8.3f}"
            print(f"{layer:8}{split:8}{numbers}{'  saturated' if of.saturated else ''}")
    print(f"figures: {options.out}/figures")


if __name__ == "__main__":
    main()
