"""The public names of the lab: comparisons, studies, rankings and significance tests from Python."""

import shutil
from pathlib import Path

import numpy as np

from labelcontrast import lab
from labelcontrast.settings import RunSettings, parse_losses

QUICK = {"training": {"epochs": 1, "batch_size": 64}}


def test_comparisons_studies_and_rankings_run_from_python(vectors: Path, tmp_path: Path) -> None:
    folders = [str(tmp_path / "one"), str(tmp_path / "other")]
    settings = RunSettings.build({"data": str(vectors), **QUICK})
    losses, options = parse_losses("bce,reg,zlpr"), lab.Options(force=True)
    table = lab.run_comparison(settings, losses, folders[0], seeds=1, options=options)
    assert [row[0].text for row in table.rows] == ["linear SVM", "bce", "reg", "zlpr"]
    assert lab.write_comparison(folders[0]).read_text().count("<svg") > 1
    shutil.copytree(*folders)
    rankings = lab.rank_comparisons(folders, str(tmp_path / "a.html"))
    assert set(rankings["micro_f1"].ranks) == {"bce", "reg", "zlpr"}
    study = lab.find_study("temperature").with_changes(losses="bce", seeds=1)
    table = lab.run_study(study, [vectors], QUICK, str(tmp_path / "study"), store=str(tmp_path / "store"))
    assert [cell.text for cell in table.rows[0]] == [cell.text for cell in lab.write_study(tmp_path / "study").rows[0]]
    assert set(lab.study_catalogue()) >= {"thresholds", "temperature"}


def test_significance_tests_accept_arrays() -> None:
    random = np.random.default_rng(0)
    one, other = 0.6 + 0.01 * random.normal(size=6), 0.5 + 0.01 * random.normal(size=6)
    found = lab.paired_test(one, other, one[:, None] + np.zeros((6, 50)), other[:, None] + np.zeros((6, 50)))
    assert found.low < 0.1 < found.high
    assert lab.holm(np.array([found.p, lab.permute_seeds(one, other)])).max() < 0.05
