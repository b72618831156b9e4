"""Initial weights drawn from the given generator, and the projector."""

import math

import pytest
import torch

from labelcontrast.encoders import make_encoder
from labelcontrast.encoders.base import Projector, drawing_from
from labelcontrast.errors import EncoderError


def test_the_global_random_state_is_restored() -> None:
    before = torch.get_rng_state()
    with drawing_from(torch.Generator().manual_seed(1)):
        torch.nn.Linear(4, 4)
    assert torch.equal(before, torch.get_rng_state())


def test_the_generator_advances_by_the_numbers_drawn() -> None:
    generator, same = torch.Generator().manual_seed(1), torch.Generator().manual_seed(1)
    with drawing_from(generator):
        first = torch.rand(3)
    with drawing_from(generator):
        second = torch.rand(3)
    assert torch.equal(torch.cat([first, second]), torch.cat([torch.rand(3, generator=same) for _ in range(2)]))


def test_without_a_generator_the_global_state_is_used() -> None:
    state = torch.get_rng_state()
    with drawing_from(None):
        drawn = torch.rand(3)
    torch.set_rng_state(state)
    assert torch.equal(drawn, torch.rand(3))


def test_the_projector_equals_its_formula() -> None:
    projector = Projector(6, output_dim=4, generator=torch.Generator().manual_seed(0))
    embeddings = torch.randn(5, 6, generator=torch.Generator().manual_seed(1))
    weights = {name: value.detach() for name, value in projector.named_parameters()}
    expected = [
        weights["output.weight"] @ (weights["hidden.weight"] @ row + weights["hidden.bias"]).clamp(min=0)
        + weights["output.bias"]
        for row in embeddings
    ]
    assert torch.allclose(projector(embeddings), torch.stack(expected), atol=1e-6)


def test_the_projector_has_xavier_weights_and_default_biases() -> None:
    projector = Projector(300, generator=torch.Generator().manual_seed(0))
    assert projector.output_dim == projector.output.out_features == 256
    for layer in (projector.hidden, projector.output):
        bound = math.sqrt(6 / (layer.in_features + layer.out_features))
        assert 0.99 * bound < layer.weight.abs().max() <= bound
        assert 0.9 / math.sqrt(300) < layer.bias.abs().max() <= 1 / math.sqrt(300)


def test_a_generator_determines_the_projector() -> None:
    first, second, other = (Projector(8, generator=torch.Generator().manual_seed(seed)) for seed in (0, 0, 1))
    assert torch.equal(first.hidden.weight, second.hidden.weight)
    assert not torch.equal(first.hidden.weight, other.hidden.weight)


@pytest.mark.usefixtures("unchecked")
def test_inputs_that_are_not_collated_are_refused_in_one_line() -> None:
    encoder = make_encoder("mlp", kind="vector", input_dim=3)
    with pytest.raises(EncoderError) as caught:
        encoder(torch.zeros(2, 3))
    call = "encoder(encoder.collate(encoder.prepare(inputs)))"
    assert str(caught.value) == f"an encoder embeds a batch of prepared inputs: {call}. Got Tensor."


@pytest.mark.parametrize("inputs", ["a text", [3, 4]], ids=["one text", "numbers"])
def test_a_text_encoder_reads_a_list_of_texts(inputs) -> None:
    with pytest.raises(EncoderError, match=r"^a text encoder reads a list of texts\. Got (str|a list of int)\.$"):
        make_encoder("hashed", kind="text").prepare(inputs)
