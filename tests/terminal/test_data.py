"""What is printed of data, and the histogram beside it."""

from pathlib import Path

import pytest

from labelcontrast.config.settings import RunSettings
from labelcontrast.run.material import read_splits
from labelcontrast.terminal.data import print_description


def test_a_hierarchy_is_described(living: Path, capsys: pytest.CaptureFixture[str]) -> None:
    print_description(RunSettings.build({"data": str(living)}), None)
    said = capsys.readouterr().out.partition("\nHierarchy\n")[2].splitlines()
    assert said[0].startswith("  hierarchy in hierarchy.json: 7 nodes on 2 levels (2, 5), 5 of them leaves; 1 label on")
    splits = read_splits(RunSettings.build({"data": str(living)}))
    rows = [{*own} for own in splits.train.label_sets]
    below = sum(bool(own - {"animal"}) for own in rows)
    assert f"  level 0: 2 nodes, 0 of them leaves, 1 label; {len(rows)} of {len(rows)} training examples" in said
    assert f"  level 1: 5 nodes, 5 of them leaves, 5 labels; {below} of {len(rows)} training examples" in said
    paths = f"{sum(map(len, rows)) / len(rows):.2f} paths each, at most 2"
    assert f"  training examples: {paths}; {len(rows) - below} have one that ends above a leaf" in said
    assert any(line.startswith(f"  {below} lack a label above one that they have;") for line in said)


def test_a_hierarchy_that_does_not_fit_is_no_end_of_the_description(
    living: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "living.npz").write_bytes(living.read_bytes())
    (tmp_path / "hierarchy.json").write_text('{"cat": null}')
    print_description(RunSettings.build({"data": str(tmp_path / "living.npz")}), None)
    said = capsys.readouterr().out
    assert "5 labels" in said or "6 labels" in said
    assert f"is no node of {tmp_path / 'hierarchy.json'}" in said.partition("\nHierarchy: ")[2]


def test_a_description_is_shown_and_its_histogram_drawn(
    vectors: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    print_description(RunSettings.build({"data": str(vectors)}), tmp_path / "labels.png")
    assert "240 rows of 8 features; 5 labels" in capsys.readouterr().out
    assert (tmp_path / "labels.png").read_bytes().startswith(b"\x89PNG")
