"""What every test may lean on: the shared data, found by a variable, and a machine without a network.

Problems with a known shape, and a way past the shape check to the refusals behind it.
"""

import json
import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import jaxtyping
import numpy as np
import pytest
from selenium import webdriver
from selenium.webdriver.chrome.service import Service

from labelcontrast.settings import RunSettings

sys.path.insert(0, str(Path(__file__).parent))  # graphs.py is shared by several rooms

pytest_plugins = ["made_summaries"]
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["HF_HUB_CACHE"] = os.devnull  # what a developer has downloaded is not taken by the encoder auto
os.environ["OMP_NUM_THREADS"] = "1"  # several processes that share the cores spin against each other otherwise
os.environ["MPLBACKEND"] = "Agg"


UNCHECKED = ("cli", "lab", "export", "run", "faults", "recipes", "public_reports", "serving")
"""Folders of tests without the shape check: whole runs, whose stages the other folders test with it."""


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Iterator[None]:
    jaxtyping.config.update("jaxtyping_disable", item.path.parent.name in UNCHECKED)
    return (yield)


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of golden numbers and real data; a user does not have it, CI must."""
    folder = Path(os.environ.get("LABELCONTRAST_SHARED", Path(__file__).parents[2] / "shared"))
    if not folder.is_dir():
        if os.environ.get("CI"):
            pytest.fail(f"CI needs the shared folder. Looked in {folder}.")
        pytest.skip(
            f"needs the shared folder of golden numbers and data; looked in {folder} (set LABELCONTRAST_SHARED)"
        )
    return folder


BROWSER_FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
    "--window-size=1200,2400",
]


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[webdriver.Chrome]:
    """A headless Chromium that logs what a page prints and fetches; CI must have one."""
    program, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if not program or not driver:
        if os.environ.get("CI"):
            pytest.fail("CI needs chromium and chromedriver (Debian: chromium, chromium-driver).")
        pytest.skip("needs chromium and chromedriver (Debian: chromium, chromium-driver)")
    options = webdriver.ChromeOptions()
    options.binary_location = program
    for flag in (*BROWSER_FLAGS, f"--user-data-dir={tmp_path_factory.mktemp('profile')}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    opened = webdriver.Chrome(options=options, service=Service(driver))
    yield opened
    opened.quit()


@pytest.fixture(scope="session", autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory) -> None:
    """The tests leave nothing in the user's cache, and find nothing there."""
    os.environ["LABELCONTRAST_CACHE"] = str(tmp_path_factory.mktemp("cache"))


@pytest.fixture(scope="session")
def vectors(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write 240 vectors with five labels that are thresholds of their features, the last one rare."""
    random = np.random.default_rng(0)
    rows = random.normal(size=(240, 8)).astype(np.float32)
    offsets = np.array([0.0, 0.2, 0.5, 0.8, 1.4])
    path = tmp_path_factory.mktemp("data") / "vectors.npz"
    names = np.array(["one", "two", "three", "four", "rare"])
    np.savez(path, X=rows, Y=(rows[:, :5] > offsets).astype(np.uint8), label_names=names)
    return path


@pytest.fixture(scope="session")
def living(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file of 240 vectors in five clusters below two nodes, and the tree of their labels beside it.

    Of the nodes above, "animal" is a label too, of some rows alone; "plant" is none. Each sixth row is of two clusters.
    """
    random = np.random.default_rng(0)
    names = ["cat", "dog", "owl", "oak", "fir", "animal"]
    own = random.integers(0, 5, 240)
    labels = np.eye(6, dtype=np.uint8)[own]
    second = (own + 2) % 5
    labels[np.arange(0, 240, 6), second[::6]] = 1
    alone = np.flatnonzero(own < 3)[::8]
    labels[alone] = np.eye(6, dtype=np.uint8)[5]
    centres = random.normal(size=(5, 8)) + np.where(np.arange(5)[:, None] < 3, 1.5, -1.5)
    rows = centres[own] + 0.5 * centres[second] * (labels[:, :5].sum(1, keepdims=True) > 1)
    folder = tmp_path_factory.mktemp("living")
    rows = (rows + 0.5 * random.normal(size=rows.shape)).astype(np.float32)
    np.savez(folder / "living.npz", X=rows, Y=labels, label_names=np.array(names))
    parents = {"animal": None, "plant": None, "cat": "animal", "dog": "animal", "owl": "animal"}
    (folder / "hierarchy.json").write_text(json.dumps(parents | {"oak": "plant", "fir": "plant"}, indent=0))
    return folder / "living.npz"


@pytest.fixture(scope="session")
def finished_runs(vectors: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A finished run under a logit loss and one under a contrastive loss."""
    from labelcontrast.experiment import run_experiment

    folder = tmp_path_factory.mktemp("runs")
    for name in ("bce", "reg"):
        values = {"data": str(vectors), "loss": {"name": name}, "training": {"epochs": 4, "batch_size": 32}}
        run_experiment(RunSettings.build(values), folder / name)
    return {name: folder / name for name in ("bce", "reg")}


@pytest.fixture(scope="session")
def reg_run(vectors: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run of three epochs, for tests with the same settings; those that change it take a copy."""
    from labelcontrast.experiment import run_experiment

    folder = tmp_path_factory.mktemp("reg") / "run"
    values = {"data": str(vectors), "loss": {"name": "reg"}, "training": {"epochs": 3, "batch_size": 32}}
    run_experiment(RunSettings.build(values), folder)
    return folder


@pytest.fixture
def unchecked() -> Iterator[None]:
    """Call as a user does, without the shape check that only the tests turn on.

    It takes more time than small losses do, so the tests that compute thousands of them leave it to the others.
    """
    before = jaxtyping.config.jaxtyping_disable
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", before)


@pytest.fixture
def problem() -> tuple[np.ndarray, np.ndarray]:
    """300 examples, 12 correlated features of very different scale, 6 labels from frequent to rare, with noise."""
    generator = np.random.default_rng(7)
    features = generator.normal(size=(300, 12)) @ generator.normal(size=(12, 12)) * np.logspace(-2, 2, 12) + 5
    margins = (features - features.mean(0)) / features.std(0) @ generator.normal(size=(12, 6))
    margins += generator.logistic(size=margins.shape)
    cut = np.diag(np.quantile(margins, [0.5, 0.6, 0.7, 0.8, 0.9, 0.95], axis=0))
    return features.astype(np.float32), (margins > cut).astype(np.uint8)
