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
    asked += ["hierarchy.closure=true"] if settings.hierarchy.closure else []
    asked += _changed(settings.hierarchy, "train_on")
    asked += ["training.sampler=hierarchical"] if settings.training.sampler == "hierarchical" else []
    return next(iter(asked), judged_by_hierarchy(settings))


def judged_by_hierarchy(settings: RunSettings) -> str | None:
    """Name the first thing of these that comes after training: of other data there is no such hierarchy."""
    asked = _changed(settings.hierarchy, "consistency", "decoding", "hold_out")
    asked += ["evaluation.threshold=per_level"] if settings.evaluation.threshold == "per_level" else []
    return next(iter(asked), None)


def _changed(wanted: Hierarchy, *names: str) -> list[str]:
    """Write the settings that are not as by default."""
    usual = Hierarchy()
    return [f"hierarchy.{name}={now}" for name in names if (now := getattr(wanted, name)) != getattr(usual, name)]
