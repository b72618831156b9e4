"""The one number that an epoch is judged by: free of any threshold, and never the value of a contrastive loss.

A regularised contrastive loss is not the objective that is descended (its clamp is detached, its value can be
negative), so the smallest value says nothing. What counts is how well the labels of unseen examples can be read off.
"""

from collections.abc import Callable, Mapping

import torch
from torch import nn

from labelcontrast.data.batches import Prepared
from labelcontrast.probes.selection import ranking_score, selection_score
from labelcontrast.training.features import compute_features

Score = Callable[[nn.Module, nn.Module], float]
"""Judges an encoder and the head on it; higher is better."""
Examine = Callable[[nn.Module, nn.Module], Mapping[str, float]]
"""Measures something else of them, by name."""


def score_logits(validation: Prepared) -> Score:
    """Build the score of a logit loss: macro average precision of the head's logits on validation."""

    def score(encoder: nn.Module, head: nn.Module) -> float:
        features = compute_features(encoder, validation)
        with torch.inference_mode():
            logits = head(features.to(next(head.parameters()).device)).float().cpu()
        return ranking_score(validation.truth(), logits.numpy())

    return score


def score_features(train: Prepared, validation: Prepared) -> Score:
    """Build the score of a contrastive loss: macro average precision on validation of a ridge probe fitted on train."""

    def score(encoder: nn.Module, head: nn.Module) -> float:  # noqa: ARG001  a projector is dropped after training
        features, unseen = (compute_features(encoder, part).numpy() for part in (train, validation))
        return selection_score(features, train.truth(), unseen, validation.truth())

    return score
