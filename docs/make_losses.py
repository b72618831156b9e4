"""Write docs/losses.md from the catalogue, with the pair weights of a toy batch for every contrastive loss.

python docs/make_losses.py
"""

from collections.abc import Iterable
from pathlib import Path
from types import SimpleNamespace

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

import labelcontrast as lc
from labelcontrast.losses import LossRow, Parameter

HERE = Path(__file__).parent
LABELS = ("cat", "dog", "owl")
TOY = {
    "cat": [1, 0, 0],
    "cat, dog": [1, 1, 0],
    "dog": [0, 1, 0],
    "cat, dog, owl": [1, 1, 1],
    "owl": [0, 0, 1],
    "none": [0, 0, 0],
}
ABOVE = ("mammal", "bird")  # cat and dog are mammals, an owl is a bird; after the three in the columns
TREE = SimpleNamespace(
    ancestors=torch.tensor([[1, 0, 0, 1, 0], [0, 1, 0, 1, 0], [0, 0, 1, 0, 1], [0, 0, 0, 1, 0], [0, 0, 0, 0, 1]]),
    depths=torch.tensor([1, 1, 1, 0, 0]),
)
REFERENCE = Path(lc.losses.__file__).with_name("reference.py").read_text()
HEAD = f"""# The losses

Made from the catalogue by `docs/make_losses.py`; `labelcontrast losses` prints the same rows. `lc.make_loss(name, ...)`
makes any loss, and `lc.losses.reg(...)` is a function for one, with its parameters in the signature. A loss is called
as `loss(projections, labels)`, those on logits as `loss(logits, labels)`.

In the equations $p_{{ij}}$ is the share of candidate j in the softmax of anchor i over all candidates but itself, of
$s_{{ij}} = \\cos(z_i, z_j) / \\tau$. The figures show the weights W with which a candidate (column) attracts an anchor
(row), in hundredths, in a batch of six with the label sets {", ".join(f"*{name}*" for name in TOY)}. Prototypes come
after the examples. For the losses over a hierarchy cats and dogs are {ABOVE[0]}s, and owls are {ABOVE[1]}s; those of
`hicone` and `himulcone` are shown before the constraint, which depends on the similarities.

## Any flat contrastive loss in plain torch

The library computes the losses in blocks, and the tests compare them with this file, `losses/reference.py`: it is the
equation as code, and the place to start reading.

```python
{REFERENCE}```

## Add your own

A new weighting is a function of three counts: the labels that two examples share, and how many each has.

```python
import labelcontrast as lc


def dice(overlap, size_i, size_j):
    \"\"\"Twice the shared labels, over the labels of both.\"\"\"
    return 2 * overlap / (size_i + size_j).clamp(min=1)


lc.register_loss("dice", lc.losses.Contrast(affinity=dice), summary="Dice similarity of the label sets.")
loss = lc.make_loss("dice", temperature=0.1)
```

It has blocks, views, soft and unknown labels, and the regulariser of `reg` (`stop_repulsion`). A function that returns
a `Contrast` gives the loss its own parameters, with their types and defaults; `help(lc.register_loss)` shows this, and
how to register any other loss. The module that registered a loss can register it again, as a notebook does; that
replaces it. `lc.losses.unregister_loss("dice")` removes it.

On the command line, `--plugin` loads a file that registers losses. `labelcontrast losses --plugin my_losses.py` lists
them with the others.

    labelcontrast train DATA --plugin my_losses.py --loss dice

An installed package can offer losses through the entry-point group `labelcontrast.losses`. The entry point has the name
of the loss, and refers to a `Contrast`, to a function that returns one, to a whole `lc.losses.LossRow`, or to a module
that calls `lc.register_loss`.

```toml
[project.entry-points."labelcontrast.losses"]
dice = "my_package.losses:dice"
```

To add a loss to this library, add a row to `losses/catalogue.py` and its literal formula to `tests/losses/oracle.py`.

## Change a setting during training

A setting that the loss reads in every call can be assigned: `loss.temperature = 0.2`. Settings that decide the pair
weights or the tensors of the loss, such as `alpha` and `queue_size`, are fixed; assigning one is an error.

## Parameters of all contrastive losses

A loss with another default has it in its own table.
"""


def table(parameters: Iterable[Parameter]) -> list[str]:
    """Return a table of parameters, a line each."""
    lines = [f"| `{p.name}` | `{p.default}` | {p.meaning} | {p.expected} |" for p in parameters]
    return ["| parameter | default | meaning | accepts |", "|---|---|---|---|", *lines, ""]


def common() -> list[Parameter]:
    """Return the parameters that all contrastive losses take, with their usual defaults."""
    rows = [row for row in lc.loss_catalogue() if row.kind == "contrastive"]
    return [p for p in rows[0].takes if all(p.name in row.parameters for row in rows)]


def section(row: LossRow) -> str:
    """Return the section of a loss: summary, equation, reference, its own parameters, figure."""
    lines = [f"## {row.name}", "", row.summary, "", f"$${row.equation}$$", "", f"Reference: {row.reference}.", ""]
    shared = {(p.name, p.default) for p in common()} if row.kind == "contrastive" else set()
    own = [p for p in row.takes if (p.name, p.default) not in shared]
    lines += table(own) if own else []
    if row.contrast is not None:
        lines += [f"![pair weights of {row.name}](losses/{row.name}.png)", ""]
    return "\n".join(lines)


def page() -> str:
    """Return the page."""
    return "\n".join([HEAD, *table(common()), *(section(row) for row in lc.loss_catalogue())])


def toy_weights(row: LossRow) -> Tensor:
    """Compute the pair weights of the toy batch; of two views of it for simclr, which ignores labels."""
    labels = torch.tensor(list(TOY.values()))
    if row.needs_hierarchy:
        return lc.make_loss(row.name, hierarchy=TREE).pair_weights(F.pad(labels, (0, len(ABOVE))))
    return lc.make_loss(row.name, num_labels=3, dim=2).pair_weights(labels, views=2 if row.name == "simclr" else 1)


def draw(row: LossRow, path: Path) -> None:
    """Draw the pair weights of the toy batch, in hundredths; white is none."""
    from matplotlib import pyplot as plt

    name, weights = row.name, toy_weights(row)
    names = [*TOY, *([f"{label} (2nd view)" for label in TOY] if name == "simclr" else [])]
    prototypes = [f"prototype {label}" for label in LABELS]
    columns = prototypes if name == "proto" else [*names, *prototypes][: weights.shape[1]]
    figure, axes = plt.subplots(
        figsize=(1.9 + 0.36 * weights.shape[1], 1.7 + 0.36 * weights.shape[0]), layout="constrained"
    )
    axes.imshow(weights.numpy(), cmap="Greens", vmin=0, vmax=1)
    axes.set(xlabel="candidate", ylabel="anchor")
    axes.set_xticks(range(weights.shape[1]), columns, rotation=60, ha="right", rotation_mode="anchor")
    axes.set_yticks(range(weights.shape[0]), [*names, *prototypes][: weights.shape[0]])
    for anchor, candidate in weights.nonzero().tolist():
        weight = float(weights[anchor, candidate])
        ink = "white" if weight > 0.6 else "black"
        axes.text(candidate, anchor, f"{100 * weight:.0f}", ha="center", va="center", fontsize=7, color=ink)
    figure.savefig(path, dpi=110)
    plt.close(figure)


if __name__ == "__main__":
    import matplotlib as mpl

    mpl.use("Agg")
    (HERE / "losses").mkdir(exist_ok=True)
    for row in lc.loss_catalogue():
        if row.contrast is not None:
            draw(row, HERE / "losses" / f"{row.name}.png")
    (HERE / "losses.md").write_text(page())
