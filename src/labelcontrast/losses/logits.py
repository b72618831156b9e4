"""Losses on logits, as functions: the baselines of the contrastive losses, and what a linear probe is trained on.

Labels are 0 and 1. A number between is a soft label, the probability of the label, and weights both sides accordingly.
NaN is an unknown label, which is ignored. Everything is in float32 or better, through log-sigmoids and log-sums, and
finite for logits of any size and for empty rows.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Literal

import torch
from jaxtyping import Float, Shaped
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from labelcontrast.errors import EmbeddingError, LabelShapeError
from labelcontrast.losses import module
from labelcontrast.losses.axes import Parameter, parameters_of
from labelcontrast.losses.module import LossModule, check_labels, check_tensor, example_weights, read_labels
from labelcontrast.losses.registry import loss_catalogue

Logits = Float[Tensor, "batch labels"]
Labels = Shaped[Tensor, "batch labels"]
Reduction = Literal["mean", "sum", "none"]


def bce(logits: Logits, labels: Labels, *, reduction: Reduction = "mean") -> Tensor:
    r"""Compute the binary cross-entropy of every label; the mean is over examples and labels.

    .. math:: -y \log \sigma(x) - (1 - y) \log \sigma(-x)

    Args:
        logits: Before the sigmoid.
        labels: 0, 1 or between; NaN is unknown.
        reduction: Over all known labels; ``"none"`` keeps [batch, labels].

    Example:
        >>> bce(torch.tensor([[0.0, 100.0]]), torch.tensor([[1, 1]]))
        tensor(0.3466)
    """
    logits, present, absent = _ready(logits, labels)
    return _reduce(-present * F.logsigmoid(logits) - absent * F.logsigmoid(-logits), present + absent, reduction)


def focal(
    logits: Logits, labels: Labels, *, gamma: float = 2.0, alpha: float | None = None, reduction: Reduction = "mean"
) -> Tensor:
    r"""Compute binary cross-entropy with less weight on labels that are already right; the mean is over all of them.

    .. math:: -\alpha_t (1 - p_t)^\gamma \log p_t, \qquad p_t = \sigma(x) \text{ where } y = 1 \text{, else } \sigma(-x)

    Args:
        logits: Before the sigmoid.
        labels: 0, 1 or between; NaN is unknown.
        gamma: Focusing, how fast the weight falls; 0 is binary cross-entropy.
        alpha: Weight of positive labels, 1 - alpha that of negative ones; by default 1 for both.
        reduction: Over all known labels; ``"none"`` keeps [batch, labels].

    Example:
        >>> focal(torch.tensor([[0.0]]), torch.tensor([[1]]), gamma=2.0)  # log(2) / 4
        tensor(0.1733)

    Reference: Lin et al., Focal Loss for Dense Object Detection, 2017.
    """
    logits, present, absent = _ready(logits, labels)
    right, wrong = F.logsigmoid(logits), F.logsigmoid(-logits)
    raised, lowered = (1.0, 1.0) if alpha is None else (alpha, 1 - alpha)
    positive = raised * present * (gamma * wrong).exp() * right
    negative = lowered * absent * (gamma * right).exp() * wrong
    return _reduce(-positive - negative, present + absent, reduction)


def asl(
    logits: Logits,
    labels: Labels,
    *,
    gamma_neg: float = 4.0,
    gamma_pos: float = 1.0,
    margin: float = 0.05,
    margin_on: Literal["negatives", "both"] = "negatives",
    detach_focus: bool = True,
    reduction: Reduction = "sum",
) -> Tensor:
    r"""Compute the asymmetric loss: focal, with a gamma each for positives and negatives, and easy negatives dropped.

    .. math:: -y \, (1 - p)^{\gamma_+} \log p - (1 - y) \, p_m^{\gamma_-} \log (1 - p_m), \qquad p_m = \max(p - m, 0)

    Args:
        logits: Before the sigmoid.
        labels: 0, 1 or between; NaN is unknown.
        gamma_neg: Focusing of the negatives.
        gamma_pos: Focusing of the positives.
        margin: m; negatives with a probability below it cost nothing.
        margin_on: What it is subtracted from; ``"both"`` is :math:`-y (1 - p_m)^{\gamma_+} \log p_m` for positives,
            Eq. 20 of arXiv 2412.00101, :math:`p_m` being no less than 1e-8: a positive below the margin has no slope.
        detach_focus: Hold the focusing factors constant in the gradient, as the published training does.
        reduction: Over all known labels; ``"none"`` keeps [batch, labels].

    Example:
        >>> asl(torch.tensor([[0.0, -4.0]]), torch.tensor([[1, 0]]))  # the second is below the margin; log(2) / 2
        tensor(0.3466)

    Reference: Ridnik et al., Asymmetric Loss For Multi-Label Classification, 2021.
    """
    logits, present, absent = _ready(logits, labels)
    likely, unlikely = F.logsigmoid(logits), F.logsigmoid(-logits)
    presence, focused = likely, unlikely
    if margin and margin_on == "both":
        held = (likely.exp() - margin).clamp(1e-8, 1 - 1e-7)  # what is at the floor has no slope
        presence, focused = held.log(), (-held).log1p()
    focus_positive = (gamma_pos * focused).exp()
    # the floor keeps the slope of a power below 1 finite, where the logarithm beside it is exactly 0
    focus_negative = (likely.exp() - margin).clamp(min=torch.finfo(logits.dtype).tiny) ** gamma_neg
    if detach_focus:
        focus_positive, focus_negative = focus_positive.detach(), focus_negative.detach()
    absence = unlikely if margin == 0 else (unlikely.exp() + margin).clamp(max=1).log()
    losses = -present * focus_positive * presence - absent * focus_negative * absence
    return _reduce(losses, present + absent, reduction)


def lsep(logits: Logits, labels: Labels, *, reduction: Reduction = "mean") -> Tensor:
    r"""Compute the log-sum-exp of all wrongly ranked pairs of labels; a row without positives or negatives gives 0.

    .. math:: \log \Bigl(1 + \sum_{u \in y} \sum_{v \notin y} e^{x_v - x_u}\Bigr)

    Args:
        logits: Scores to rank by; this loss has no threshold.
        labels: 0, 1 or between; NaN is unknown.
        reduction: Over rows; ``"none"`` keeps [batch].

    Example:
        >>> lsep(torch.tensor([[2.0, 2.0]]), torch.tensor([[1, 0]]))
        tensor(0.6931)

    Reference: Li et al., Improving Pairwise Ranking for Multi-label Image Classification, 2017.
    """
    logits, present, absent = _ready(logits, labels)
    losses = F.softplus(_log_sum(logits, absent) + _log_sum(-logits, present))
    return _reduce(losses, torch.ones_like(losses), reduction)


def zlpr(logits: Logits, labels: Labels, *, reduction: Reduction = "mean") -> Tensor:
    r"""Compute the zero-bounded log-sum-exp for positives above 0 and for negatives below.

    .. math:: \log \Bigl(1 + \sum_{u \in y} e^{-x_u}\Bigr) + \log \Bigl(1 + \sum_{v \notin y} e^{x_v}\Bigr)

    Args:
        logits: The threshold at prediction is 0.
        labels: 0, 1 or between; NaN is unknown.
        reduction: Over rows; ``"none"`` keeps [batch].

    Example:
        >>> zlpr(torch.tensor([[0.0, 0.0]]), torch.tensor([[1, 0]]))  # 2 log(2)
        tensor(1.3863)

    Reference: Su et al., ZLPR: A Novel Loss for Multi-label Classification, 2022.
    """
    logits, present, absent = _ready(logits, labels)
    losses = F.softplus(_log_sum(-logits, present)) + F.softplus(_log_sum(logits, absent))
    return _reduce(losses, torch.ones_like(losses), reduction)


class FunctionLoss(LossModule):
    """A loss that is a function of two tensors and keyword arguments, with the arguments set."""

    def __init__(
        self,
        function: Callable[..., Tensor],
        settings: Mapping[str, Any],
        *,
        num_labels: int | None = None,
        name: str | None = None,
    ) -> None:
        super().__init__(name or str(getattr(function, "__name__", "loss")), {})
        self.function = function
        self.num_labels = num_labels
        self.settings = dict(settings)

    def forward(self, inputs: Tensor, labels: Tensor, *, weights: Tensor | None = None) -> Tensor:
        """Compute the loss; weights of the examples, where there are some, are passed on to the function."""
        given = {} if weights is None else {"weights": weights}
        return self.function(inputs, labels, **self.settings, **given)

    def _variable(self) -> Iterable[Parameter]:
        row = next((row for row in loss_catalogue() if row.name == self.name), None)
        return parameters_of(self.function, skip=2) if row is None else row.takes


class LogitLoss(FunctionLoss):
    """A loss on logits; both arguments are checked, and labels may be sparse."""

    def forward(self, logits: Tensor, labels: module.Labels, *, weights: Tensor | None = None) -> Tensor:
        """Compute the loss.

        Args:
            logits: Shape [batch, labels].
            labels: From 0 to 1, or NaN for unknown; dense or sparse.
            weights: One for each example, from 0: the factor of its loss, in a sum and in a mean. By default 1.

        Raises:
            TensorError: The logits or labels are no tensor, or a label or weight is out of its range.
            EmbeddingError: The logits are no matrix of floats, or not finite.
            LabelShapeError: The labels do not have the shape of the logits, or not ``num_labels`` columns; or there is
                not one weight for each example.
        """
        check_tensor(logits, "logits")
        check_labels(labels)
        dense = logits.layout == torch.strided
        if logits.ndim != 2 or not logits.is_floating_point() or not dense:
            kind = f"{'' if dense else 'sparse '}{logits.dtype} {list(logits.shape)}"
            raise EmbeddingError(f"logits must be floats [batch, labels]. Got {kind}.")
        width = logits.shape[1] if self.num_labels is None else self.num_labels
        if tuple(labels.shape) != (len(logits), width) or tuple(labels.shape) != tuple(logits.shape):
            expected = f"[{len(logits)}, {width}]"
            raise LabelShapeError(
                f"logits and labels must be {expected}. Got {list(logits.shape)} and {list(labels.shape)}."
            )
        if not logits.isfinite().all():
            rows = int((~logits.isfinite()).any(1).sum())
            raise EmbeddingError(f"logits must be finite. Got NaN or infinity in {rows} rows.")
        known = read_labels(labels, logits if logits.dtype == torch.float64 else logits.detach().float())
        as_given = isinstance(labels, Tensor) and labels.layout == torch.strided
        labels = labels if as_given else known.to_dense()
        if weights is None or "reduction" not in self.settings:
            return super().forward(logits, labels, weights=weights)
        losses = self.function(logits, labels, **{**self.settings, "reduction": "none"})
        own = example_weights(weights, losses).view(-1, *[1] * (losses.ndim - 1))
        counted = own if losses.ndim == 1 else own * ~labels.isnan()
        return _reduce(own * losses, counted, self.reduction)


def _ready(logits: Tensor, labels: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return logits in float32 or better, and probabilities of presence and absence, both 0 for an unknown label."""
    logits = logits if logits.dtype == torch.float64 else logits.float()
    labels = labels.to(logits.dtype)
    return logits, labels.nan_to_num(0.0), (1 - labels).nan_to_num(0.0)


def _log_sum(logits: Tensor, weights: Tensor) -> Tensor:
    """Return the log of the weighted sum of a row's exponentials; for an empty sum a very low number."""
    lowest = torch.finfo(logits.dtype).min / 8  # minus infinity would make its own gradient NaN
    return (logits + weights.log().clamp(min=lowest)).logsumexp(1)


def _reduce(losses: Tensor, counted: Tensor, reduction: Reduction) -> Tensor:
    """Leave, sum, or average over what is counted; an empty mean is 0."""
    if reduction == "none":
        return losses
    total = counted.sum()
    return losses.sum() if reduction == "sum" else losses.sum() / total.masked_fill(total == 0, 1)
