"""What is printed of data, and the histogram beside it."""

from pathlib import Path

import pytest

from labelcontrast.config.settings import RunSettings
from labelcontrast.terminal.data import print_description


def test_a_description_is_shown_and_its_histogram_drawn(
    vectors: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    print_description(RunSettings.build({"data": str(vectors)}), tmp_path / "labels.png")
    assert "240 rows of 8 features; 5 labels" in capsys.readouterr().out
    assert (tmp_path / "labels.png").read_bytes().startswith(b"\x89PNG")
