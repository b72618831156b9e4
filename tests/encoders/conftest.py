"""Tiny transformers models with random weights, saved like published ones."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import AutoModel, PreTrainedConfig, PreTrainedTokenizerFast

from labelcontrast.encoders.pretrained import quietly

WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", *["the", "a", "cat", "dog", "sat", "ran", "on", "mat", "quickly", "home"]]


@pytest.fixture
def publish(tmp_path: Path) -> Callable[..., Path]:
    """Save a model with random weights, and a tokenizer of words for a model of texts."""

    def save(config: PreTrainedConfig, *, pad: int = 0, class_token: bool = True, model: object = None) -> Path:
        torch.manual_seed(0)
        folder = tmp_path / f"a-{config.model_type}"
        with quietly():
            (model or AutoModel.from_config(config)).save_pretrained(folder)
        if hasattr(config, "vocab_size"):
            words = [*WORDS[1 : pad + 1], WORDS[0], *WORDS[pad + 1 :]]  # [PAD] has the id that this family expects
            tokenizer = Tokenizer(models.WordLevel({word: index for index, word in enumerate(words)}, "[UNK]"))
            tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
            special = {"pad_token": "[PAD]", "unk_token": "[UNK]"}
            if class_token:
                ends = [(word, words.index(word)) for word in ("[CLS]", "[SEP]")]
                tokenizer.post_processor = processors.TemplateProcessing(single="[CLS] $A [SEP]", special_tokens=ends)
                special |= {"cls_token": "[CLS]", "sep_token": "[SEP]"}
            PreTrainedTokenizerFast(tokenizer_object=tokenizer, model_max_length=512, **special).save_pretrained(folder)
        return folder

    return save
