"""What of a run cannot be had without a hierarchy; without torch, so that it can be asked at the door."""

from labelcontrast.config.sections import Hierarchy
from labelcontrast.config.settings import RunSettings
from labelcontrast.contrast.catalogue import loss_row


def needs_hierarchy(settings: RunSettings) -> str | None:
    """Name the first thing that is asked for and cannot be had without a hierarchy; None where nothing is.

    Example:
        >>> needs_hierarchy(RunSettings.build({"data": "a", "hierarchy": {"closure": True}}))
        'hierarchy.closure=true'
    """
    losses = [settings.loss, settings.loss.joint]
    asked = [loss.name for loss in losses if loss and loss_row(loss.name).needs_hierarchy]
    wanted = settings.hierarchy
    asked += ["hierarchy.closure=true"] if wanted.closure else []
    asked += [
        f"hierarchy.{name}={getattr(wanted, name)}"
        for name in ("train_on", "consistency", "decoding", "hold_out")
        if getattr(wanted, name) != Hierarchy.model_fields[name].default
    ]
    asked += ["training.sampler=hierarchical"] if settings.training.sampler == "hierarchical" else []
    asked += ["evaluation.threshold=per_level"] if settings.evaluation.threshold == "per_level" else []
    return next(iter(asked), None)
