"""Every example of docs/integrations.md runs in a process of its own."""

import json
import os
import re
import socket
import subprocess
import sys
import time
from pathlib import Path
from urllib.request import Request, urlopen

import pytest

PAGE = (Path(__file__).parents[1] / "docs" / "integrations.md").read_text()
SECTIONS = [section.partition("\n") for section in PAGE.split("\n### ")[1:]]
EXAMPLES = {title: re.findall(r"```python\n(.*?)```", text, re.DOTALL) for title, _, text in SECTIONS}
EXAMPLES = {title: blocks for title, blocks in EXAMPLES.items() if blocks}
HOSTS = {
    "Accelerate": "accelerate",
    "sentence": "sentence_transformers",
    "metric": "pytorch_metric_learning",
    "MLflow": "mlflow",
    "TensorBoard": "tensorboard",
}
"""The library of an example, by a word of its title, where it is an extra."""
LAUNCHERS = {
    "Accelerate": ["-m", "accelerate.commands.launch", "--cpu", "--num_processes", "2", "--main_process_port", "0"],
    "metric-learning, with several": ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"],
}
"""What starts two processes of an example."""


def test_each_host_has_an_example() -> None:
    assert len(EXAMPLES) == 9
    assert sum(map(len, EXAMPLES.values())) == PAGE.count("```python") == 10


def test_the_table_names_tests_that_exist() -> None:
    named = re.findall(r"`(tests/[\w/]+\.py)`", PAGE)
    assert len(named) > 10
    assert all((Path(__file__).parents[1] / name).is_file() for name in named)


@pytest.mark.slow
@pytest.mark.parametrize("title", EXAMPLES)
def test_the_example_runs(title: str, tmp_path: Path) -> None:
    for word, library in HOSTS.items():
        if word in title:
            pytest.importorskip(library, reason=f"the example needs {library}")
    for code in EXAMPLES[title]:  # a block that begins with a name is that file; the last one runs
        name = re.match(r"# (\w+\.py)\n", code)
        (tmp_path / (name[1] if name else "example.py")).write_text(code)
    how = next((how for word, how in LAUNCHERS.items() if word in title), [])
    environment = {**os.environ, "HF_HOME": str(tmp_path / "hf"), "ACCELERATE_USE_CPU": "true"}
    done = subprocess.run(
        [sys.executable, *how, "example.py"], cwd=tmp_path, capture_output=True, text=True, check=False, env=environment
    )
    assert done.returncode == 0, done.stderr[-3000:]
    if "sentence-transformers" in title:
        assert (tmp_path / "trained" / "modules.json").exists()
    if "TensorBoard" in title:
        rows = next((tmp_path / "projector").rglob("tensors.tsv")).read_text().splitlines()
        assert len(rows) == 10
        assert (tmp_path / "projector" / "projector_config.pbtxt").exists()
    if "MLflow" in title:
        serves_the_model(done.stdout.split()[-1], tmp_path, environment)


def serves_the_model(address: str, folder: Path, environment: dict[str, str]) -> None:
    """Ask ``mlflow models serve`` for the labels of a text."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = ["mlflow", "models", "serve", "-m", address, "--env-manager", "local", "--port", str(port)]
    given = {**environment, "MLFLOW_TRACKING_URI": "sqlite:///mlflow.db"}
    given["PATH"] = f"{Path(sys.executable).parent}:{given['PATH']}"
    words = {"headers": {"content-type": "application/json"}, "data": json.dumps({"inputs": ["a goal"]}).encode()}
    with subprocess.Popen(command, cwd=folder, env=given, start_new_session=True, stderr=subprocess.DEVNULL) as server:
        try:
            for _ in range(120):
                time.sleep(1)
                try:
                    with urlopen(Request(f"http://127.0.0.1:{port}/invocations", **words)) as answer:
                        assert json.load(answer) == {"predictions": [["sports"]]}
                        return
                except OSError:
                    continue
            pytest.fail("the server did not answer within two minutes")
        finally:
            os.killpg(server.pid, 15)
