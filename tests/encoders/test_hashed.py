"""Hashed words and pieces: against a loop over characters, and the same in every process."""

import zlib

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from labelcontrast.encoders.hashed import HashedEncoder, hashed_pieces

ROWS = 2**10
words = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=12)


def loop_over_characters(word: str, rows: int) -> list[int]:
    """As literal as the sentence: the whole word, then its pieces by size and by place."""
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


@given(st.lists(words, max_size=8, unique=True))
@settings(deadline=None, max_examples=60)
def test_all_words_at_once_equal_a_loop_over_characters(some: list[str]) -> None:
    assert [pieces.tolist() for pieces in hashed_pieces(some, rows=ROWS)] == [
        loop_over_characters(word, ROWS) for word in some
    ]


def test_the_hash_is_the_same_in_every_process_and_version() -> None:
    # A stored run would be worthless if these numbers changed.
    assert hashed_pieces(["cat"], rows=2**15)[0].tolist() == loop_over_characters("cat", 2**15)
    assert loop_over_characters("cat", 2**15) == [31289, 3891, 9278, 20539, 14452, 3051]


def test_a_text_is_its_lower_cased_words_and_signs_in_order() -> None:
    encoder = HashedEncoder(rows=ROWS)
    (item,) = encoder.prepare(["The CAT, 😀!"])
    expected = [row for word in ("the", "cat", ",", "😀", "!") for row in loop_over_characters(word, ROWS)]
    assert item.tolist() == expected
    assert encoder.token_lengths(["The CAT, 😀!", "", "one"]).tolist() == [5, 0, 1]


def test_max_length_cuts_words() -> None:
    cut, whole = HashedEncoder(rows=ROWS, max_length=2), HashedEncoder(rows=ROWS)
    assert cut.prepare(["one two three"])[0].tolist() == whole.prepare(["one two"])[0].tolist()
    assert cut.token_lengths(["one two three"]).tolist() == [3]


def test_the_bag_is_the_mean_of_its_rows() -> None:
    encoder = HashedEncoder(rows=ROWS, width=16).eval()
    items = encoder.prepare(["a cat sat", "", "on the mat", ""])
    bags = [encoder.table.weight[torch.from_numpy(item).long()].mean(dim=0) for item in items if len(item)]
    nothing = torch.zeros(encoder.dim)
    expected = encoder.network(encoder.enter(torch.stack([bags[0], nothing, bags[1], nothing])))
    assert torch.allclose(encoder(encoder.collate(items)), expected, atol=1e-6)


def test_company_does_not_change_an_embedding() -> None:
    encoder = HashedEncoder(rows=ROWS, width=16).eval()
    items = encoder.prepare(["short", "a text that is far longer than the others", "", "third one"])
    alone = torch.cat([encoder(encoder.collate([item])) for item in items])
    assert torch.allclose(encoder(encoder.collate(items)), alone, atol=1e-6)


def test_training_leaves_pieces_out_and_evaluation_does_not() -> None:
    encoder = HashedEncoder(rows=ROWS, width=16, dropout=0.0)
    batch = encoder.collate(encoder.prepare(["some words to be left out"]))
    assert not torch.equal(encoder.train()(batch), encoder(batch))
    assert torch.equal(encoder.eval()(batch), encoder(batch))


def test_it_learns_which_word_matters() -> None:
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


def test_a_generator_decides_the_weights() -> None:
    first, second = (HashedEncoder(rows=64, generator=torch.Generator().manual_seed(3)) for _ in range(2))
    assert all(torch.equal(one, other) for one, other in zip(first.parameters(), second.parameters(), strict=True))
    assert np.isclose(first.table.weight.std().item(), 0.01, rtol=0.1)
