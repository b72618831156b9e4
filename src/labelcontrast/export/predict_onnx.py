"""Predict label sets without torch: python predict.py "a text" "another"; or pictures; or an .npy file of vectors."""

import json
import sys
from pathlib import Path

import numpy as np

FOLDER = Path(__file__).parent


def predict(items: list[str]) -> list[dict[str, float]]:
    """Return the predicted labels of each input with their probabilities, the most probable first."""
    import onnxruntime
    from helpers import choose_labels, read_inputs  # type: ignore[import-not-found]

    facts = json.loads((FOLDER / "model.json").read_text(encoding="utf-8"))
    session = onnxruntime.InferenceSession(FOLDER / "model.onnx", providers=["CPUExecutionProvider"])
    scores = session.run(["probabilities"], read_inputs(items, facts))[0]
    rows = []
    for row, chosen in zip(scores, choose_labels(scores, facts), strict=True):
        order = [label for label in np.argsort(-row, kind="stable") if chosen[label]]
        rows.append({facts["labels"][label]: round(float(row[label]), 6) for label in order})
    return rows


if __name__ == "__main__":
    for found in predict(sys.argv[1:]):
        print(json.dumps(found, ensure_ascii=False))  # noqa: T201
