"""Golden files, and the calls they stand for; golden.toml holds the mapping, as data."""

import json
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from labelcontrast.losses.factory import make_loss

CALLS: dict[str, dict[str, Any]] = tomllib.loads(Path(__file__).with_suffix(".toml").read_text())
OFF = "off"  # TOML has no None


@dataclass(frozen=True)
class Paths:
    """The nodes of paths: every beginning but the whole, whose end is the example."""

    labels: Tensor
    ancestors: Tensor
    depths: Tensor

    @classmethod
    def of(cls, rows: list[list[int]]) -> "Paths":
        nodes = sorted({tuple(row[:length]) for row in rows for length in range(1, len(row))})
        labels = [[float(tuple(row[:-1]) == node) for node in nodes] for row in rows]
        ancestors = [[float(node[: len(other)] == other) for other in nodes] for node in nodes]
        depths = torch.tensor([len(node) - 1 for node in nodes])
        return cls(torch.tensor(labels, dtype=torch.float64), torch.tensor(ancestors), depths)


@dataclass(frozen=True)
class Golden:
    """One file: what was computed, on what."""

    file: dict[str, Any]

    @property
    def name(self) -> str:
        return f"{self.file['loss']} {self.file['case']}"

    @property
    def call(self) -> dict[str, Any]:
        call = CALLS[self.file["loss"]]
        return call[self.file["params"][call["by"]]] if "by" in call else call

    def tensor(self, field: str) -> Tensor | None:
        """A field as float64; None where the file has none."""
        content = self.file.get(field)
        return None if content is None else torch.tensor(content, dtype=torch.float64)

    @property
    def paths(self) -> Paths | None:
        """The hierarchy, where the file has one."""
        return None if self.file.get("hierarchy") is None else Paths.of(self.file["hierarchy"])

    @property
    def labels(self) -> Tensor | None:
        """The labels; of class ids, one each; of paths, their ends."""
        if self.paths is not None:
            return self.paths.labels
        if self.file.get("class_ids") is None:
            return self.tensor("labels")
        return nn.functional.one_hot(torch.tensor(self.file["class_ids"])).double()

    @property
    def inputs(self) -> Tensor:
        """The projections or logits, waiting for a gradient."""
        inputs = self.tensor("logits" if self.file.get("logits") is not None else "embeddings")
        assert inputs is not None
        return inputs.requires_grad_()

    def loss(self, **more: Any) -> nn.Module:
        """The loss that the file is about, with the prototypes of the file."""
        settings = dict(self.call.get("fixed", {}))
        for ours, theirs in self.call["parameters"].items():
            value = self.file["params"][theirs]
            word = self.call.get("words", {}).get(ours, {}).get(str(value), value)
            settings[ours] = None if word == OFF else word
        if self.paths is not None:
            settings["hierarchy"] = self.paths
        prototypes, queue = self.tensor("prototypes"), self.tensor("queue")
        if queue is not None:
            settings["queue_size"] = len(queue)
        labels = self.labels
        sizes = {"num_labels": None if labels is None else labels.shape[1], "dim": self.inputs.shape[-1]}
        loss = make_loss(self.call["name"], **sizes, **settings, **more).double()
        if prototypes is not None:
            loss.prototypes.data = prototypes
        if queue is not None:
            loss.queue.append(queue, self.tensor("queue_labels"))
        return loss

    @property
    def more(self) -> dict[str, Tensor]:
        """Return the arguments of the loss besides projections and labels."""
        keys = self.tensor("keys")
        return {} if keys is None else {"keys": keys}


def golden_files(folder: Path, *losses: str) -> list[Golden]:
    """All golden files of some losses that golden.toml knows; of all of them by default."""
    files = [json.loads(path.read_text()) for path in sorted(folder.glob("*__*.json"))]
    found = [Golden(file) for file in files if file["loss"] in CALLS and (not losses or file["loss"] in losses)]
    return [golden for golden in found if golden.call.get("only", {}).items() <= golden.file["params"].items()]
