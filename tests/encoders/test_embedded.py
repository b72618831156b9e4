"""Embedded encoders: hashed subwords, latent semantics of texts, the ConvNet, and standardised vectors."""

import math
import re
import zlib
from collections import Counter

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from labelcontrast.encoders.embedded import (
    ConvNet,
    HashedEncoder,
    LatentSemanticEncoder,
    ResidualNetwork,
    Standardise,
    VectorEncoder,
    hashed_pieces,
)
from labelcontrast.errors import EncoderError

TABLE_ROWS = 2**10
WORDS = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=12)
ROWS = torch.randn(60, 5, generator=torch.Generator().manual_seed(0)) * torch.tensor([1, 100, 0.01, 5, 0]) + 7


def loop_over_characters(word: str, rows: int) -> list[int]:
    """List the whole word, then its pieces by size and position."""
    marked = f"<{word}>"
    found = [zlib.crc32(marked.encode()) % rows]
    for size in (3, 4, 5):
        for start in range(len(marked) - size + 1):
            piece = marked[start : start + size]
            if piece != marked:
                state = 0xCBF29CE484222325
                for character in piece:
                    state = ((state ^ ord(character)) * 0x100000001B3) % 2**64
                found.append((state ^ (state >> 32)) % rows)
    return found


@given(st.lists(WORDS, max_size=8, unique=True))
@settings(deadline=None, max_examples=60)
def test_hashed_subwords_equal_a_loop_over_characters(some: list[str]) -> None:
    assert [pieces.tolist() for pieces in hashed_pieces(some, rows=TABLE_ROWS)] == [
        loop_over_characters(word, TABLE_ROWS) for word in some
    ]


def test_hashes_are_the_same_in_every_process_and_version() -> None:
    # A stored model would be useless if these numbers changed.
    assert hashed_pieces(["cat"], rows=2**15)[0].tolist() == loop_over_characters("cat", 2**15)
    assert loop_over_characters("cat", 2**15) == [31289, 3891, 9278, 20539, 14452, 3051]


def test_texts_are_split_into_lower_case_words_and_other_characters() -> None:
    encoder = HashedEncoder(rows=TABLE_ROWS)
    (item,) = encoder.prepare(["The CAT, 😀!"])
    expected = [row for word in ("the", "cat", ",", "😀", "!") for row in loop_over_characters(word, TABLE_ROWS)]
    assert item.tolist() == expected
    assert encoder.token_lengths(["The CAT, 😀!", "", "one"]).tolist() == [5, 0, 1]


def test_max_length_truncates_words() -> None:
    cut, whole = HashedEncoder(rows=TABLE_ROWS, max_length=2), HashedEncoder(rows=TABLE_ROWS)
    assert cut.prepare(["one two three"])[0].tolist() == whole.prepare(["one two"])[0].tolist()
    assert cut.token_lengths(["one two three"]).tolist() == [3]


def test_a_text_embedding_is_the_mean_of_its_rows() -> None:
    encoder = HashedEncoder(rows=TABLE_ROWS, width=16).eval()
    items = encoder.prepare(["a cat sat", "", "on the mat", ""])
    bags = [encoder.table.weight[torch.from_numpy(item).long()].mean(dim=0) for item in items if len(item)]
    nothing = torch.zeros(encoder.dim)
    expected = encoder.network(encoder.enter(torch.stack([bags[0], nothing, bags[1], nothing])))
    assert torch.allclose(encoder(encoder.collate(items)), expected, atol=1e-6)


def test_a_text_embedding_does_not_depend_on_the_batch() -> None:
    encoder = HashedEncoder(rows=TABLE_ROWS, width=16).eval()
    items = encoder.prepare(["short", "a text that is far longer than the others", "", "third one"])
    alone = torch.cat([encoder(encoder.collate([item])) for item in items])
    assert torch.allclose(encoder(encoder.collate(items)), alone, atol=1e-6)


def test_subwords_are_dropped_in_training_only() -> None:
    encoder = HashedEncoder(rows=TABLE_ROWS, width=16, dropout=0.0)
    batch = encoder.collate(encoder.prepare(["some words to be left out"]))
    assert not torch.equal(encoder.train()(batch), encoder(batch))
    assert torch.equal(encoder.eval()(batch), encoder(batch))


def test_the_hashed_encoder_learns_an_informative_word() -> None:
    texts = [f"{word} number {index}" for index in range(40) for word in ("good", "bad")]
    encoder = HashedEncoder(rows=2**12, width=32, generator=torch.Generator().manual_seed(0))
    head = torch.nn.Linear(32, 1)
    optimiser = torch.optim.AdamW([*encoder.parameters(), *head.parameters()], lr=1e-2)
    batch, target = encoder.collate(encoder.prepare(texts)), torch.tensor([1.0, 0.0] * 40)
    for _ in range(30):
        optimiser.zero_grad()
        torch.nn.functional.binary_cross_entropy_with_logits(head(encoder(batch))[:, 0], target).backward()
        optimiser.step()
    unseen = encoder.eval()(encoder.collate(encoder.prepare(["a good thing", "bad things"])))
    assert (head(unseen)[:, 0] > 0).tolist() == [True, False]


def test_a_generator_determines_the_weights() -> None:
    first, second = (HashedEncoder(rows=64, generator=torch.Generator().manual_seed(3)) for _ in range(2))
    assert all(torch.equal(one, other) for one, other in zip(first.parameters(), second.parameters(), strict=True))
    assert np.isclose(first.table.weight.std().item(), 0.01, rtol=0.1)


TEXTS = [
    "the ship sails",
    "a ship at sea",
    "a boat at sea, at sea",
    "the boat sails",
    "votes are counted",
    "count votes",
]


def weighted_by_loops(texts: list[str], fitted: list[str], rows: int) -> np.ndarray:
    """Weights of all rows in each text, from the definition: sublinear counts, inverse frequencies, norm 1."""

    def rows_of(text: str) -> list[int]:
        return [row for word in re.findall(r"\w+|[^\w\s]", text.lower()) for row in loop_over_characters(word, rows)]

    frequency = Counter(row for text in fitted for row in set(rows_of(text)))
    weights = np.zeros((len(texts), rows))
    for place, text in enumerate(texts):
        for row, count in Counter(rows_of(text)).items():
            if frequency[row]:
                inverse = math.log((1 + len(fitted)) / (1 + frequency[row])) + 1
                weights[place, row] = (1 + math.log(count)) * inverse
    norms = np.linalg.norm(weights, axis=1, keepdims=True)
    return weights / np.where(norms > 0, norms, 1)


def latent_vectors(encoder: LatentSemanticEncoder, texts: list[str]) -> np.ndarray:
    """Return what enters the network in evaluation mode."""
    seen = []
    with encoder.enter.register_forward_hook(lambda _, given, __: seen.append(given[0])):
        encoder.eval()(encoder.collate(encoder.prepare(texts)))
    return seen[0].detach().numpy()


def test_latent_vectors_are_the_standardised_singular_value_decomposition_of_the_weights() -> None:
    encoder = LatentSemanticEncoder(rows=TABLE_ROWS, dim=3)
    encoder.fit(TEXTS)
    weights = weighted_by_loops(TEXTS, TEXTS, TABLE_ROWS)
    left, values, _ = np.linalg.svd(weights, full_matrices=False)
    expected = (left * values)[:, :3]
    expected = (expected - expected.mean(axis=0)) / expected.std(axis=0)
    found = latent_vectors(encoder, TEXTS)
    signs = np.sign((found * expected).sum(axis=0))
    assert np.allclose(found, signs * expected, atol=1e-3)


def test_latent_vectors_of_new_texts_leave_out_what_was_not_seen() -> None:
    encoder = LatentSemanticEncoder(rows=TABLE_ROWS, dim=3)
    encoder.fit(TEXTS)
    new = ["ships and boats", "", "sails"]
    table, centre = encoder.table.weight.detach().numpy(), encoder.centre.numpy()
    expected = weighted_by_loops(new, TEXTS, TABLE_ROWS) @ table - centre
    assert np.allclose(latent_vectors(encoder, new), expected, atol=1e-4)
    assert np.allclose(expected[1], -centre)


def test_before_fit_every_word_and_piece_has_the_same_weight() -> None:
    encoder = LatentSemanticEncoder(rows=TABLE_ROWS, dim=3)
    rows = loop_over_characters("sea", TABLE_ROWS)
    assert len(set(rows)) == len(rows)  # no two share a row by their hash
    expected = encoder.table.weight[rows].sum(0).detach().numpy() / math.sqrt(len(rows))
    assert np.allclose(latent_vectors(encoder, ["sea"])[0], expected, atol=1e-6)


@pytest.mark.parametrize("texts", [["one text"], ["", ""], ["same", "same", "same"]])
def test_latent_semantics_of_few_or_equal_texts_stay_finite(texts: list[str]) -> None:
    encoder = LatentSemanticEncoder(rows=TABLE_ROWS, dim=8, width=4)
    encoder.fit(texts)
    assert encoder.eval()(encoder.collate(encoder.prepare(["one more", ""]))).isfinite().all()


def test_latent_semantics_do_not_depend_on_the_random_state() -> None:
    first, second = (LatentSemanticEncoder(rows=TABLE_ROWS, dim=3) for _ in range(2))
    state = torch.get_rng_state()
    for encoder in (first, second):
        encoder.fit(TEXTS)
    assert torch.equal(first.table.weight, second.table.weight)
    assert torch.equal(torch.get_rng_state(), state)


def test_a_latent_embedding_does_not_depend_on_the_batch() -> None:
    encoder = LatentSemanticEncoder(rows=TABLE_ROWS, dim=3, width=16).eval()
    encoder.fit(TEXTS)
    items = encoder.prepare(["a ship", "", *TEXTS])
    alone = torch.cat([encoder(encoder.collate([item])) for item in items])
    assert torch.allclose(encoder(encoder.collate(items)), alone, atol=1e-5)


def test_training_embeds_a_text_as_if_it_had_only_some_of_its_words_and_pieces() -> None:
    encoder = LatentSemanticEncoder(rows=TABLE_ROWS, dim=3, dropout=0.0)
    encoder.fit(TEXTS)
    (item,) = encoder.prepare(["at sea"])
    batch = encoder.collate([item] * 50)
    torch.manual_seed(0)
    kept = torch.rand(50, len(item)) >= 0.5
    shortened = encoder.eval()(encoder.collate([item[some.numpy()] for some in kept]))
    torch.manual_seed(0)
    assert torch.allclose(encoder.train()(batch), shortened, atol=1e-5)


def test_latent_semantics_relate_words_that_share_their_neighbours() -> None:
    encoder = LatentSemanticEncoder(rows=2**12, dim=3)
    encoder.fit(TEXTS)
    ship, boat, votes = latent_vectors(encoder, ["ship", "boat", "votes"])
    assert np.linalg.norm(ship - boat) < np.linalg.norm(ship - votes)


@pytest.mark.parametrize("size", [32, 48, 75, 96])
def test_the_convnet_accepts_sizes_from_32_to_96(size: int) -> None:
    encoder = ConvNet(width=32, image_size=size).eval()
    batch = encoder.collate(encoder.prepare([np.full((20, 30), 9, np.uint8)] * 2))
    assert batch["pixels"].shape == (2, size, size, 3)
    assert encoder(batch).shape == (2, 32)


def test_the_convnet_has_about_a_million_parameters() -> None:
    assert 1.0e6 < sum(weight.numel() for weight in ConvNet().parameters()) < 1.3e6


def test_an_image_embedding_does_not_depend_on_the_batch() -> None:
    encoder = ConvNet(width=32, image_size=32).eval()
    pictures = np.random.default_rng(0).integers(0, 256, (3, 32, 32, 3), dtype=np.uint8)
    alone = torch.cat([encoder(encoder.collate(pictures[index : index + 1])) for index in range(3)])
    assert torch.allclose(encoder(encoder.collate(pictures)), alone, atol=1e-5)


def test_the_convnet_learns_a_mark_at_any_position() -> None:
    rng = np.random.default_rng(0)
    pictures, target = rng.integers(0, 60, (64, 32, 32), dtype=np.uint8), torch.arange(64) % 2
    for index in range(1, 64, 2):
        row, column = rng.integers(0, 24, 2)
        pictures[index, row : row + 8, column : column + 8] = np.eye(8, dtype=np.uint8) * 255
    encoder = ConvNet(width=32, image_size=32, generator=torch.Generator().manual_seed(0))
    head = torch.nn.Linear(32, 1)
    optimiser = torch.optim.AdamW([*encoder.parameters(), *head.parameters()], lr=5e-3)
    batch = encoder.collate(encoder.prepare(list(pictures)))
    for _ in range(25):
        optimiser.zero_grad()
        logits = head(encoder(batch))[:, 0]
        loss = torch.nn.functional.binary_cross_entropy_with_logits(logits, target.float())
        loss.backward()
        optimiser.step()
    assert loss < 0.1


@given(st.lists(st.integers(1, 59), max_size=6, unique=True))
@settings(deadline=None, max_examples=25)
def test_running_statistics_of_one_epoch_do_not_depend_on_the_batches(cuts: list[int]) -> None:
    standardise = Standardise(5).train()
    for batch in torch.tensor_split(ROWS, sorted(cuts)):
        standardise(batch)
    assert torch.allclose(standardise.mean, ROWS.mean(dim=0), rtol=1e-4)
    expected = ((ROWS - ROWS.mean(dim=0)) / ROWS.std(dim=0, unbiased=False)).clamp(-5, 5)
    expected[:, 4] = 0  # a constant column
    assert torch.allclose(standardise.eval()(ROWS), expected, atol=0.05)


def test_evaluation_standardises_without_an_update() -> None:
    standardise = Standardise(5).train()
    standardise(ROWS)
    before = {name: value.clone() for name, value in standardise.state_dict().items()}
    scaled = standardise.eval()(ROWS)
    varied = ROWS[:, :4].double()
    expected = ((varied - varied.mean(dim=0)) / varied.std(dim=0, unbiased=False)).clamp(-5, 5)
    assert torch.allclose(scaled[:, :4].double(), expected, atol=1e-3)
    assert scaled[:, 4].abs().max() < 0.01  # a constant column
    assert all(torch.equal(value, before[name]) for name, value in standardise.state_dict().items())


def test_outliers_are_clipped_at_five_deviations() -> None:
    standardise = Standardise(1).train()
    standardise(torch.tensor([[0.0]] * 99 + [[1.0]]))
    assert standardise.eval()(torch.tensor([[1.0]])).item() == 5.0


def test_the_residual_network_equals_its_formula() -> None:
    network = ResidualNetwork(3, width=4, dropout=0.5).eval()
    features = torch.randn(2, 3)
    norm, first, gelu, _, second = network.block
    hidden = features @ network.enter.weight.T + network.enter.bias
    inner = gelu(norm(hidden) @ first.weight.T + first.bias) @ second.weight.T + second.bias
    assert torch.allclose(network(features), network.norm(hidden + inner), atol=1e-6)


def test_training_accepts_a_batch_of_one_vector() -> None:
    encoder = VectorEncoder(input_dim=5, width=8).train()
    assert encoder(encoder.collate(encoder.prepare(ROWS[:1].numpy()))).isfinite().all()


def test_vectors_of_another_width_are_refused() -> None:
    with pytest.raises(EncoderError, match=r"made for vectors of width 5\. Got an array of shape \(2, 4\)\."):
        VectorEncoder(input_dim=5).prepare(np.zeros((2, 4)))


def test_vectors_become_float32() -> None:
    prepared = VectorEncoder(input_dim=2).prepare([[1, 2], [3, 4]])
    assert prepared.dtype == np.float32
    assert prepared.tolist() == [[1, 2], [3, 4]]
