"""Label names that a terminal, a page, a spreadsheet or mathematics would obey are shown as what they are."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from labelcontrast.cli.verbs import app
from labelcontrast.experiment import run_experiment
from labelcontrast.lab.study_report import _as_csv
from labelcontrast.reports.tables import Cell, Table, as_markdown
from labelcontrast.run.model import load
from labelcontrast.settings import RunSettings

EVIL = "\x1b[31mred<script>alert(1)</script> | [x](javascript:1)\n# heading"
LABELS = {"cheap tea": "$", "dear wine": "$$", "dearest opera": "$$$", "red": EVIL}


@pytest.fixture(scope="module")
def texts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("texts") / "texts.jsonl"
    rows = [{"text": f"{text} {n}", "labels": [label]} for n in range(24) for text, label in LABELS.items()]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_a_run_with_such_labels_has_a_page_and_a_card_without_markup(texts: Path, tmp_path: Path) -> None:
    encoder, evaluation = {"name": "hashed"}, {"views": ["probe"]}
    values = {"data": str(texts), "loss": {"name": "bce"}, "encoder": encoder, "evaluation": evaluation}
    run_experiment(RunSettings.build({**values, "training": {"epochs": 1, "batch_size": 32}}), tmp_path / "run")
    assert set(load(tmp_path / "run").labels) == {*LABELS.values()}
    page, card = ((tmp_path / "run" / name).read_text() for name in ("report.html", "README.md"))
    assert "<script>alert" not in page
    assert "<script" not in card
    assert "\x1b" not in card
    assert "&lt;script>alert(1)&lt;/script> \\| \\[x](javascript:1) # heading" in card
    assert sum(line.startswith("# ") for line in card.splitlines()) == 1


def test_a_terminal_shows_escapes_and_does_not_obey_them(texts: Path) -> None:
    printed = CliRunner().invoke(app, ["describe", str(texts), "--encoder", "hashed"]).stdout
    assert "\\x1b[31mred" in printed
    assert "\x1b" not in printed


def test_cells_are_neither_markup_nor_formulae() -> None:
    cells = (Cell("=HYPERLINK(1)"), Cell("a|b<br>", best=True), Cell("-0.50 ± 0.10"))
    assert as_markdown(Table(("x|", "y", "z"), (cells,))).splitlines()[::2] == [
        "| x\\| | y | z |",
        "| =HYPERLINK(1) | **a\\|b&lt;br>** | -0.50 ± 0.10 |",
    ]
    rows = [["=HYPERLINK(1)", "@x", "-2+3", "-0.50 ± 0.10", -0.5, None, "plain"]]
    assert _as_csv(rows) == "'=HYPERLINK(1),'@x,'-2+3,-0.50 ± 0.10,-0.5,,plain\n"


def test_a_repaired_copy_and_predictions_are_not_written_over_their_source(texts: Path, reg_run: Path) -> None:
    before = texts.read_bytes()
    done = CliRunner().invoke(app, ["describe", str(texts), "--fix", str(texts.parent)])
    assert str(done.exception).endswith("is not empty; choose a new or empty folder, so that no data are overwritten.")
    done = CliRunner().invoke(app, ["predict", str(reg_run), str(texts), "--out", str(texts)])
    assert str(done.exception) == f"--out {texts} is the file that is read; choose another name."
    assert texts.read_bytes() == before
