"""Predict label sets without torch: python predict.py "a text" "another"; or pictures; or an .npy file of vectors."""

import json
import sys
from pathlib import Path

import numpy as np

FOLDER = Path(__file__).parent


def read_inputs(items: list[str], facts: dict) -> dict[str, np.ndarray]:  # type: ignore[type-arg]
    """Return the inputs of the graph: token ids, pixels or vectors."""
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
    order = np.argsort(-scores, axis=1, kind="stable")
    chosen = scores > np.array(facts["thresholds"])
    rows = []
    for row, best, ranked in zip(scores, chosen, order, strict=True):
        kept = [label for label in ranked[: facts["most"]] if best[label]]
        kept = kept or (ranked[:1].tolist() if facts["empty"] == "best" else [])
        rows.append({facts["labels"][label]: round(float(row[label]), 6) for label in kept})
    return rows


if __name__ == "__main__":
    for found in predict(sys.argv[1:]):
        print(json.dumps(found, ensure_ascii=False))  # noqa: T201
