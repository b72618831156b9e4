"""Initial weights come from the generator that is handed in, and from nowhere else."""

import torch

from labelcontrast.encoders.base import drawing_from


def test_the_worlds_stream_is_left_as_it_was() -> None:
    before = torch.get_rng_state()
    with drawing_from(torch.Generator().manual_seed(1)):
        torch.nn.Linear(4, 4)
    assert torch.equal(before, torch.get_rng_state())


def test_the_generator_moves_on_by_what_was_drawn() -> None:
    generator, same = torch.Generator().manual_seed(1), torch.Generator().manual_seed(1)
    with drawing_from(generator):
        first = torch.rand(3)
    with drawing_from(generator):
        second = torch.rand(3)
    assert torch.equal(torch.cat([first, second]), torch.cat([torch.rand(3, generator=same) for _ in range(2)]))


def test_without_a_generator_the_worlds_stream_is_drawn_from() -> None:
    state = torch.get_rng_state()
    with drawing_from(None):
        drawn = torch.rand(3)
    torch.set_rng_state(state)
    assert torch.equal(drawn, torch.rand(3))
