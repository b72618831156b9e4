"""Export of a run: its model, and its data where the export is measured, into a new folder of one format."""

import shutil
from pathlib import Path
from typing import Literal

from labelcontrast.errors import ConfigError, RunError
from labelcontrast.export.onnx_graph import OnnxExport, export_onnx
from labelcontrast.export.sentence_encoder import export_sentence_encoder
from labelcontrast.files import check_new
from labelcontrast.run.folder import (
    CARD,
    MANIFEST,
    METRICS,
    MODEL_FILES,
    PER_LABEL,
    load_settings,
)
from labelcontrast.run.inputs import load_data
from labelcontrast.run.model import load
from labelcontrast.run.report import write_card

Format = Literal["onnx", "sentence-transformers", "folder"]
SHARED_FILES = (*MODEL_FILES, METRICS, PER_LABEL, MANIFEST)
"""What the hub gets of a run: the model and its results, but none of the examples."""


def export_run(
    run: str | Path, out: str | Path, *, to: Format, int8: bool = False, data: str | None = None
) -> OnnxExport | None:
    """Export the model of a run into a new folder.

    Args:
        run: The run folder.
        out: The folder to write; it must not exist, or be empty.
        to: ``onnx``: a graph with a script that needs no torch. ``sentence-transformers``: the encoder alone.
            ``folder``: the run without checkpoints and examples, with a model card for the hub.
        int8: Under ``onnx``, write a graph with weights of 8 bits too.
        data: The data of the run, if they are no longer where they were; ``onnx`` is checked on the test examples.

    Returns:
        What was measured, under ``onnx``.

    Raises:
        ConfigError: ``int8`` with another format than ``onnx``.
        LabelContrastError: The model cannot be loaded, or the format cannot hold it.
    """
    run, out = Path(run), Path(out)
    if int8 and to != "onnx":
        raise ConfigError(f"int8 is for the format onnx. Got {to}.")
    check_new(out)
    model = load(run)
    out.mkdir(parents=True, exist_ok=True)
    try:
        if to == "sentence-transformers":
            export_sentence_encoder(model.encoder, out)
        elif to == "folder":
            _copy_for_hub(run, out)
        else:
            settings = load_settings(run)
            settings = settings if data is None else settings.model_copy(update={"data": data})
            if not Path(settings.data).exists() and ":" not in settings.data:
                raise RunError(f"the data of the run, {settings.data}, are not there; name them with --data.")
            return export_onnx(run, model, load_data(settings).splits, out, int8=int8)
    except BaseException:
        shutil.rmtree(out)
        raise
    return None


def _copy_for_hub(run: Path, out: Path) -> None:
    """Copy what prediction and evaluation read, and write the card with the fields that the hub reads."""
    for name in SHARED_FILES:
        if (run / name).is_dir():
            shutil.copytree(run / name, out / name, ignore=shutil.ignore_patterns(".*"))
        elif (run / name).exists():
            shutil.copy(run / name, out / name)
    write_card(run, out / CARD, for_hub=True)
