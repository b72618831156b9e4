"""Data put right: what spoils a result is left out, what is suspected is marked, and nothing else is touched."""

import json
import math
from collections import Counter
from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image

from labelcontrast.data.doctor.checkup import is_empty
from labelcontrast.data.doctor.duplicates import fingerprints
from labelcontrast.data.doctor.suspects import Suspect
from labelcontrast.data.examples import Examples, Part
from labelcontrast.data.npz import PARTS
from labelcontrast.data.splits import Splits
from labelcontrast.errors import DataError
from labelcontrast.files import whole_file, write_text


def write_fixed(splits: Splits, found: tuple[Suspect, ...], folder: Path) -> dict[str, int]:
    """Write the data anew: JSON Lines for texts and pictures, an archive for vectors.

    Left out are texts without a word, an example that stands before in its part with the same labels, and an example of
    train or val that is also in a later part, so that what is measured stays whole. Suspected labels stay as they are;
    the column ``suspected`` of train names them.

    Args:
        splits: the data, every picture readable.
        found: the labels that are suspected.
        folder: where it goes; what is there under the same names is replaced.

    Returns:
        How many examples were left out for what.

    Raises:
        DataError: when nothing of a part would be left.
    """
    left_out: Counter[str] = Counter()
    kept = {part: _kept(part, splits, left_out) for part in splits.parts}
    for part, rows in kept.items():
        if not rows:
            message = f"nothing of {part} is left without repeats and empty texts; divide the data anew."
            raise DataError(message, path=splits.parts[part].origin)
    write_text(folder / "labels.json", json.dumps(splits.vocabulary.names, ensure_ascii=False, indent=0) + "\n")
    if splits.train.kind == "vector":
        _write_archive(splits, kept, folder / "data.npz")
        return dict(left_out)
    suspected: dict[int, list[str]] = {}
    for it in found:
        suspected.setdefault(it.row, []).append(splits.vocabulary.names[it.label])
    for part, examples in splits.parts.items():
        lines = []
        for row in kept[part]:
            record = _record(examples, row, folder / "images" / f"{part}-{row}")
            if part == "train" and row in suspected:
                record["suspected"] = suspected[row]
            lines.append(json.dumps(record, ensure_ascii=False) + "\n")
        write_text(folder / f"{part}.jsonl", "".join(lines))
    return dict(left_out)


def _kept(part: Part, splits: Splits, left_out: Counter[str]) -> list[int]:
    """Choose the rows of a part that stay."""
    examples = splits.parts[part]
    order = list(splits.parts)
    later = {key for name in order[order.index(part) + 1 :] for key in fingerprints(splits.parts[name])}
    seen: set[tuple[bytes, frozenset[str]]] = set()
    rows = []
    for row, (key, labels) in enumerate(zip(fingerprints(examples), examples.label_sets or [], strict=True)):
        same = (key, frozenset(labels))
        reason = (
            "empty" if examples.kind == "text" and is_empty(examples.inputs[row])
            else "in a later part" if key in later
            else "repeated" if same in seen
            else ""
        )  # fmt: skip
        seen.add(same)
        if reason:
            left_out[reason] += 1
        else:
            rows.append(row)
    return rows


def _record(examples: Examples, row: int, picture: Path) -> dict[str, object]:
    """Return an example as a JSON object, its labels as a list; as an object where some are soft or unknown.

    A picture that is bytes in a table becomes a file, whose name without its end is ``picture``.
    """
    item = examples.inputs[row]
    record: dict[str, object] = {"id": examples.ids[row]}
    if isinstance(item, bytes):
        item = _written_picture(item, picture)
    record |= {"image": str(item.resolve())} if isinstance(item, Path) else {"text": item}
    labels = (examples.label_sets or [])[row]
    record["labels"] = list(labels)
    if examples.values is not None:
        values: dict[str, float | None] = dict.fromkeys(labels, 1.0)
        odd = examples.values[row].items()
        record["labels"] = values | {name: None if math.isnan(value) else value for name, value in odd}
    if examples.annotated is not None:
        record["annotated"] = list(examples.annotated[row])
    return record


def _written_picture(picture: bytes, path: Path) -> Path:
    """Write a picture into a file whose end says its format."""
    with Image.open(BytesIO(picture)) as image:
        path = path.with_suffix(f".{image.format}".lower())
    with whole_file(path) as file:
        file.write(picture)
    return path


def _write_archive(splits: Splits, kept: dict[Part, list[int]], path: Path) -> None:
    """Write vectors with their labels and parts."""
    chosen = {part: examples.select(kept[part]) for part, examples in splits.parts.items()}
    features = np.concatenate([np.asarray(examples.inputs) for examples in chosen.values()])
    labels = [
        splits.vocabulary.encode_values(examples.label_sets or [], examples.values, examples.annotated).toarray()
        for examples in chosen.values()
    ]
    split = np.concatenate([np.full(len(examples), PARTS.index(part)) for part, examples in chosen.items()])
    with whole_file(path) as file:
        names = np.array(splits.vocabulary.names)
        np.savez_compressed(file, X=features, Y=np.concatenate(labels), label_names=names, split=split)
