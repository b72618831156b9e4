"""Predict label sets without torch: python predict.py "a text" "another"; or pictures; or an .npy file of vectors."""

import json
import sys
from pathlib import Path

import numpy as np

FOLDER = Path(__file__).parent


def read_inputs(items: list[str], facts: dict) -> dict[str, np.ndarray]:  # type: ignore[type-arg]
    """Return the inputs of the graph: token ids, pixels or vectors."""
    if "rows" in facts:
        from helpers import hashed_texts  # type: ignore[import-not-found]

        return pad_pieces(hashed_texts(items, rows=facts["rows"], max_length=facts["max_length"]))
    if facts["kind"] == "text":
        from tokenizers import Tokenizer

        tokenizer = Tokenizer.from_file(str(FOLDER / "tokenizer.json"))
        tokenizer.enable_padding(pad_id=facts["padding"])
        tokens = tokenizer.encode_batch(items)
        names = {"input_ids": "ids", "attention_mask": "attention_mask"}
        return {name: np.array([getattr(one, field) for one in tokens], np.int64) for name, field in names.items()}
    if facts["kind"] == "image":
        from PIL import Image

        how = Image.Resampling[facts["interpolation"].upper()]
        pictures = [Image.open(item).convert("RGB").resize(facts["size"], how) for item in items]
        return {"pixels": np.stack([np.asarray(one) for one in pictures])}
    return {"vectors": np.concatenate([np.load(item, allow_pickle=False) for item in items]).astype(np.float32)}


def predict(items: list[str]) -> list[dict[str, float]]:
    """Return the predicted labels of each input with their probabilities, the most probable first."""
    import onnxruntime

    facts = json.loads((FOLDER / "model.json").read_text(encoding="utf-8"))
    session = onnxruntime.InferenceSession(FOLDER / "model.onnx", providers=["CPUExecutionProvider"])
    scores = session.run(["probabilities"], read_inputs(items, facts))[0]
    chosen = choose_labels(scores, facts)
    rows = []
    for row, own in zip(scores, chosen, strict=True):
        kept = [label for label in np.argsort(-row, kind="stable") if own[label]]
        rows.append({facts["labels"][label]: round(float(row[label]), 6) for label in kept})
    return rows


def choose_labels(scores: np.ndarray, facts: dict) -> np.ndarray:  # type: ignore[type-arg]
    """Return 1 for each label of the label sets: by thresholds, by the expected F1, and over a hierarchy."""
    ranks = np.argsort(np.argsort(-scores, axis=1, kind="stable"), axis=1)
    chosen = scores > np.array(facts["thresholds"])
    if facts["most"] is not None:
        chosen &= ranks < facts["most"]
    if facts["expected_f1"]:
        from helpers import expected_f1_sets

        chosen &= expected_f1_sets(scores)
    if facts["empty"] == "best":
        chosen |= (ranks == 0) & ~chosen.any(axis=1, keepdims=True)
    if facts["decoding"] == "all_paths":
        chosen = np.stack([chosen[:, above].all(axis=1) for above in facts["ancestors"]], axis=1)
    if facts["decoding"] == "best_path":
        inner = {one for label, above in enumerate(facts["ancestors"]) for one in above if one != label}
        leaves = np.array([label for label in range(scores.shape[1]) if label not in inner])
        best = leaves[scores[:, leaves].argmax(axis=1)]
        chosen = np.stack([np.isin(np.arange(scores.shape[1]), facts["ancestors"][leaf]) for leaf in best])
    return chosen


def pad_pieces(rows: list[np.ndarray]) -> dict[str, np.ndarray]:
    """Return the distinct rows of each text and how often it has them, padded to one length with a count of 0."""
    found = [np.unique(one, return_counts=True) for one in rows]
    padded = np.zeros((2, len(rows), max(1, *(len(one) for one, _ in found))), np.int64)
    for place, (pieces, counts) in enumerate(found):
        padded[:, place, : len(pieces)] = pieces, counts
    return {"pieces": padded[0], "counts": padded[1]}


if __name__ == "__main__":
    for found in predict(sys.argv[1:]):
        print(json.dumps(found, ensure_ascii=False))  # noqa: T201
