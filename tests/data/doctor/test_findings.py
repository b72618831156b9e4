"""Pictures that cannot be read are left out and named; what is empty."""

from io import BytesIO
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from labelcontrast.data.describe import describe
from labelcontrast.data.doctor.checkup import check
from labelcontrast.data.doctor.findings import is_empty, without_unreadable
from labelcontrast.data.doctor.fixing import write_fixed
from labelcontrast.data.splitting.splits import load_splits
from labelcontrast.errors import DataError


def test_unreadable_pictures_are_left_out_and_named(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    lines = []
    for row in range(30):
        Image.fromarray(random.integers(0, 255, (16, 16, 3), dtype=np.uint8)).save(tmp_path / f"{row}.png")
        lines.append(f"{row}.png,{'ab'[row % 2]}\n")
    (tmp_path / "3.png").write_text("not a picture")
    (tmp_path / "8.png").unlink()
    for part, held in (("train", lines[:20]), ("val", lines[20:25]), ("test", lines[25:])):
        (tmp_path / f"{part}.csv").write_text("image,label\n" + "".join(held))
    with pytest.raises(DataError):
        load_splits(tmp_path, seed=0)
    splits, findings = without_unreadable(load_splits(tmp_path, seed=0, check_pictures=False))
    assert len(splits.train) == 18
    assert [(finding.kind, finding.sentence) for finding in findings] == [
        ("unreadable", "2 of 20 pictures of train cannot be read")
    ]
    assert findings[0].instances == (
        "train.csv, line 5: 3.png is not a picture that can be read",
        "train.csv, line 10: 8.png is missing",
    )


def test_pictures_that_are_bytes_go_through_the_doctor(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    pictures = []
    for _ in range(30):
        file = BytesIO()
        Image.fromarray(random.integers(0, 255, (16, 16, 3), dtype=np.uint8)).save(file, "PNG")
        pictures.append({"bytes": file.getvalue(), "path": None})
    pictures[3]["bytes"] = b"not a picture"
    pictures[7] = pictures[6]
    labels = [["ab"[row % 2]] for row in range(30)]
    pq.write_table(pa.table({"image": pictures, "labels": labels}), tmp_path / "a.parquet")
    splits, (unreadable,) = without_unreadable(load_splits(tmp_path / "a.parquet", seed=0, check_pictures=False))
    assert unreadable.instances == ("a.parquet, row 4: example 4 is not a picture that can be read",)
    description = describe(splits)
    assert sum(repeat.examples for repeat in description.repeats) == 1
    kinds = {finding.kind for finding in check(splits, description).findings}
    assert {"duplicates", "conflicts"} <= kinds
    write_fixed(splits, (), tmp_path / "fixed")
    assert sum(map(len, load_splits(tmp_path / "fixed", seed=0).parts.values())) in {28, 29}


def test_whole_data_are_left_as_they_are(vectors: Path) -> None:
    splits = load_splits(vectors, seed=0)
    assert without_unreadable(splits) == (splits, ())


@pytest.mark.parametrize(("text", "expected"), [("", True), (" \n", True), ("!", False), ("a", False)])
def test_a_text_without_a_sign_is_empty(text: str, expected: bool) -> None:
    assert is_empty(text) == expected
