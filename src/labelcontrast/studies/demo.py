"""The main job on the built-in set: three losses compared on pictures of digits, with no download."""

from pathlib import Path

from labelcontrast.config.sections import Loss
from labelcontrast.config.settings import RunSettings
from labelcontrast.data.digits import write_digits
from labelcontrast.reports.tables import Table
from labelcontrast.run.learning import Listeners
from labelcontrast.studies.comparison import Options, run_comparison

LOSSES = ("bce", "zlpr", "reg")
EPOCHS = 8
SETTINGS = {
    "training": {"epochs": EPOCHS, "batch_size": 32, "learning_rate": 0.004},
    "encoder": {"name": "convnet", "image_size": 40},
}


def run_demo(folder: Path, *, force: bool = False, device: str = "cpu", listeners: Listeners) -> Table:
    """Compose the pictures and compare the losses on them, one seed each.

    Args:
        folder: the data go into ``digits/`` and the comparison into ``comparison/``.
        force: remove a demo that is there.
        device: where features are computed.
        listeners: who hears of progress.

    Returns:
        The table of the comparison.
    """
    listeners.say("Composing 2,700 pictures of 1 to 4 real handwritten digits; zero is frequent, nine is rare.")
    data = write_digits(folder / "digits")
    settings = RunSettings.build({"data": str(data), **SETTINGS})
    options = Options(seeds=1, keep_weights=True, force=force, device=device)
    return run_comparison(
        settings, [Loss(name=name) for name in LOSSES], folder / "comparison", options, listeners=listeners
    )
