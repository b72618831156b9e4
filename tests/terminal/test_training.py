"""What training prints: progress beside results, and a ranking."""

from pathlib import Path

import pytest

from labelcontrast.config.settings import RunSettings
from labelcontrast.files import write_json
from labelcontrast.terminal.training import print_ranks, print_training


def test_training_tells_on_standard_error_and_shows_on_standard_output(
    vectors: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    training = {"epochs": 2, "batch_size": 64}
    settings = RunSettings.build({"data": str(vectors), "loss": {"name": "bce"}, "training": training})
    print_training(settings, tmp_path / "run", resume=False, force=False)
    out, err = capsys.readouterr()
    assert "epoch 1/2   loss" in err
    assert "168 train, 24 val, 48 test; 5 labels" in err
    assert (
        out.splitlines()[-1] == f"epoch 2 kept; model in {tmp_path / 'run'}, page in {tmp_path / 'run' / 'report.html'}"
    )


def test_ranks_are_printed_and_the_page_is_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folders = []
    for number, values in enumerate([(0.1, 0.3, 0.2), (0.2, 0.6, 0.5)]):
        folders.append(tmp_path / str(number))
        metrics = [
            {"metrics": {"test": dict.fromkeys(("micro_f1", "macro_f1", "map_macro"), value)}} for value in values
        ]
        folders[-1].mkdir()
        write_json(
            folders[-1] / "results.json",
            {"rows": {n: [m] for n, m in zip(("bce", "reg", "msc"), metrics, strict=True)}},
        )
    print_ranks(folders, tmp_path / "ranks.html")
    lines = capsys.readouterr().out.splitlines()
    assert [line.split() for line in lines[1:4]] == [
        [n, r, r, r] for n, r in [("reg", "1.00"), ("msc", "2.00"), ("bce", "3.00")]
    ]
    assert lines[-1] == f"critical difference 2.34; page in {tmp_path / 'ranks.html'}"
    assert (tmp_path / "ranks.html").exists()
