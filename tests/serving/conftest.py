"""A server in its own process, on a free port, and a client for it."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx2 as httpx
import numpy as np
import pytest
from PIL import Image

from labelcontrast.experiment import run_experiment
from labelcontrast.settings import RunSettings

WORDS = {"sports": "goal match striker cup", "politics": "vote minister party law", "weather": "rain sun storm wind"}


@contextmanager
def _serving(*arguments: object, token: str | None = None, log: Path) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """Start the real command; yield its process and the address that it prints."""
    words = [sys.executable, "-m", "labelcontrast", "serve", *map(str, arguments), "--port", "0"]
    environment = {**os.environ, **({} if token is None else {"LABELCONTRAST_TOKEN": token})}
    with log.open("w") as errors:
        process = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=errors, text=True, env=environment)
        try:
            line = process.stdout.readline()
            assert line.startswith("serving "), log.read_text()
            yield process, line.split()[-1]
        finally:
            process.terminate()
            process.wait(60)
            process.stdout.close()


@pytest.fixture(scope="session")
def serving() -> Callable[..., Any]:
    """Start the real command for a block; it yields the process and its address."""
    return _serving


@pytest.fixture(scope="session")
def text_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run on short made texts with three labels, of which one text in five has a wrong one."""
    folder, random, rows = tmp_path_factory.mktemp("texts"), np.random.default_rng(0), []
    for _ in range(200):
        labels = [name for name in WORDS if random.random() < 0.4]
        words = [random.choice(WORDS[name].split()) for name in labels for _ in range(2)] + ["the", "today"]
        if random.random() < 0.2:
            labels = sorted({*labels} ^ {str(random.choice(list(WORDS)))})
        rows.append({"text": " ".join(random.permutation(words)), "labels": labels})
    (folder / "news.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    values = {"data": str(folder / "news.jsonl"), "encoder": {"name": "hashed"}, "training": {"epochs": 2}}
    run_experiment(RunSettings.build(values), folder / "news")
    return folder / "news"


@pytest.fixture(scope="session")
def picture_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run on grey pictures with a square of a colour in their first corner."""
    folder, random, rows = tmp_path_factory.mktemp("pictures"), np.random.default_rng(0), []
    for index in range(40):
        labels = [name for name in ("red", "blue") if random.random() < 0.6]
        colour = (200 * ("red" in labels), 20, 200 * ("blue" in labels))
        picture = Image.new("RGB", (24, 24), "gray")
        picture.paste(colour, (0, 0, 8, 8))
        picture.save(folder / f"{index}.png")
        rows.append({"image": f"{index}.png", "labels": labels})
    (folder / "data.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    values = {"data": str(folder / "data.jsonl"), "encoder": {"name": "convnet"}, "training": {"epochs": 1}}
    run_experiment(RunSettings.build(values), folder / "colours")
    return folder / "colours"


@pytest.fixture(scope="session")
def server(text_run: Path, picture_run: Path, reg_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a server of a run on texts, one on pictures and one on vectors, with small limits."""
    limits = ["--max-body", 1, "--max-batch", 8, "--max-text", 1000, "--max-pixels", 1]
    log = tmp_path_factory.mktemp("log") / "log"
    with _serving(text_run, picture_run, reg_run, *limits, log=log) as (_, address):
        yield address


@pytest.fixture
def client(server: str) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=server, timeout=30) as opened:
        yield opened
