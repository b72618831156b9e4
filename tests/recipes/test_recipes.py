"""Every recipe has the settings of the study's tables, and trains on a tiny data set in the format of its data."""

import math
import re
from pathlib import Path
from typing import Any

import pytest
import torch
from official_sets import HELD_OUT, LABELS, TRAIN, WRITERS

from labelcontrast.run.evaluation import fit_classifier
from labelcontrast.run.fitting import train_encoder
from labelcontrast.run.inputs import load_inputs
from labelcontrast.run.validation import validate_settings
from labelcontrast.settings import RunSettings, read_settings
from labelcontrast.training.features import compute_features

ROOT = Path(__file__).parents[2]
RECIPES = {str(path.relative_to(ROOT / "recipes")): path for path in sorted((ROOT / "recipes").rglob("*.toml"))}
PICTURES, TEXTS = ("voc2007", "coco2014", "nuswide"), ("aapd", "rcv1", "bgc")
SMALL = {"tweets": "texts", "newswire": "texts", "words": "texts", "photographs": "pictures", "products": "pictures"}
SMALL |= {"vectors": "vectors", "adapter-text": "texts", "adapter-pictures": "pictures"}
SIZES = {"paper/rcv1": (51, 9, 20), "paper-small/rcv1": (13, 9, 20), "small": (43, 5, 12)}
SIZES |= {f"paper/{name}": (TRAIN, HELD_OUT // 2, HELD_OUT // 2) for name in PICTURES}
SIZES |= {f"paper-small/{name}": (TRAIN // 5, HELD_OUT // 2, HELD_OUT // 2) for name in PICTURES}
SIZES |= {f"paper/{name}": (TRAIN, HELD_OUT, HELD_OUT) for name in ("aapd", "bgc")}
SIZES |= {"paper-small/aapd": (5, 20, 20), "paper-small/bgc": (6, 20, 20)}

RATES, SHORT, LONG = {5e-5, 2e-5}, (0.1, 0.01, 1e-4), (1.0, 0.1, 0.01, 1e-4, 1e-6)
# Table 6: epochs, learning rates, batch sizes, optimiser; learning rates, weight decays, batch size of the probe.
CONTRASTIVE = {
    "paper/voc2007": ({10}, {0.003}, {64}, "adamw", (1.0, 0.1), SHORT, 64),
    "paper/coco2014": ({10}, {0.01}, {64}, "sgd", (1.0, 0.1), SHORT, 64),
    "paper/nuswide": ({10}, {0.01}, {64}, "adamw", (1.0, 0.1), SHORT, 64),
    "paper/aapd": ({320, 640}, RATES, {256}, "adamw", (1.0, 0.1), LONG, 256),
    "paper/rcv1": ({320}, RATES, {256}, "adamw", (1.0, 0.1), SHORT, 256),
    "paper/bgc": ({320, 640}, RATES, {256}, "adamw", (1.0, 0.1), LONG, 256),
    "paper-small/aapd": ({320, 640}, RATES, {128, 256}, "adamw", (1.0,), (0.01,), 256),
    "paper-small/rcv1": ({320, 640}, RATES, {128, 256}, "adamw", (1.0,), (0.01,), 256),
    "paper-small/bgc": ({320, 640}, RATES, {128, 256}, "adamw", (1.0,), (0.01,), 256),
}
# Table 5: epochs, learning rates, batch sizes, optimiser.
LOGIT = {
    "voc2007": ((5, 10, 20), {0.003}, {64}, "sgd"),
    "coco2014": ((5, 10, 20), {0.01}, {64}, "sgd"),
    "nuswide": ((5, 10, 20), {0.01}, {64}, "sgd"),
    "aapd": ((10, 40, 80, 160), RATES, {32, 64}, "adamw"),
    "rcv1": ((10, 40, 80, 160), RATES, {32, 64}, "adamw"),
    "bgc": ((10, 40, 80, 160), RATES, {32, 64}, "adamw"),
}


def recipe(name: str) -> RunSettings:
    return RunSettings.build({"data": "somewhere", **read_settings(RECIPES[name])})


def paper_recipes(family: str) -> list[str]:
    return [f"{size}/{family}/{name}.toml" for size in ("paper", "paper-small") for name in (*PICTURES, *TEXTS)]


def test_every_data_set_has_a_recipe_for_each_kind_of_loss() -> None:
    small = [f"small/{name}.toml" for name in SMALL]
    assert sorted(RECIPES) == sorted([*paper_recipes("contrastive"), *paper_recipes("logit"), *small])


@pytest.mark.parametrize("name", paper_recipes("contrastive"))
def test_contrastive_recipes_have_the_settings_of_table_6(name: str) -> None:
    settings = recipe(name)
    training, evaluation = settings.training, settings.evaluation
    row = name.replace("contrastive/", "").removesuffix(".toml")
    if row not in CONTRASTIVE:
        row = row.replace("paper-small", "paper")  # the table has no row for the small set
    epochs, rates, sizes, optimiser, *probe = CONTRASTIVE[row]
    assert training.epochs in epochs
    assert training.learning_rate in rates
    assert training.batch_size in sizes
    assert training.optimiser == optimiser
    assert [evaluation.probe_rates, evaluation.probe_decays, evaluation.probe_batch_size] == probe
    assert settings.loss.model_dump(exclude_none=True) == {"name": "reg", "temperature": 0.1, "alpha": 0.0}
    assert (training.schedule, training.keep, training.views) == ("cosine", "last", 1)
    assert (training.projection_dim, evaluation.probe, evaluation.threshold) == (256, "paper", "fixed")


@pytest.mark.parametrize("name", paper_recipes("logit"))
def test_logit_recipes_have_the_settings_of_table_5(name: str) -> None:
    settings = recipe(name)
    training = settings.training
    epochs, rates, sizes, optimiser = LOGIT[Path(name).stem]
    assert training.epoch_grid == epochs
    assert training.learning_rate in rates
    assert training.batch_size in sizes
    assert training.optimiser == optimiser
    assert (settings.loss.title, training.schedule, training.keep) == ("bce", "linear", "best")
    assert settings.evaluation.threshold == "fixed"


@pytest.mark.parametrize("name", [*paper_recipes("contrastive"), *paper_recipes("logit")])
def test_the_published_protocol_has_the_probe_or_head_alone(name: str) -> None:
    assert recipe(name).evaluation.views == ("probe",)


@pytest.mark.parametrize("name", [*paper_recipes("contrastive"), *paper_recipes("logit")])
def test_recipes_of_the_study_have_the_settings_of_section_5(name: str) -> None:
    settings = recipe(name)
    training, encoder, small = settings.training, settings.encoder, name.startswith("paper-small")
    assert (training.warmup, training.clip, training.precision) == (0.05, 1.0, "16")
    assert (training.weight_decay, training.sampler) == (0.01, "shuffled")
    if Path(name).stem in PICTURES:
        assert (encoder.name, encoder.image_size) == ("timm:resnet50.tv_in1k", 224)
        assert (training.augment, settings.protocol) == ("randaugment", "paper-small" if small else "paper")
    else:
        assert (encoder.name, encoder.pooling, encoder.max_length) == ("roberta-base", "cls", 220)
        assert (training.augment, settings.train_fraction < 1) == ("none", small)


@pytest.fixture(scope="session")
def sets(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folders = {name: tmp_path_factory.mktemp(name) for name in WRITERS}
    for name, write in WRITERS.items():
        write(folders[name])
    return folders


@pytest.mark.parametrize("name", RECIPES)
def test_recipes_train_one_epoch_on_a_tiny_data_set(
    name: str, sets: dict[str, Path], tiny_models: dict[str, Path], augmented: list[int], tmp_path: Path
) -> None:
    values: Any = read_settings(RECIPES[name])
    kind, stem = name.partition("/")[0], Path(name).stem
    values["data"] = str(sets[SMALL.get(stem, stem)])
    values["encoder"]["name"] = str(tiny_models.get(values["encoder"]["name"], values["encoder"]["name"]))
    values["training"] |= {"epochs": 1} | ({"epoch_grid": [1]} if "epoch_grid" in values["training"] else {})
    if "image_size" in values["encoder"]:
        values["encoder"]["image_size"] = 32  # faster; the recipes' own value is tested above
    settings = RunSettings.build(values)
    wanted = settings.encoder
    torch.manual_seed(0)
    inputs = load_inputs(settings)
    assert tuple(map(len, inputs.prepared.values())) == SIZES.get(f"{kind}/{stem}", SIZES.get(kind))
    encoder: Any = inputs.encoder
    if wanted.image_size:
        assert (encoder.transform.height, encoder.transform.width) == (wanted.image_size, wanted.image_size)
    if wanted.pooling:
        assert (encoder.pooling, encoder.max_length) == (wanted.pooling, wanted.max_length)
    before = compute_features(encoder, inputs.prepared["test"])
    trained = train_encoder(settings, validate_settings(settings), inputs, tmp_path)
    assert math.isfinite(trained.selected.loss)
    assert bool(augmented) == (settings.training.augment == "randaugment")
    features = {part: compute_features(encoder, prepared) for part, prepared in inputs.prepared.items()}
    assert not torch.equal(features["test"], before)
    arrays = {part: values.numpy() for part, values in features.items()}
    classifier = trained.classifier or fit_classifier(settings.evaluation, inputs, arrays, seed=settings.seed)
    assert classifier(features["test"]).shape == (len(features["test"]), len(LABELS) if stem != "voc2007" else 20)


def test_the_page_links_every_recipe_and_no_other() -> None:
    page = (ROOT / "docs" / "recipes.md").read_text()
    named = re.findall(r"recipes/(\S+?\.toml)", page)
    assert set(named) == set(RECIPES)
