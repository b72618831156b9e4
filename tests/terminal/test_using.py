"""What a verb that uses a model writes is whole or not there."""

import io
from pathlib import Path

import pytest

from labelcontrast.terminal.using import write_predictions


def test_predictions_to_a_file_are_whole_or_not_there(
    finished_runs: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("a text, where vectors are expected\n"))
    with pytest.raises(Exception, match="trained on vector inputs"):
        write_predictions(finished_runs["bce"], "-", tmp_path / "out.jsonl", top=None)
    assert list(tmp_path.iterdir()) == []
