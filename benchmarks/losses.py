"""How fast and how small the losses are: ratios to other ways of computing the same, taken in one process.

    python benchmarks/losses.py             # one thread, processor time: holds on a machine that does other work too
    python benchmarks/losses.py 2           # two threads, wall time: needs the machine for itself
    python benchmarks/losses.py 1 labels    # every loss with 1,000 to 100,000 labels, five an example; 2: two threads

Each takes some minutes and writes into benchmarks/results. A ratio is the minimum time of one over the minimum of the
other, the two run in turns. Memory is what the peak of a fresh process grows by.
"""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

import labelcontrast as lc
from labelcontrast.losses.reference import contrastive_loss
from labelcontrast.run.machine import describe_origin, keep_freed_memory

RESULTS = Path(__file__).parent / "results"
GROWTH = {1024: 50, 4096: 10, 16384: 3, 65536: 1}  # examples: runs, of which the fastest counts
LABELS = (1000, 4096, 10_000, 31_000, 100_000)
MEASURED = (10_000, 100_000)  # numbers of labels at which memory is measured
DENSE_LIMIT = 2**25  # numbers in a matrix of pairs or labels of the literal form, of which it has about ten
THREADS = int(sys.argv[1]) if len(sys.argv) > 1 else 1
clock = time.process_time if THREADS == 1 else time.perf_counter
BARS = {
    "reg / three bare products": {"603": 1.8, "2139": 1.3, "8283": 1.0},
    "published form / reg": {"256, 54": 20, "512, 91": 40, "1024, 146": 80, "256, 500": 150},
    "pytorch-metric-learning / supcon": {"256": 1, "4096": 3},
    "every other flat loss / reg": 1.3,
    "MiB, reg, 91 labels": {"16384": 300, "65536": 1536},
    "largest over least nanoseconds a pair": 1.25,
}


def batch(size: int, labels: int) -> tuple[Tensor, Tensor]:
    """Projections, and about three labels each."""
    generator = torch.Generator().manual_seed(0)
    return torch.randn(size, 256, generator=generator), (
        torch.rand(size, labels, generator=generator) < 3 / labels
    ).float()


def ours(name: str, size: int, labels: int, **parameters: object) -> Callable[[], None]:
    """One forward and backward pass."""
    z, y = batch(size, labels)
    z = (torch.stack(z.chunk(2), 1) if name == "simclr" else z).requires_grad_()  # as many rows: two views of half
    loss = lc.make_loss(name, num_labels=labels, dim=256, **parameters)

    def step() -> None:
        z.grad = None
        loss.zero_grad()
        loss(z, y).backward()

    return step


def bare_products(rows: int) -> Callable[[], None]:
    """The three products that no exact form can do without."""
    x = torch.randn(rows, 256)

    def step() -> None:
        s = x @ x.T
        s @ x, s.T @ x

    return step


def published(size: int, labels: int) -> Callable[[], None]:
    """L_REG as its equations stand: an array of rows x rows x labels."""
    z, y = batch(size, labels)
    z.requires_grad_()
    prototypes = torch.randn(labels, 256, requires_grad=True)

    def step() -> None:
        rows = F.normalize(torch.cat([z, prototypes]))
        sets = torch.cat([y, torch.eye(labels)])
        away = 1 - torch.eye(len(rows))
        s = rows @ rows.T / 0.1
        log_p = s - (s.exp() * away).sum(1, keepdim=True).log()
        shared = torch.einsum("ic,jc->ijc", sets, sets) * away[:, :, None]
        shared = shared * ((shared.sum(2) / sets.sum(1).clamp(min=1)) ** 0.0)[:, :, None]  # f of Eq. 17, alpha = 0
        weights = (shared / (shared.sum(1, keepdim=True) + 1e-8)).sum(2) / sets.sum(1, keepdim=True).clamp(min=1)
        stopped = (log_p.exp() - weights).clamp(min=0).detach() * (weights > 0)
        losses = -(weights * log_p).sum(1) - (stopped * s).sum(1)
        (losses.sum() / (weights.sum(1) > 0).sum()).backward()

    return step


def metric_learning(size: int) -> Callable[[], None]:
    """SupCon of pytorch-metric-learning, one class an example."""
    from pytorch_metric_learning.losses import SupConLoss

    z, _ = batch(size, 3)
    z.requires_grad_()
    classes, loss = torch.arange(size) % 50, SupConLoss(temperature=0.1)
    return lambda: loss(z, classes).backward()


def supcon_of_classes(size: int) -> Callable[[], None]:
    """Ours, on the same."""
    z, _ = batch(size, 3)
    z.requires_grad_()
    y, loss = F.one_hot(torch.arange(size) % 50), lc.make_loss("supcon")
    return lambda: loss(z, y).backward()


def in_turns(steps: dict[str, Callable[[], None]], times: int) -> dict[str, float]:
    """The least time of each, in seconds."""
    for step in steps.values():
        step()
    best = dict.fromkeys(steps, float("inf"))
    for _ in range(times):
        for name, step in steps.items():
            start = clock()
            step()
            best[name] = min(best[name], clock() - start)
    return best


def ratio(one: Callable[[], None], other: Callable[[], None], times: int) -> float:
    best = in_turns({"one": one, "other": other}, times)
    return round(best["one"] / best["other"], 2)


def peak_memory(expression: str) -> float:
    """MiB by which the peak of a fresh process grows when it takes one step; needs Linux to reset the peak."""
    program = f"""
import sys
from pathlib import Path
sys.path.insert(0, {str(Path(__file__).parent)!r})
import torch
from losses import *
ours("supcon", 8, 3)()
step = {expression}
def status(field):
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(field))
Path("/proc/self/clear_refs").write_text("5")
before = status("VmRSS")
keep_freed_memory()
step()
print((status("VmHWM") - before) / 1024)
"""
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    return round(float(run.stdout), 1)


def profile(size: int, labels: int) -> dict[str, object]:
    """Why no exact form is much faster on a small batch: what the products alone take, and where a step spends."""
    step = ours("reg", size, labels)
    least = in_turns({"published form": published(size, labels), "reg": step, "bare": bare_products(size + labels)}, 30)
    milliseconds = {name: round(1e3 * value, 2) for name, value in least.items()}
    return {"milliseconds": milliseconds, "share of a step of reg by operation": shares(step, 50)}


def shares(step: Callable[[], None], times: int) -> dict[str, float]:
    """The operations that take most of a step, each with its share of the time."""
    from torch.profiler import ProfilerActivity
    from torch.profiler import profile as record

    with record(activities=[ProfilerActivity.CPU]) as seen:
        for _ in range(times):
            step()
    spent = sorted(seen.key_averages(), key=lambda entry: -entry.self_cpu_time_total)
    total = sum(entry.self_cpu_time_total for entry in spent)
    return {entry.key: round(entry.self_cpu_time_total / total, 3) for entry in spent[:8]}


def measure() -> dict[str, object]:
    """Everything, in the order of the table of the issue."""
    found: dict[str, object] = {}
    torch.set_num_threads(THREADS)
    found["reg / three bare products"] = {
        str(size + 91): ratio(ours("reg", size, 91), bare_products(size + 91), times)
        for size, times in [(512, 100), (2048, 20), (8192, 5)]
    }
    flat = [row.name for row in lc.loss_catalogue() if row.kind == "contrastive" and not row.needs_hierarchy]
    seconds = in_turns({name: ours(name, 2048, 91) for name in flat}, 20)
    found["every other flat loss / reg"] = {name: round(value / seconds["reg"], 2) for name, value in seconds.items()}
    growth = {size: in_turns({"reg": ours("reg", size, 91)}, times)["reg"] for size, times in GROWTH.items()}
    found["seconds of reg, 91 labels"] = {str(size): round(value, 4) for size, value in growth.items()}
    pace = {size: 1e9 * value / (size + 91) ** 2 for size, value in growth.items()}
    found["nanoseconds a pair"] = {str(size): round(value, 2) for size, value in pace.items()}
    found["largest over least nanoseconds a pair"] = round(max(pace.values()) / min(pace.values()), 2)
    torch.set_num_threads(1)
    found["published form / reg"] = {
        f"{size}, {labels}": ratio(published(size, labels), ours("reg", size, labels), 10)
        for size, labels in [(256, 54), (512, 91), (1024, 146), (256, 500)]
    }
    found["profile of 256 examples, 54 labels"] = profile(256, 54)
    found["pytorch-metric-learning / supcon"] = {
        str(size): ratio(metric_learning(size), supcon_of_classes(size), 5) for size in (256, 4096)
    }
    found["MiB, reg, 91 labels"] = {
        str(size): peak_memory(f'ours("reg", {size}, 91)') for size in (1024, 4096, 16384, 65536)
    }
    found["MiB at 4,096"] = {
        "supcon": peak_memory("supcon_of_classes(4096)"),
        "pytorch-metric-learning": peak_memory("metric_learning(4096)"),
    }
    return found


LOSSES = {row.name: row for row in lc.loss_catalogue() if not row.needs_hierarchy}
VARIANTS: dict[str, tuple[str, dict[str, object]]] = {
    **{name: (name, {}) for name in LOSSES},
    "wo_reg prototype_anchors=False": ("wo_reg", {"prototype_anchors": False}),
    "reg prototype_anchors=False": ("reg", {"prototype_anchors": False}),
    "weighted sharing=per_label": ("weighted", {"sharing": "per_label"}),
}


def with_labels(
    variant: str, labels: int, *, literal: bool = False, dense: bool = False, size: int = 256
) -> Callable[[], None]:
    """A step on 256 examples of five labels, sparse unless ``dense``; or of the reference, which is dense."""
    name, parameters = VARIANTS[variant]
    generator = torch.Generator().manual_seed(0)
    rows, columns = torch.arange(size).repeat_interleave(5), torch.randint(labels, (5 * size,), generator=generator)
    y = torch.sparse_coo_tensor(
        torch.stack([rows, columns]), torch.ones(5 * size), (size, labels), check_invariants=True
    )
    y = torch.sparse_coo_tensor(
        y.coalesce().indices(), y.coalesce().values().clamp(max=1), y.shape, check_invariants=True
    )
    y = y.to_dense() if dense or literal else y.coalesce()
    width = labels if LOSSES[name].kind == "logit" else 256
    shape = (size // 2, 2, width) if name == "simclr" else (size, width)
    z = torch.randn(shape, generator=generator).requires_grad_()
    y = None if name == "simclr" else y
    loss = lc.make_loss(name, num_labels=labels, **({} if width == labels else {"dim": 256}), **parameters)

    def step() -> None:
        z.grad = None
        loss.zero_grad()
        if literal:
            learned = dict(loss.named_parameters())
            value = contrastive_loss(loss.contrast, z, y, **learned, stop_repulsion=loss.stop_repulsion)
        else:
            value = loss(z, y)
        value.backward()

    return step


def numbers_of_literal(variant: str, labels: int) -> int:
    """Count the numbers in the largest matrix of the literal form on 256 examples."""
    prototypes = VARIANTS[variant][0] in {"proto", "msc", "wo_reg", "reg"}
    anchors = 256 + labels * (variant in {"wo_reg", "reg"})
    return (256 + labels * prototypes) * max(labels, anchors)


def measure_labels() -> None:
    """Time and memory of every loss over the number of labels, and the ratio to its literal dense form.

    Each loss is written as it is done, and one that is written is not measured again.
    """
    torch.set_num_threads(THREADS)
    keep_freed_memory()  # as the command line does
    path = RESULTS / f"losses_labels_{THREADS}.json"
    names = ("seconds", "MiB", "literal / ours", "dense / sparse")
    found = json.loads(path.read_text())["found"] if path.exists() else {name: {} for name in names}
    for variant in [one for one in VARIANTS if one not in found["seconds"]]:
        contrastive = LOSSES[VARIANTS[variant][0]].kind == "contrastive" and variant != "simclr"
        seconds, memory, literal, dense = ({} for _ in names)
        for labels in map(str, LABELS):
            step = with_labels(variant, int(labels))
            seconds[labels] = round(in_turns({"step": step}, 3)["step"], 4)
            if int(labels) in MEASURED:
                memory[labels] = peak_memory(f"with_labels({variant!r}, {labels})")
            if contrastive and numbers_of_literal(variant, int(labels)) <= DENSE_LIMIT:
                literal[labels] = ratio(with_labels(variant, int(labels), literal=True), step, 3)
            if contrastive and int(labels) == LABELS[-1]:
                dense[labels] = ratio(with_labels(variant, int(labels), dense=True), step, 2)
        for name, one in zip(names, (seconds, memory, literal, dense), strict=True):
            found[name][variant] = one
        write("losses_labels", {"seconds on two cores": 1, "MiB": 2048}, found)
    found["cross-entropy of a cosine classifier / proto"] = {
        str(labels): ratio(cosine_classifier(labels), with_labels("proto", labels), 5) for labels in (100, *LABELS)
    }
    write("losses_labels", {"seconds on two cores": 1, "MiB": 2048}, found)


def cosine_classifier(labels: int, *, size: int = 256) -> Callable[[], None]:
    """The equation of proto in three lines of dense torch."""
    generator = torch.Generator().manual_seed(0)
    z = torch.randn(size, 256, generator=generator, requires_grad=True)
    prototypes = torch.randn(labels, 256, generator=generator, requires_grad=True)
    y = torch.zeros(size, labels).scatter_(1, torch.randint(labels, (size, 5), generator=generator), 1.0)
    y /= y.sum(1, keepdim=True)

    def step() -> None:
        z.grad = prototypes.grad = None
        s = F.normalize(z) @ F.normalize(prototypes).T / 0.1
        (s.logsumexp(1) - (y * s).sum(1)).mean().backward()

    return step


def draw(found: dict[str, dict[str, float]], path: Path) -> None:
    """Time over the number of examples, beside n squared."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    growth = found["seconds of reg, 91 labels"]
    sizes = [int(size) for size in growth]
    figure, axes = plt.subplots(figsize=(5, 3.5), layout="constrained")
    axes.loglog(sizes, growth.values(), "o-", label="reg, forward and backward")
    last = growth[str(sizes[-1])]
    axes.loglog(sizes, [last * (size / sizes[-1]) ** 2 for size in sizes], "--", label="n squared")
    axes.set(xlabel="examples in the batch", ylabel=f"seconds, threads: {THREADS}")
    axes.legend()
    figure.savefig(path, dpi=120)


def write(name: str, bars: dict[str, object], found: dict[str, object]) -> None:
    """Keep what was found, beside what was to be reached and where it was measured; and print it."""
    machine = {**describe_origin(), "load average": os.getloadavg()[2], "threads": THREADS}
    RESULTS.mkdir(exist_ok=True)
    result = {"machine": machine, "bars": bars, "found": found}
    (RESULTS / f"{name}_{THREADS}.json").write_text(json.dumps(result, indent=1) + "\n")
    print(json.dumps(found, indent=1))


if __name__ == "__main__":
    if sys.argv[2:] == ["labels"]:
        measure_labels()
    else:
        found = measure()
        write("losses", BARS, found)
        draw(found, RESULTS / f"losses_{THREADS}.png")
