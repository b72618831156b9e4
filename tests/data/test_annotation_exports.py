"""Exports as annotation tools write them, frames and data sets in memory, and folders of texts."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from labelcontrast.data.readers import read
from labelcontrast.errors import DataError


def choice(*labels: str, name: str = "topic", **more: Any) -> dict[str, Any]:
    region = {"id": "x1", "from_name": name, "to_name": "text", "type": "choices", "origin": "manual"}
    return {
        "id": 9,
        "completed_by": 1,
        "was_cancelled": False,
        **more,
        "result": [{**region, "value": {"choices": labels}}],
    }


def task(number: int, text: str, *annotations: dict[str, Any]) -> dict[str, Any]:
    """A task in the full JSON export of Label Studio."""
    more = {"drafts": [], "predictions": [], "meta": {}, "created_at": "2024-05-01T10:00:00Z", "project": 3}
    return {"id": number, "annotations": list(annotations), "data": {"text": text}, **more}


def record(number: int, text: str, **responses: Any) -> dict[str, Any]:
    """A record as ``dataset.records.to_json`` of Argilla writes it."""
    given = {
        name: [{"value": one, "user_id": f"u{user}"} for user, one in enumerate(all_)]
        for name, all_ in responses.items()
    }
    more = {"metadata": {}, "suggestions": {"topic": {"value": ["no"], "score": None, "agent": None}}, "vectors": {}}
    return {"id": str(number), "fields": {"text": text}, "responses": given, **more, "_server_id": "s"}


def written(path: Path, rows: object) -> Path:
    path.write_text(json.dumps(rows))
    return path


def test_label_studio(tmp_path: Path) -> None:
    tasks = [
        task(1, "a late goal", choice("sports")),
        task(2, "the minister at the match", choice("sports", "politics")),
        task(3, "rain", {"id": 4, "result": [], "was_cancelled": False}),
        task(4, "two of three", choice("sports", "rain"), choice("sports"), choice("politics", "sports")),
        task(5, "truth", choice("rain"), choice("politics", ground_truth=True), choice("rain")),
        task(6, "skipped", choice("rain", was_cancelled=True), choice("politics")),
    ]
    found = read(written(tmp_path / "a.json", tasks))
    assert found.label_sets == [("sports",), ("sports", "politics"), (), ("sports",), ("politics",), ("politics",)]
    assert found.inputs[:2] == ["a late goal", "the minister at the match"]
    assert list(found.ids)[:2] == ["1", "2"]
    both = {"id": 1, "result": [*choice("a")["result"], *choice("b", name="tone")["result"]]}
    found = read(written(tmp_path / "b.json", [task(1, "x", both)]), labels="tone")
    assert found.label_sets == [("b",)]


def test_argilla(tmp_path: Path) -> None:
    records = [
        record(1, "a late goal", topic=[["sports"]]),
        record(2, "the vote", topic=[["politics"], ["politics", "sports"], ["politics"]]),
        record(3, "one label", topic=["rain"]),
    ]
    found = read(written(tmp_path / "a.json", records))
    assert found.label_sets == [("sports",), ("politics",), ("rain",)]
    assert found.inputs == ["a late goal", "the vote", "one label"]


def test_doccano(tmp_path: Path) -> None:
    rows = [
        {"id": 1, "text": "a late goal", "label": ["sports"], "Comments": []},
        {"id": 2, "text": "the minister at the match", "label": ["sports", "politics"], "Comments": []},
        {"id": 3, "text": "rain", "label": [], "Comments": []},
    ]
    (tmp_path / "all.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert read(tmp_path / "all.jsonl").label_sets == [("sports",), ("sports", "politics"), ()]


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (
            [task(1, "a", choice("x")), task(2, "b")],
            "row 2: nobody annotated it; export the annotated records of L",
        ),
        (
            [record(1, "a", topic=[["x"]]), record(2, "b")],
            "nobody annotated it; export the annotated records of Argilla only.",
        ),
        ([task(1, "a", {"result": []})], "no record of Label Studio has a choice of labels."),
        ([task(1, "a", choice("x")), {"id": 2}], "row 2: expected a record of Label Studio with data."),
    ],
)
def test_what_an_export_lacks_is_refused(rows: list[Any], message: str, tmp_path: Path) -> None:
    with pytest.raises(DataError) as refusal:
        read(written(tmp_path / "a.json", rows))
    assert message in str(refusal.value)


def test_folders_of_texts_are_named_by_their_labels(tmp_path: Path) -> None:
    for name, text in {
        "sports/1": "a late goal",
        "politics/1": "a vote",
        "sports/2": "both",
        "politics/2": "both",
    }.items():
        path = tmp_path / f"{name}.txt"
        path.parent.mkdir(exist_ok=True)
        path.write_text(text + "\n")
    found = read(tmp_path)
    assert dict(zip(found.inputs, found.label_sets, strict=True)) == {
        "a late goal": ("sports",),
        "a vote": ("politics",),
        "both": ("politics", "sports"),
    }


def test_frames_and_data_sets_in_memory() -> None:
    pd, pl, datasets = map(pytest.importorskip, ("pandas", "polars", "datasets"))
    rows = {"text": ["a late goal", "the minister at the match", "rain"], "labels": [["s"], ["s", "p"], []]}
    expected = [("s",), ("s", "p"), ()]
    for held in (pd.DataFrame(rows), pl.DataFrame(rows), datasets.Dataset.from_dict(rows)):
        found = read(held)
        assert (found.inputs, list(found.label_sets)) == (rows["text"], expected)
    hot = pd.DataFrame({"text": rows["text"], "s": [1, 1, 0], "p": [0, np.nan, 0]}, index=[4, 9, 2])
    assert list(read(hot, labels=["s", "p"]).label_sets) == [("s",), ("s",), ()]
    turned = datasets.Dataset.from_dict(rows).select([2, 0])
    assert list(read(turned).label_sets) == [(), ("s",)]
