"""Memory and time of a training step in chunks: a small transformer, a batch of 64 to 4,096 texts, chunks of 64.

    python benchmarks/chunks.py        # one thread; some minutes

Each step runs in a fresh process: encoder (six layers of width 384, as MiniLM, random weights, texts of 32 tokens),
projector and `reg` with 54 labels, forward and backward. Memory is what the peak grows by beyond the weights and their
gradients, which every step has. Seconds are those of the processor. Writes benchmarks/results/chunks.json.
"""

import json
import subprocess
import sys
from pathlib import Path

from labelcontrast.run.machine import describe_origin

RESULTS = Path(__file__).parent / "results" / "chunks.json"
STEPS = ((64, 0), (256, 0), (512, 0), (256, 64), (512, 64), (4096, 64))  # examples, and examples a chunk
STEP = """
import sys, time
from pathlib import Path
import torch
from transformers import BertConfig, BertModel
import labelcontrast as lc
from labelcontrast.encoders.base import Projector
from labelcontrast.settings import TrainingSettings
from labelcontrast.training import Learner, Rates

class Encoder(torch.nn.Module):
    def __init__(self):
        super().__init__()
        sizes = dict(hidden_size=384, num_hidden_layers=6, num_attention_heads=12, intermediate_size=1536)
        self.model = BertModel(BertConfig(**sizes), add_pooling_layer=False)
    def forward(self, inputs):
        return self.model(input_ids=inputs["tokens"]).last_hidden_state[:, 0]

size, chunk = int(sys.argv[1]), int(sys.argv[2])
torch.set_num_threads(1)
torch.manual_seed(0)
settings = TrainingSettings(batch_size=size, chunk=chunk)
rates = Rates(encoder=1e-4, head=1e-4, schedule="cosine")
loss = lc.make_loss("reg", num_labels=54, dim=256)
learner = Learner(Encoder(), Projector(384), loss, score=lambda *_: 0.0, settings=settings, rates=rates)
learner._losses, learner._counted = [], []
tokens, labels = torch.randint(1000, (size, 32)), (torch.rand(size, 54) < 0.05).float()
inputs = [{"tokens": part} for part in tokens.split(chunk)] if chunk else {"tokens": tokens}
for parameter in learner.parameters():
    parameter.grad = torch.zeros_like(parameter)
def status(field):
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(field))
Path("/proc/self/clear_refs").write_text("5")
before, start = status("VmRSS"), time.process_time()
learner.training_step((inputs, labels), 0).backward()
print((status("VmHWM") - before) / 1024, time.process_time() - start)
"""


def main() -> None:
    """Measure every step, and write."""
    found = {}
    for size, chunk in STEPS:
        words = [sys.executable, "-W", "ignore", "-c", STEP, str(size), str(chunk)]
        printed = subprocess.run(words, capture_output=True, text=True, check=True).stdout
        memory, seconds = (float(word) for word in printed.split())
        name = f"batch {size}, {f'chunks of {chunk}' if chunk else 'whole'}"
        found[name] = {"MiB": round(memory), "seconds": round(seconds, 1)}
        print(name, found[name], flush=True)
    RESULTS.write_text(json.dumps({"origin": describe_origin(), "steps": found}, indent=1) + "\n")


if __name__ == "__main__":
    main()
