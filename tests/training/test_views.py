"""Views: as many as asked for, pictures altered as bytes and reproducibly, other inputs left to the dropout."""

import sys
from types import ModuleType
from typing import Any

import pytest
import torch
from torch import Tensor

from labelcontrast.errors import MissingExtraError
from labelcontrast.settings import TrainingSettings
from labelcontrast.training.views import make_views

PICTURES = {"pixels": torch.arange(4 * 8 * 6 * 3, dtype=torch.int64).remainder(256).to(torch.uint8).view(4, 8, 6, 3)}


def test_without_augmentation_views_are_the_batch_itself() -> None:
    assert [view is PICTURES for view in make_views(TrainingSettings(views=3))(PICTURES)] == [True] * 3


def test_the_augmentation_is_an_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [*(name for name in sys.modules if name.startswith("kornia")), "kornia", "kornia.augmentation.auto"]:
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(MissingExtraError) as refusal:
        make_views(TrainingSettings(augment="randaugment"))
    assert str(refusal.value).endswith("pip install 'labelcontrast[kornia]'")


def test_pictures_go_to_kornia_as_it_wants_them(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[dict[str, int]] = []

    class RandAugment:
        def __init__(self, **options: int) -> None:
            made.append(options)

        def __call__(self, pixels: Tensor) -> Tensor:
            assert pixels.shape == (4, 3, 8, 6)
            assert 0 <= float(pixels.min()) <= float(pixels.max()) <= 1
            return pixels * 2 - 0.25  # beyond what a byte can hold

    fake: Any = ModuleType("kornia.augmentation.auto")
    fake.RandAugment = RandAugment
    for name in ("kornia", "kornia.augmentation"):
        monkeypatch.setitem(sys.modules, name, ModuleType(name))
    monkeypatch.setitem(sys.modules, "kornia.augmentation.auto", fake)
    first, second = make_views(TrainingSettings(views=2, augment="randaugment"))(PICTURES)
    assert made == [{"n": 2, "m": 9}]
    expected = (PICTURES["pixels"].double() / 255 * 2 - 0.25).clamp(0, 1).mul(255).round()
    assert first["pixels"].dtype == torch.uint8
    assert (first["pixels"].double() - expected).abs().max() <= 1
    assert torch.equal(first["pixels"], second["pixels"])
    texts = {"rows": torch.tensor([1, 2])}
    assert make_views(TrainingSettings(views=2, augment="randaugment"))(texts) == [texts, texts]


def test_kornia_alters_pictures_and_is_seeded() -> None:
    pytest.importorskip("kornia")
    views = make_views(TrainingSettings(views=2, augment="randaugment"))
    torch.manual_seed(0)
    first, second = (view["pixels"] for view in views(PICTURES))
    assert first.shape == PICTURES["pixels"].shape
    assert not torch.equal(first, second)
    torch.manual_seed(0)
    again = views(PICTURES)[0]["pixels"]
    assert torch.equal(first, again)
