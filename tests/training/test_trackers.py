"""The trackers of a run, read by their own clients: MLflow's database, W&B's offline folder, TensorBoard's events."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from labelcontrast.training.epochs import read_history


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # of MLflow and of its database themselves
def test_three_trackers_get_the_curves_of_one_run(vectors: Path, tmp_path: Path) -> None:
    mlflow = pytest.importorskip("mlflow", reason="MLflow is an extra")
    pytest.importorskip("wandb", reason="W&B is an extra")
    events = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    loggers = "training.loggers=['wandb','tensorboard','mlflow']"
    words = [sys.executable, "-m", "labelcontrast", "train", str(vectors), "--out", "run", "--epochs", "2"]
    environment = {**os.environ, "WANDB_MODE": "offline", "WANDB_SILENT": "true", "WANDB_DIR": str(tmp_path)}
    environment.pop("MLFLOW_TRACKING_URI", None)
    done = subprocess.run(
        [*words, "--set", loggers], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    history = read_history(tmp_path / "run" / "history.csv")
    scores = [epoch.score for epoch in history]

    client = mlflow.MlflowClient(f"sqlite:///{tmp_path / 'run' / 'mlflow.db'}")
    run = client.search_runs([client.get_experiment_by_name("labelcontrast").experiment_id])[0]
    kept = [one.value for one in client.get_metric_history(run.info.run_id, "score")]
    assert kept == pytest.approx(scores, rel=1e-4)
    tensorboard = events.EventAccumulator(str(tmp_path / "run" / "tensorboard")).Reload()
    assert [one.value for one in tensorboard.Scalars("score")] == pytest.approx(scores, rel=1e-4)
    assert len(list((tmp_path / "run" / "wandb").glob("offline-run-*/run-*.wandb"))) == 1
