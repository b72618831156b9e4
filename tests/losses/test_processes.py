"""Under 2 and 4 processes the loss and its gradients are those of one process that has the whole batch."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch

sys.path.insert(0, str(Path(__file__).parent))
from gather_worker import CASES, STEPS, compute, part


@pytest.mark.parametrize("world", [2, 4])
def test_many_processes_equal_one(world: int, tmp_path: Path) -> None:
    worker = Path(__file__).with_name("gather_worker.py")
    workers = [subprocess.Popen([sys.executable, worker, str(rank), str(world), tmp_path]) for rank in range(world)]
    assert [process.wait(timeout=120) for process in workers] == [0] * world
    found = [torch.load(tmp_path / f"{rank}.pt") for rank in range(world)]
    for name, case in CASES.items():
        alone = compute(case)
        for step in range(STEPS):
            value, grad, prototypes = alone[step]
            steps = [results[name][step] for results in found]
            for rank, (theirs, mine, _) in enumerate(steps):
                torch.testing.assert_close(theirs, value, rtol=1e-9, atol=1e-9, msg=f"{name} value, step {step}")
                # a process's gradient is that of all losses; DistributedDataParallel then takes the mean over processes
                own = part(len(grad), rank, world)
                torch.testing.assert_close(mine / world, grad[own], rtol=1e-9, atol=1e-9, msg=f"{name}, step {step}")
            mean = torch.stack([theirs for _, _, theirs in steps]).mean(0)
            torch.testing.assert_close(mean, prototypes, rtol=1e-9, atol=1e-9, msg=f"{name} prototypes, step {step}")


def test_alone_there_is_nothing_to_gather() -> None:
    from labelcontrast.losses.candidates import processes, rank, sum_over_processes

    assert (processes(), rank()) == (1, 0)
    assert sum_over_processes(torch.tensor(3.0)) == 3
