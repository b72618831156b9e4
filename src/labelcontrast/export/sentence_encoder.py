"""The encoder of a run as a folder that sentence-transformers opens, without its code or this library."""

import inspect
from pathlib import Path

import torch

from labelcontrast.encoders.base import Encoder
from labelcontrast.encoders.frozen import FrozenEncoder
from labelcontrast.encoders.pretrained import quietly
from labelcontrast.encoders.text import TransformerText
from labelcontrast.errors import EncoderError
from labelcontrast.files import write_json

MODULES = (
    {"idx": 0, "name": "0", "path": "", "type": "sentence_transformers.models.Transformer"},
    {"idx": 1, "name": "1", "path": "1_Pooling", "type": "sentence_transformers.models.Pooling"},
)


def export_sentence_encoder(encoder: Encoder, out: str | Path) -> None:
    """Write a pretrained encoder of texts as a folder for ``SentenceTransformer(folder)``.

    ``encode`` then returns what ``labelcontrast embed`` does: the classifier is no part of it.

    Args:
        encoder: A transformers model of texts that was fine-tuned, or not trained at all.
        out: The folder.

    Raises:
        EncoderError: The encoder is of another kind, or its embedding comes from a network that sentence-transformers
            does not have.
    """
    out = Path(out)
    if isinstance(encoder, FrozenEncoder):
        raise EncoderError(
            "sentence-transformers has no module for the network that was trained on the frozen encoder "
            f'"{encoder.base.settings()["name"]}"; train it whole: --set encoder.frozen=false.'
        )
    if not isinstance(encoder, TransformerText):
        family = encoder.settings()["family"]
        raise EncoderError(f'sentence-transformers needs a pretrained encoder of texts. Got "{family}".')
    out.mkdir(parents=True, exist_ok=True)
    encoder.save_assets(out)
    config = encoder.model.config
    config.architectures = [type(encoder.model).__name__]  # type: ignore[union-attr]
    with quietly(), torch.no_grad():
        encoder.model.save_pretrained(out)  # type: ignore[operator]
    write_json(out / "modules.json", list(MODULES))
    loading: dict[str, object] = {"max_seq_length": encoder.max_length, "do_lower_case": False}
    if "add_pooling_layer" in inspect.signature(type(encoder.model)).parameters:
        loading["model_args"] = {"add_pooling_layer": False}  # it was not saved: embeddings are made before it
    write_json(out / "sentence_bert_config.json", loading)
    pooling = {"word_embedding_dimension": encoder.output_dim}
    pooling |= {f"pooling_mode_{name}": encoder.pooling == short for name, short in _MODES.items()}
    (out / "1_Pooling").mkdir(exist_ok=True)
    write_json(out / "1_Pooling" / "config.json", pooling)
    write_json(out / "config_sentence_transformers.json", {"prompts": {}, "similarity_fn_name": "cosine"})


_MODES = {"cls_token": "cls", "mean_tokens": "mean", "max_tokens": "max", "mean_sqrt_len_tokens": "mean_sqrt_len"}
