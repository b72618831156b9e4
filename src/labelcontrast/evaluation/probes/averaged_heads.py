"""Several linear heads whose probabilities are averaged, as one classifier that gives logits."""

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812


class AveragedHeads(nn.Module):
    r"""The log-odds of the mean probability of several linear heads; of one head its own logits.

    .. math:: x \mapsto \log \frac{\bar p}{1 - \bar p}, \qquad \bar p = \frac1H \sum_h \sigma(w_h^\top x + b_h)

    Args:
        weight: A hyperplane for each head and label.
        bias: What is added to its product with the features.

    Example:
        >>> heads = AveragedHeads(torch.tensor([[[1.0]], [[-1.0]]]), torch.zeros(2, 1))
        >>> heads(torch.tensor([[0.0], [100.0]])).sigmoid()  # one head is certain of yes, the other of no
        tensor([[0.5000],
                [0.5000]])
    """

    def __init__(self, weight: Float[Tensor, "heads labels dim"], bias: Float[Tensor, "heads labels"]) -> None:
        super().__init__()
        self.weight = nn.Parameter(weight, requires_grad=False)
        self.bias = nn.Parameter(bias, requires_grad=False)

    @property
    def out_features(self) -> int:
        """How many labels there are, by the name that a linear layer has for it."""
        return self.weight.shape[1]

    def forward(self, features: Float[Tensor, "examples dim"]) -> Float[Tensor, "examples labels"]:
        """Compute the logits of the mean probability."""
        logits = torch.einsum("nd,hld->hnl", features, self.weight) + self.bias.unsqueeze(1)
        # The logarithms of both sides, added up as they are: no probability is too near to 0 or 1.
        return F.logsigmoid(logits).logsumexp(0) - F.logsigmoid(-logits).logsumexp(0)


Classifier = nn.Linear | AveragedHeads
"""What gives the logits of embeddings."""


def build_classifier(weight: Float[Tensor, "*heads labels dim"], bias: Float[Tensor, "*heads labels"]) -> Classifier:
    """Build the linear layer that these weights are of; with a first axis of heads, the average of several."""
    if weight.ndim == 3:
        return AveragedHeads(weight, bias)
    layer = nn.Linear(weight.shape[1], weight.shape[0])
    layer.load_state_dict({"weight": weight, "bias": bias})
    return layer
