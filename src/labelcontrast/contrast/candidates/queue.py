"""Candidates from earlier batches: a ring of the latest projections and their labels."""

import torch
from jaxtyping import Float
from torch import Tensor, nn


class Queue(nn.Module):
    """The latest rows and labels, as plain buffers: they are saved, resumed and moved with the loss.

    Places that are still empty have no label and are not ``filled``; so shapes never change, and no step has to look
    at how full the queue is.

    Example:
        >>> queue = Queue(3, dim=2, num_labels=1)
        >>> queue.append(torch.eye(2), torch.ones(2, 1))
        >>> queue.filled
        tensor([1., 1., 0.])

    Reference: He et al., Momentum Contrast for Unsupervised Visual Representation Learning, 2020.
    """

    rows: Float[Tensor, "size dim"]
    labels: Float[Tensor, "size labels"]
    filled: Float[Tensor, " size"]
    next: Tensor

    def __init__(self, size: int, *, dim: int, num_labels: int) -> None:
        super().__init__()
        self.register_buffer("rows", torch.zeros(size, dim))
        self.register_buffer("labels", torch.zeros(size, num_labels))
        self.register_buffer("filled", torch.zeros(size))
        self.register_buffer("next", torch.zeros((), dtype=torch.int64))

    @property
    def latest(self) -> tuple[Tensor, Tensor, Tensor]:
        """Rows, labels, and which of them are filled."""
        return self.rows, self.labels, self.filled

    @torch.no_grad()
    def append(self, rows: Float[Tensor, "batch dim"], labels: Float[Tensor, "batch labels"]) -> None:
        """Put the rows in place of the oldest; of more rows than there are places, the last stay."""
        size = len(self.rows)
        places = (self.next + torch.arange(len(rows), device=rows.device)) % size
        self.rows[places[-size:]] = rows[-size:].to(self.rows.dtype)
        self.labels[places[-size:]] = labels[-size:].to(self.labels.dtype)
        self.filled[places[-size:]] = 1
        self.next.copy_((self.next + len(rows)) % size)
