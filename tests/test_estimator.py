"""The estimator under scikit-learn's contract: its checks, every form of inputs and labels, saving, and refusals."""

import pickle
import re
from pathlib import Path

import numpy as np
import pytest
import scipy.sparse as sp
import sklearn
from PIL import Image
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import estimator_checks_generator, parametrize_with_checks

import labelcontrast as lc
from labelcontrast import ContrastiveClassifier
from labelcontrast.data import batches
from labelcontrast.data.batches import KEPT
from labelcontrast.errors import ConfigError, LabelContrastError, LabelError, RunError

TEXTS = 12 * ["a late goal", "a close vote", "the minister at the match", "rain again"]
SETS = 12 * [["sports"], ["politics"], ["politics", "sports"], []]
INDICATOR = np.array(12 * [[0, 1], [1, 0], [1, 1], [0, 0]])
ROWS = np.random.default_rng(0).normal(size=(80, 4)).astype(np.float32)
SIGNS = (ROWS[:, :3] > 0).astype(int)


def quick(**options: object) -> ContrastiveClassifier:
    return ContrastiveClassifier(**{"encoder": "embedded", "epochs": 2, "random_state": 0, **options})


BATCHED = {
    f"check_sample_weight_equivalence_on_{kind}_data": "batches are drawn by rows, so a row of weight 2 and a row given"
    " twice train on other batches; scikit-learn expects the same of its own MLPClassifier"
    for kind in ("dense", "sparse")
}


@pytest.mark.slow
@parametrize_with_checks([ContrastiveClassifier(random_state=0)], expected_failed_checks=lambda _: BATCHED)
def test_the_checks_of_scikit_learn_pass(estimator, check) -> None:
    check(estimator)


def test_the_docs_list_the_checks_of_scikit_learn() -> None:
    checks = list(estimator_checks_generator(ContrastiveClassifier()))
    text = (Path(__file__).parents[1] / "docs" / "integrations.md").read_text().split("<!-- checks -->")[1]
    part = text.split("## Export")[0]
    version = ".".join(sklearn.__version__.split(".")[:2])
    stated = (
        f"Of {len(checks)} checks of `check_estimator` in scikit-learn {version}, {len(checks) - len(BATCHED)} pass."
    )
    assert stated in part
    assert set(re.findall(r"`(check_\w+_data)`", part)) == set(BATCHED)


@pytest.fixture(scope="module")
def of_texts() -> ContrastiveClassifier:
    return quick(epochs=8).fit(TEXTS, SETS)


def test_label_sets_are_learned_from_texts(of_texts: ContrastiveClassifier) -> None:
    assert of_texts.classes_.tolist() == ["politics", "sports"]
    assert of_texts.predict_sets(TEXTS[:3]) == [("sports",), ("politics",), ("politics", "sports")]
    np.testing.assert_array_equal(of_texts.predict(TEXTS), INDICATOR)
    probabilities = of_texts.predict_proba(TEXTS)
    assert probabilities.shape == (48, 2)
    np.testing.assert_allclose(1 / (1 + np.exp(-of_texts.decision_function(TEXTS))), probabilities, atol=1e-6)
    assert of_texts.transform(TEXTS[:5]).shape == (5, 256)
    assert of_texts.get_feature_names_out()[0] == "contrastiveclassifier0"
    assert of_texts.score(TEXTS, INDICATOR) == 1.0


def test_explanations_name_rows_of_x(of_texts: ContrastiveClassifier) -> None:
    (found,) = of_texts.explain(TEXTS[:1], near=1)
    assert [one.label for one in found.labels] == ["sports"]
    (near,) = found.labels[0].supporting
    assert near.similarity == pytest.approx(1, abs=1e-5)
    row = of_texts.train_rows_[near.row]
    assert (TEXTS[row], tuple(SETS[row])) == (TEXTS[0], near.labels)
    with pytest.raises(LabelError, match=r"labels must be a list of names. Got the text"):
        of_texts.explain(TEXTS[:1], "sports")


@pytest.mark.parametrize(
    "labels",
    [INDICATOR, INDICATOR.tolist(), sp.csr_matrix(INDICATOR), np.array([*map(tuple, SETS), None], dtype=object)[:-1]],
    ids=["array", "lists", "sparse", "objects"],
)
def test_every_form_of_labels_trains_the_same_model(labels, of_texts: ContrastiveClassifier) -> None:
    found = quick(epochs=8).fit(np.array(TEXTS), labels)
    np.testing.assert_array_equal(found.predict_proba(TEXTS), of_texts.predict_proba(TEXTS))


def test_columns_and_frames_of_pandas_and_polars_train_the_same_model() -> None:
    pd, pl = pytest.importorskip("pandas"), pytest.importorskip("polars")
    names, numbers = ["politics", "sports"], INDICATOR.astype(object)
    numbers[0] = None
    plain = quick(views="probe").fit(TEXTS, np.where(numbers == None, np.nan, numbers).astype(float))  # noqa: E711
    whole = pd.DataFrame(numbers, columns=names).astype("Int64")  # with pandas' own missing value
    of_polars = pl.DataFrame({name: numbers[:, place].tolist() for place, name in enumerate(names)})
    for texts, labels in (
        (pd.Series(TEXTS, index=range(9, 57)), whole),
        (pd.DataFrame({"text": TEXTS}), whole.astype("float64")),
        (pl.Series(TEXTS), of_polars),
        (pl.DataFrame({"text": TEXTS}), of_polars),
    ):
        fitted = quick(views="probe").fit(texts, labels)
        assert fitted.classes_.tolist() == names
        np.testing.assert_array_equal(fitted.predict_proba(texts), plain.predict_proba(TEXTS))
    assert quick(views="probe").fit(pd.Series(TEXTS), pd.Series(SETS)).classes_.tolist() == names
    index = fitted.set_output(transform="pandas").transform(pd.Series(TEXTS[:2], index=[5, 7])).index
    assert index.tolist() == [5, 7]


def test_the_names_of_columns_are_kept_and_checked() -> None:
    pd, pl = pytest.importorskip("pandas"), pytest.importorskip("polars")
    rows = pd.DataFrame(ROWS, columns=list("abcd"))
    fitted = quick(views="probe").fit(rows, SIGNS)
    assert fitted.feature_names_in_.tolist() == list("abcd")
    assert isinstance(fitted.set_output(transform="polars").transform(rows), pl.DataFrame)
    assert pickle.loads(pickle.dumps(fitted)).feature_names_in_.tolist() == list("abcd")
    with pytest.raises(ValueError, match="Feature names unseen at fit time:\n- e"):
        fitted.predict(rows.rename(columns={"d": "e"}))


def test_unknown_labels_are_no_negatives() -> None:
    labels = SIGNS.astype(float)
    labels[:40, 0] = np.where(labels[:40, 0] == 1, 1, np.nan)
    fitted = quick(views="probe").fit(ROWS, labels)
    truth = fitted.result_["examples"]["train"] + fitted.result_["examples"]["val"]
    assert truth == 80
    assert any("unknown" in sentence for sentence in fitted.result_["warnings"])


def test_sparse_rows_and_an_array_give_the_same_model(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = np.where(np.abs(ROWS) > 0.5, ROWS, 0)
    dense = quick().fit(rows, SIGNS)
    for kept in (KEPT, 0):  # the last one keeps no dense rows
        monkeypatch.setattr(batches, "KEPT", kept)
        sparse = quick().fit(sp.csr_matrix(rows), SIGNS)
        np.testing.assert_array_equal(sparse.predict_proba(sp.csr_array(rows)), dense.predict_proba(rows))
    assert sparse.explain(sp.csr_array(rows[:1]), most=1)[0] == dense.explain(rows[:1], most=1)[0]
    assert dense.n_features_in_ == 4
    with pytest.raises(ValueError, match="X has 3 features, but ContrastiveClassifier is expecting 4"):
        dense.predict(ROWS[:, :3])


def test_one_label_an_example_is_predicted_as_itself() -> None:
    names = np.array(["low", "mid", "high"])[np.digitize(ROWS[:, 0], [-0.5, 0.5])]
    fitted = quick(epochs=5).fit(ROWS, names)
    assert fitted.classes_.tolist() == ["high", "low", "mid"]
    np.testing.assert_allclose(fitted.predict_proba(ROWS).sum(axis=1), 1)
    assert fitted.score(ROWS, names) > 0.8
    assert fitted.predict_sets(ROWS[:1]) == [(fitted.predict(ROWS[:1])[0],)]
    assert [one.label for one in fitted.explain(ROWS[:1], most=0)[0].labels] == [fitted.predict(ROWS[:1])[0]]


def test_an_example_of_weight_0_is_left_out_and_one_of_weight_1_is_usual() -> None:
    weights = np.where(np.arange(80) < 60, 1.0, 0.0)
    named = [["rare", "late"] if row >= 60 else ["low" if row % 2 else "high"] for row in range(80)]
    found, without = quick().fit(ROWS, named, sample_weight=weights), quick().fit(ROWS[:60], named[:60])
    assert found.classes_.tolist() == without.classes_.tolist() == ["high", "low"]
    np.testing.assert_array_equal(found.predict_proba(ROWS), without.predict_proba(ROWS))


@pytest.mark.parametrize("loss", ["zlpr+0.5*reg", "mulsupcon"])
def test_heavy_examples_decide_where_examples_contradict(loss: str) -> None:
    half = np.repeat([True, False], 24)
    labels = np.where(half[:, None], INDICATOR, 1 - INDICATOR)
    for heavy in (half, ~half):
        fitted = quick(epochs=8, loss=loss, validation_fraction=0.4)
        fitted.fit(TEXTS, labels, sample_weight=np.where(heavy, 10.0, 0.1))
        assert (fitted.predict(TEXTS) == labels)[heavy].mean() > 0.9


def test_wrong_weights_are_refused() -> None:
    for weights, message in (
        (np.ones(3), r"sample_weight.shape == \(3,\), expected \(80,\)"),
        (-np.ones(80), "Negative values in data passed to `sample_weight`"),
        (np.zeros(80), "Sample weights must contain at least one non-zero number"),
    ):
        with pytest.raises(ValueError, match=message):
            quick().fit(ROWS, SIGNS, sample_weight=weights)


def test_pictures_are_named_by_their_paths(tmp_path: Path) -> None:
    random, paths, labels = np.random.default_rng(0), [], []
    for row in range(40):
        bright = row % 2
        pixels = random.integers(0, 100, (12, 12, 3)) + 150 * bright
        Image.fromarray(pixels.astype(np.uint8)).save(tmp_path / f"{row}.png")
        paths.append(str(tmp_path / f"{row}.png"))
        labels.append(["bright"] if bright else ["dark"])
    fitted = quick(settings={"encoder.image_size": 16}).fit(paths, labels)
    assert fitted.model_.encoder.kind == "image"
    assert fitted.predict_sets(paths[:2]) == [("dark",), ("bright",)]


def test_a_fitted_model_is_saved_as_a_run_and_survives_a_pickle(
    of_texts: ContrastiveClassifier, tmp_path: Path
) -> None:
    of_texts.save(tmp_path / "run")
    expected = of_texts.predict_proba(TEXTS)
    np.testing.assert_array_equal(lc.load(tmp_path / "run").predict_proba(TEXTS), expected.astype(np.float32))
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(of_texts)).predict_proba(TEXTS), expected)
    with pytest.raises(RunError, match="holds a run already"):
        of_texts.save(tmp_path / "run")
    of_texts.save(tmp_path / "run", force=True)
    assert lc.load(tmp_path / "run").labels == ("politics", "sports")


def test_a_label_is_added_without_changing_the_others(tmp_path: Path) -> None:
    rain = [f"heavy rain {word}" for word in ("at noon", "tonight", "in the north", "and snow")]
    given, y = [*rain, "a goal tonight", "no rain perhaps"], [1, 1, 1, 1, 0, np.nan]
    model = quick(epochs=8, views="probe,words").fit(TEXTS, SETS)
    before = model.predict_proba(TEXTS)
    model.add_label("weather", given, y, frequency=0.1)
    assert model.classes_.tolist() == ["politics", "sports", "weather"]
    assert model.predict_sets(["rain tonight", TEXTS[0]]) == [("weather",), ("sports",)]
    np.testing.assert_allclose(model.predict_proba(TEXTS)[:, :2], before, atol=1e-6)
    facts = model.added_["weather"]
    assert (facts["positives"], facts["negatives"], facts["frequency"]) == (4, 1, 0.1)
    assert facts["measured"]["average_precision"] == 1.0
    other = quick(epochs=8, views="probe,words").fit(TEXTS, SETS).add_label("weather", given[:5], y[:5], frequency=0.1)
    np.testing.assert_array_equal(other.predict_proba(TEXTS), model.predict_proba(TEXTS))
    model.add_label("snow", ["snow in the streets", "snow and ice"])
    assert model.predict_sets(["snow and ice"])[0][-1] == "snow"
    model.save(tmp_path / "run")
    assert lc.load(tmp_path / "run").labels == ("politics", "sports", "weather", "snow")
    again = pickle.loads(pickle.dumps(model))
    np.testing.assert_array_equal(again.predict_proba(given), model.predict_proba(given))
    with pytest.raises(ValueError, match="a model from a pickle has no training examples"):
        again.add_label("storm", given)


@pytest.mark.parametrize("form", [np.asarray, sp.csr_array], ids=["dense", "sparse"])
def test_a_label_of_numbers_is_added_to_columns_without_names(form) -> None:
    rows = np.random.default_rng(0).normal(size=(90, 6)).astype(np.float32)
    model = quick(epochs=4).fit(form(rows), rows[:, :2] > 0)
    new = np.random.default_rng(1).normal(size=(40, 6)).astype(np.float32)
    model.add_label(2, form(new), new[:, 3] > 0)
    assert model.classes_.tolist() == [0, 1, 2]
    assert model.added_[2]["measured"]["average_precision"] > 0.7, "0.5 by chance"
    assert model.predict(form(rows)).shape == (90, 3)


@pytest.mark.parametrize(
    ("name", "inputs", "labels", "message"),
    [
        ("sports", ["rain", "snow"], None, 'there is a label "sports" already.'),
        ("rain", ["rain"], None, '"rain" needs 2 examples that have it, or more. Got 1.'),
        ("rain", ["rain", "snow"], [0, 0], 'no example has the label "rain".'),
        ("rain", ["rain", "snow"], [1], "X has 2 examples, and y has 1."),
        ("rain", ["rain", "snow"], [1, 2], "y must hold 0, 1 or NaN for each label. Got 2.0."),
        ("rain", [[1.0], [2.0]], None, "holds vector inputs; the encoder is trained on text inputs."),
    ],
)
def test_a_label_that_cannot_be_added_is_refused(
    of_texts: ContrastiveClassifier, name: str, inputs: list, labels: list | None, message: str
) -> None:
    with pytest.raises((ValueError, LabelContrastError), match=re.escape(message)):
        of_texts.add_label(name, inputs, labels)
    assert of_texts.classes_.tolist() == ["politics", "sports"]


def test_a_label_is_not_added_where_each_example_has_one() -> None:
    model = quick().fit(ROWS, SIGNS[:, 0])
    with pytest.raises(ValueError, match="here each has exactly one"):
        model.add_label(2, ROWS)


def test_it_works_in_pipelines_searches_and_cross_validation() -> None:
    fast = quick(views="probe")
    pipeline = make_pipeline(StandardScaler(), fast)
    search = GridSearchCV(pipeline, {"contrastiveclassifier__loss": ["bce", "reg"]}, scoring="f1_macro", cv=2)
    assert search.fit(ROWS, SIGNS).best_score_ > 0.4
    assert cross_val_score(clone(fast), ROWS, SIGNS, cv=2, scoring="f1_micro").min() > 0.4


@pytest.mark.parametrize(
    ("options", "inputs", "labels", "message"),
    [
        ({}, TEXTS, SETS[:5], "X has 48 examples, and y has 5."),
        ({}, ROWS, np.full((80, 2), 0.5), "y must hold 0, 1 or NaN for each label. Got 0.5."),
        ({}, ROWS, None, "requires y to be passed, but the target y is None"),
        ({}, TEXTS[:1], SETS[:1], "n_samples=1: too few samples"),
        ({"inputs": "text"}, ROWS, SIGNS, "X must be strings, since inputs='text'. Got ndarray."),
        ({"validation_fraction": 1.0}, ROWS, SIGNS, "validation_fraction must be between 0 and 1. Got 1.0."),
        ({"loss": "rge"}, ROWS, SIGNS, 'did you mean "reg"'),
        ({"settings": {"training.batch": 8}}, ROWS, SIGNS, 'unknown setting "training.batch"'),
        ({}, ROWS, np.zeros(80), "Got one class: 0.0"),
        ({}, ROWS, [[]] * 80, "y has no label: every label set is empty."),
        ({}, ["a", None] * 24, SETS, "X must hold strings and nothing else, or numbers. X[1] is None."),
        (
            {},
            ROWS,
            np.array([["a", "b"]] * 80),
            "y of shape [80, 2] must hold 0 and 1; label sets are a list of lists, tuples or sets.",
        ),
    ],
)
def test_wrong_input_is_refused_in_one_line(options: dict, inputs, labels, message: str) -> None:
    with pytest.raises((ValueError, ConfigError)) as refusal:
        quick(**options).fit(inputs, labels)
    assert message in str(refusal.value)
    assert "\n" not in str(refusal.value)
