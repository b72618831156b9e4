"""Tiny models of the classes in the recipes, with random weights, and a substitute for the augmentation."""

import importlib.machinery
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import timm
import torch
from timm.models import save_for_hf
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from torch import Tensor
from transformers import AutoModel, PreTrainedTokenizerFast, RobertaConfig

from labelcontrast.encoders.pretrained import quietly

sys.path.insert(0, str(Path(__file__).parent))

WORDS = ["<s>", "<pad>", "</s>", "<unk>", "first", "second", "third", "word"]


@pytest.fixture(scope="session")
def tiny_models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Folders of tiny models by the encoder's name in the recipes: a RoBERTa with one layer, and a ResNet of timm."""
    torch.manual_seed(0)
    folders = {name: tmp_path_factory.mktemp(name) for name in ("roberta", "resnet")}
    config = RobertaConfig(
        vocab_size=len(WORDS),
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=16,
        max_position_embeddings=240,
    )
    tokenizer = Tokenizer(models.WordLevel({word: index for index, word in enumerate(WORDS)}, "<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", special_tokens=[("<s>", 0), ("</s>", 2)]
    )
    special = {"pad_token": "<pad>", "unk_token": "<unk>", "cls_token": "<s>", "sep_token": "</s>"}
    with quietly():
        AutoModel.from_config(config).save_pretrained(folders["roberta"])
        PreTrainedTokenizerFast(tokenizer_object=tokenizer, **special).save_pretrained(folders["roberta"])
        save_for_hf(timm.create_model("test_resnet"), folders["resnet"])
    resnet = folders["resnet"]
    return {"roberta-base": folders["roberta"], "timm:resnet50.tv_in1k": resnet, "timm:mobilenetv2_100": resnet}


@pytest.fixture
def augmented(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """A substitute for kornia, which is an extra: it flips pictures, and records the sizes of its batches."""
    sizes: list[int] = []

    class RandAugment:
        def __init__(self, *, n: int, m: int) -> None:
            assert (n, m) == (2, 9)

        def __call__(self, pixels: Tensor) -> Tensor:
            sizes.append(len(pixels))
            return pixels.flip(-1)

    for name in ("kornia", "kornia.augmentation", "kornia.augmentation.auto"):
        module: Any = ModuleType(name)
        module.__spec__ = importlib.machinery.ModuleSpec(name, None)
        module.RandAugment = RandAugment
        monkeypatch.setitem(sys.modules, name, module)
    return sizes
