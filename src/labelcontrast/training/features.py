"""What a frozen module makes of every example, in the order of the examples."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

import torch
from jaxtyping import Float
from torch import Tensor, nn

from labelcontrast.data.batches import Prepared, ordered_batches


@contextmanager
def frozen(module: nn.Module) -> Iterator[None]:
    """Switch norms and dropout to evaluation and gradients off; afterwards, back to what was."""
    was_training = module.training
    module.eval()
    try:
        with torch.inference_mode():
            yield
    finally:
        module.train(was_training)


def compute_features(
    module: nn.Module,
    prepared: Prepared,
    *,
    batch_size: int = 128,
    apply: Callable[[Mapping[str, Tensor]], Tensor] | None = None,
) -> Float[Tensor, "examples dim"]:
    """Run a module over all examples once, in evaluation mode, and keep the results in float32 on the CPU.

    Args:
        module: the encoder, or a module around it; its first parameter says on which device it runs.
        prepared: the examples.
        batch_size: examples at a time; the longest come first, so memory is at its peak at once.
        apply: what to call in place of the module, for a part of it.

    Returns:
        One row an example, in the order of ``prepared``.
    """
    device = next(module.parameters()).device
    function = apply or module
    result = torch.empty(0, 0)
    with frozen(module):
        for indices, inputs in ordered_batches(prepared, batch_size=batch_size):
            rows = function({name: value.to(device) for name, value in inputs.items()}).float().cpu()
            if not result.numel():
                with torch.inference_mode(mode=False):  # a caller may train on it
                    result = torch.empty(len(prepared), rows.shape[1])
            result[torch.from_numpy(indices)] = rows
    return result
