"""The script that predicts with an exported graph without torch, and the functions that it needs for a run.

``predict_onnx.py`` is copied as it is. Beside it, as ``helpers.py``, come those of the functions below that read the
inputs of this run and choose its label sets, and what they call of this library; all of them know NumPy alone.
"""

import inspect
import shutil
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from labelcontrast.encoders import embedded
from labelcontrast.encoders.base import Encoder
from labelcontrast.encoders.embedded import HashedEncoder, LatentSemanticEncoder, hashed_texts
from labelcontrast.encoders.text import TransformerText
from labelcontrast.encoders.vision import PictureEncoder
from labelcontrast.export import predict_onnx
from labelcontrast.files import write_json, write_text
from labelcontrast.probes import thresholds as rules
from labelcontrast.probes.thresholds import expected_f1_sets
from labelcontrast.run.model import TrainedModel

FACTS, SCRIPT, HELPERS, TOKENIZER = "model.json", "predict.py", "helpers.py", "tokenizer.json"
HEAD = '''"""How predict.py reads its inputs and chooses label sets: functions of labelcontrast, in NumPy alone."""

from __future__ import annotations

import re
import zlib
from pathlib import Path

import numpy as np
'''


def write_script(model: TrainedModel, reader: Encoder, out: Path) -> None:
    """Write labels, thresholds and what else the script needs: its inputs' facts, its functions, and the script itself.

    Args:
        model: Which decides how label sets are chosen.
        reader: The encoder that reads its inputs.
        out: The folder to write into.
    """
    thresholds, decoder = model.thresholds, model.decoder
    ancestors = None if decoder is None else decoder.tree.ancestors
    facts: dict[str, Any] = {
        "kind": reader.kind,
        "labels": list(model.labels),
        "thresholds": thresholds.values.tolist(),
        "most": thresholds.most,
        "expected_f1": thresholds.expected_f1,
        "empty": thresholds.empty,
        "decoding": "each" if decoder is None else decoder.settings.decoding,
        "ancestors": None if ancestors is None else [row.nonzero()[0].tolist() for row in ancestors.toarray()],
    }
    sources = [inspect.getsource(choose_labels)]
    read_inputs: Callable[..., dict[str, np.ndarray]] = read_vectors
    if thresholds.expected_f1:
        sources += _sources(rules, "EXAMPLES_AT_ONCE", "expected_f1_sets", "_expected_f1_sets", "_expected_f1")
    if isinstance(reader, HashedEncoder | LatentSemanticEncoder):
        sources += _sources(
            embedded, "WORD", "PIECES", "FNV_BASIS", "FNV_PRIME", "hashed_pieces", "hashed_texts", "_words"
        )
        sources.append(inspect.getsource(pad_pieces))
        facts |= {"rows": reader.rows, "max_length": reader.max_length}
        read_inputs = read_words
    elif isinstance(reader, TransformerText):
        tokenizer = reader.tokenizer.backend_tokenizer
        tokenizer.enable_truncation(reader.max_length, direction=reader.tokenizer.truncation_side)
        tokenizer.no_padding()
        tokenizer.save(str(out / TOKENIZER))
        facts["padding"] = reader.tokenizer.pad_token_id or 0
        read_inputs = read_texts
    elif isinstance(reader, PictureEncoder):
        transform = reader.transform
        facts |= {"size": [transform.width, transform.height], "interpolation": transform.interpolation}
        read_inputs = read_pictures
    sources += [inspect.getsource(read_inputs), f"read_inputs = {read_inputs.__name__}\n"]
    write_json(out / FACTS, facts)
    write_text(out / HELPERS, "\n\n".join([HEAD, *sources]))
    shutil.copy(Path(predict_onnx.__file__), out / SCRIPT)


def _sources(module: ModuleType, *names: str) -> list[str]:
    """Return the sources of functions, and the assignments of constants, of a module."""
    found = {name: getattr(module, name) for name in names}
    return [inspect.getsource(one) if callable(one) else f"{name} = {one!r}" for name, one in found.items()]


def read_texts(items: list[str], facts: dict) -> dict[str, np.ndarray]:  # type: ignore[type-arg]
    """Return the token ids of texts, padded to the longest, and which of them are tokens."""
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(Path(__file__).parent / "tokenizer.json"))
    tokenizer.enable_padding(pad_id=facts["padding"])
    tokens = tokenizer.encode_batch(items)
    names = {"input_ids": "ids", "attention_mask": "attention_mask"}
    return {name: np.array([getattr(one, field) for one in tokens], np.int64) for name, field in names.items()}


def read_words(items: list[str], facts: dict) -> dict[str, np.ndarray]:  # type: ignore[type-arg]
    """Return the rows of the table that the words of texts and their pieces are hashed to."""
    return pad_pieces(hashed_texts(items, rows=facts["rows"], max_length=facts["max_length"]))


def read_pictures(items: list[str], facts: dict) -> dict[str, np.ndarray]:  # type: ignore[type-arg]
    """Return the bytes of pictures in the size of the graph."""
    from PIL import Image

    how = Image.Resampling[facts["interpolation"].upper()]
    pictures = [Image.open(item).convert("RGB").resize(facts["size"], how) for item in items]
    return {"pixels": np.stack([np.asarray(one) for one in pictures])}


def read_vectors(items: list[str], _facts: dict) -> dict[str, np.ndarray]:  # type: ignore[type-arg]
    """Return the rows of NumPy files."""
    return {"vectors": np.concatenate([np.load(item, allow_pickle=False) for item in items]).astype(np.float32)}


def choose_labels(scores: np.ndarray, facts: dict) -> np.ndarray:  # type: ignore[type-arg]
    """Return 1 for each label of the label sets: by thresholds, by the expected F1, and over a hierarchy."""
    ranks = np.argsort(np.argsort(-scores, axis=1, kind="stable"), axis=1)
    chosen = scores > np.array(facts["thresholds"])
    if facts["most"] is not None:
        chosen &= ranks < facts["most"]
    if facts["expected_f1"]:
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
