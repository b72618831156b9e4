"""Write own_golden.json: losses without golden files of a reference implementation, on one batch, by literal loops.

python tests/losses/make_own_golden.py
"""

import json
from pathlib import Path
from typing import Any

import torch
from oracle import ORACLES

FILE = Path(__file__).with_name("own_golden.json")
Z = [[0.6, -0.8, 0.1], [0.9, 0.2, -0.3], [-0.4, 0.5, 0.7], [0.3, 0.3, 0.9], [-0.7, -0.6, 0.2], [0.1, 0.9, -0.5]]
Y = [[1, 0, 0, 0], [1, 1, 0, 0], [0, 1, 1, 0], [1, 1, 1, 0], [0, 0, 1, 0], [0, 0, 0, 0]]
C = [[0.8, -0.5, 0.2], [0.2, 0.7, 0.4], [-0.6, 0.1, 0.8], [0.5, 0.5, -0.6]]
CASES: list[tuple[str, dict[str, Any]]] = [
    ("proto", {"denominator": "negatives"}),
    ("weighted", {"affinity": "overlap", "sharing": "per_label"}),
    ("overlap", {}),
    ("multisupcon", {"threshold": 0.5}),
    ("bcl", {}),
    ("paco", {"alpha": 0.05}),
    ("lacon", {}),
]


def entry(name: str, parameters: dict[str, Any]) -> dict[str, Any]:
    """Compute value and gradients of a loss."""
    z, c = (torch.tensor(rows, dtype=torch.float64, requires_grad=True) for rows in (Z, C))
    value = ORACLES[name](z, torch.tensor(Y, dtype=torch.float64), c, temperature=0.2, **parameters)
    of_z, of_c = torch.autograd.grad(value, (z, c), allow_unused=True)
    gradients = {"grad_z": of_z.tolist(), "grad_c": None if of_c is None else of_c.tolist()}
    return {"loss": name, "parameters": parameters, "value": value.item(), **gradients}


if __name__ == "__main__":
    FILE.write_text("[\n" + ",\n".join(json.dumps(entry(*case)) for case in CASES) + "\n]\n")
