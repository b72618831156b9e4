"""Trained models in the formats of other libraries: ONNX, sentence-transformers, and a folder for the hub."""

from typing import TYPE_CHECKING

from labelcontrast.doors import lazy_names

if TYPE_CHECKING:
    from labelcontrast.export.formats import export_run as export_run
    from labelcontrast.export.onnx_graph import OnnxExport as OnnxExport
    from labelcontrast.export.onnx_graph import export_onnx as export_onnx
    from labelcontrast.export.sentence_encoder import export_sentence_encoder as export_sentence_encoder

__getattr__, __dir__, __all__ = lazy_names(
    __name__,
    {
        "formats": ["export_run"],
        "onnx_graph": ["OnnxExport", "export_onnx"],
        "sentence_encoder": ["export_sentence_encoder"],
    },
)
