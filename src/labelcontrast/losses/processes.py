"""Candidates from other processes, with a gradient that finds its way back to them.

A detached gather is not enough: as a candidate an example is pushed and pulled by the anchors of the others too.
"""

from typing import Any

import torch
from torch import Tensor, distributed


def processes() -> int:
    """How many processes compute together; 1 where torch.distributed does not run."""
    return distributed.get_world_size() if distributed.is_available() and distributed.is_initialized() else 1


def gather_rows(rows: Tensor) -> list[Tensor]:
    """Collect the rows of every process, own ones included, however many each has.

    The gradient of a process's rows is the sum of what all processes make of it; every process has to call this, and go
    backward through it.
    """
    sizes = [int(size) for size in _gather_equal(torch.tensor([len(rows)], device=rows.device))]
    gathered: tuple[Tensor, ...] = _GatherRows.apply(rows, sizes)
    return list(gathered)


def sum_over_processes(value: Tensor) -> Tensor:
    """Sum a value over all processes, without a gradient."""
    total = value.detach().clone()
    if processes() > 1:
        distributed.all_reduce(total)
    return total


def rank() -> int:
    """The number of this process."""
    return distributed.get_rank() if processes() > 1 else 0


class _GatherRows(torch.autograd.Function):
    """Gathering, whose transpose is a sum of which every process keeps its part."""

    @staticmethod
    def forward(ctx: Any, rows: Tensor, sizes: list[int]) -> tuple[Tensor, ...]:  # noqa: ANN401
        ctx.sizes = sizes
        padded = rows.new_zeros(max(sizes), *rows.shape[1:])
        padded[: len(rows)] = rows
        return tuple(part[:size] for part, size in zip(_gather_equal(padded), sizes, strict=True))

    @staticmethod
    def backward(ctx: Any, *upstream: Tensor) -> tuple[Tensor, None]:  # noqa: ANN401
        total = torch.cat(upstream)
        distributed.all_reduce(total)
        return torch.split(total, ctx.sizes)[distributed.get_rank()], None


def _gather_equal(rows: Tensor) -> list[Tensor]:
    """Collect tensors of one shape from every process."""
    parts = [torch.empty_like(rows) for _ in range(processes())]
    distributed.all_gather(parts, rows.contiguous())
    return parts
