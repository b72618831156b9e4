"""Transformers models of texts, pooled at the class token or by the mean over tokens."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import torch
from jaxtyping import Float, Int
from numpy.typing import NDArray
from torch import Tensor, nn

from labelcontrast.encoders.base import Inputs, Item, Items, TextEncoder, check_texts, saved_content
from labelcontrast.encoders.cache import Arrays, cached_arrays, content_key
from labelcontrast.encoders.pretrained import Source, build_transformer, load_tokenizer, load_transformer
from labelcontrast.errors import ConfigError, nearest

Pooling = Literal["cls", "mean"]
DEFAULT_MAX_LENGTH = 256


class TransformerText(TextEncoder):
    r"""A transformers model of texts and its tokenizer.

    .. math:: y = H_1 \text{ (cls)}, \qquad y = \frac{1}{T} \sum_{t=1}^{T} H_t \text{ (mean)}

    where H is the last hidden state at the T tokens that are not padding; a pooler layer on top of it is removed.
    Built by ``pretrained_text`` and ``stored_text``.
    """

    def __init__(self, model: nn.Module, tokenizer: Any, *, name: str, pooling: Pooling, max_length: int) -> None:  # noqa: ANN401
        super().__init__()
        model.register_module("pooler", None)
        self.model, self.tokenizer, self.name = model, tokenizer, name
        self.pooling, self.max_length = pooling, max_length
        self.output_dim = int(model.config.hidden_size)  # type: ignore[union-attr, arg-type]

    def prepare(self, inputs: Sequence[Any] | NDArray[Any]) -> Items:
        """Convert texts to token ids, truncated to ``max_length``, in one call."""
        check_texts(inputs)
        return [np.array(ids, dtype=np.int32) for ids in self._token_ids(inputs, truncate=True)]

    def prepare_cached(self, inputs: Sequence[Any] | NDArray[Any], cache: str | Path) -> Items:
        """Convert texts to token ids, or read them from the cache, for a tokenizer that can be saved completely."""
        if not hasattr(self.tokenizer, "backend_tokenizer"):
            return self.prepare(inputs)
        special = str(self.tokenizer.split_special_tokens)
        key = content_key([special], saved_content(self._save_tokenizer), inputs)
        path, keys = Path(cache) / "tokens" / f"{key}.safetensors", {"ids": key, "lengths": key}
        cached = cached_arrays(path, keys, lambda: _concatenated(self.prepare(inputs)))
        ends = cached["lengths"].cumsum()
        return [cached["ids"][end - length : end] for end, length in zip(ends, cached["lengths"], strict=True)]

    def length(self, item: Item) -> int:
        """Return the number of tokens."""
        return len(item)

    def collate(self, items: Items) -> dict[str, Tensor]:
        """Pad a batch on the right to its longest text."""
        lengths = torch.tensor([len(item) for item in items])
        mask = torch.arange(int(lengths.max())) < lengths[:, None]
        ids = torch.full(mask.shape, self.tokenizer.pad_token_id or 0)
        ids[mask] = torch.from_numpy(np.concatenate(items)).long()
        return {"input_ids": ids, "attention_mask": mask.long()}

    def forward(self, inputs: Inputs) -> Float[Tensor, "batch dim"]:
        """Embed a batch of texts."""
        mask = inputs["attention_mask"]
        hidden: Tensor = self.model(input_ids=inputs["input_ids"], attention_mask=mask).last_hidden_state
        if self.pooling == "cls":
            return hidden[:, 0]
        weights = mask.unsqueeze(-1).to(hidden.dtype)
        return (hidden * weights).sum(dim=1) / weights.sum(dim=1)

    def token_lengths(self, texts: Sequence[str]) -> Int[np.ndarray, " texts"]:
        """Count the tokens of each text before truncation, special tokens included."""
        return np.array([len(ids) for ids in self._token_ids(texts, truncate=False)], dtype=np.int64)

    def settings(self) -> dict[str, object]:
        """Return the settings that rebuild this encoder, beside the saved configuration and tokenizer."""
        return {"family": "transformer_text", "name": self.name, "pooling": self.pooling, "max_length": self.max_length}

    def save_assets(self, folder: str | Path) -> None:
        """Write the model's configuration and the tokenizer."""
        self.model.config.save_pretrained(folder)  # type: ignore[union-attr, operator]
        self._save_tokenizer(Path(folder))

    def _token_ids(self, texts: Sequence[str] | NDArray[Any], *, truncate: bool) -> list[list[int]]:
        if len(texts) == 0:
            return []
        options: dict[str, Any] = {"padding": False, "return_attention_mask": False, "verbose": False}
        options |= {"truncation": True, "max_length": self.max_length} if truncate else {"truncation": False}
        tokens = self.tokenizer(list(texts), **options)
        ids: list[list[int]] = tokens["input_ids"]
        return ids

    def _save_tokenizer(self, folder: Path) -> None:
        backend = getattr(self.tokenizer, "backend_tokenizer", None)
        if backend is not None:  # it would hold the truncation and padding of the last call, whatever that was
            backend.enable_truncation(self.max_length, direction=self.tokenizer.truncation_side)
            backend.no_padding()
        self.tokenizer.save_pretrained(folder)


def pretrained_text(
    source: Source, *, pooling: str | None = None, max_length: int | None = None, pretrained: bool = True
) -> TransformerText:
    """Load a transformers model of texts with its tokenizer; the options are those of ``make_encoder``.

    Raises:
        EncoderError: When the model cannot be loaded, or does not read texts.
        ConfigError: When the pooling is unknown, or the model cannot read texts of that length.
    """
    if pooling is not None and pooling not in get_args(Pooling):
        message = f'pooling must be "cls" or "mean"{nearest(pooling, get_args(Pooling))}. Got "{pooling}".'
        raise ConfigError(message)
    model = load_transformer(source, reads="text", pretrained=pretrained)
    try:
        tokenizer = load_tokenizer(source)
    except Exception as error:
        raise source.error(f"its tokenizer cannot be loaded ({error})") from error
    limit = _length_limit(model, tokenizer)
    chosen = min(limit, DEFAULT_MAX_LENGTH) if max_length is None else max_length
    least = tokenizer.num_special_tokens_to_add() + 1
    if not least <= chosen <= limit:
        message = f'max_length must be between {least} and {limit} tokens for "{source.name}". Got {chosen}.'
        raise ConfigError(message)
    pooled: Pooling = "mean" if (pooling or _declared_pooling(source, tokenizer)) == "mean" else "cls"
    return TransformerText(model, tokenizer, name=source.name, pooling=pooled, max_length=chosen)


def stored_text(folder: Path, settings: Mapping[str, Any]) -> TransformerText:
    """Rebuild the encoder from its settings and assets; its weights are loaded afterwards."""
    tokenizer = load_tokenizer(Source(name=str(folder), place=str(folder)))
    return TransformerText(build_transformer(folder, pooler=False), tokenizer, **settings)


def _concatenated(items: Items) -> Arrays:
    lengths = np.array([len(item) for item in items], dtype=np.int32)
    return {"ids": np.concatenate([np.empty(0, np.int32), *items]), "lengths": lengths}


def _declared_pooling(source: Source, tokenizer: Any) -> Pooling:  # noqa: ANN401
    declared = source.read_json("1_Pooling/config.json")
    if declared is not None:
        return "cls" if declared.get("pooling_mode_cls_token") or declared.get("pooling_mode") == "cls" else "mean"
    return "mean" if tokenizer.cls_token is None else "cls"


def _length_limit(model: nn.Module, tokenizer: Any) -> int:  # noqa: ANN401
    config, limits = model.config, [tokenizer.model_max_length]
    positions = getattr(config, "max_position_embeddings", None)
    if positions is not None:
        table = getattr(getattr(model, "embeddings", None), "position_embeddings", None)
        # RoBERTa's positions start after that of padding, so its table of 514 rows holds 512 tokens.
        padding = getattr(table, "padding_idx", None)
        limits.append(positions if padding is None else positions - padding - 1)
    return int(min(limits))
