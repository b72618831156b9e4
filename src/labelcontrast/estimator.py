"""``ContrastiveClassifier``: one run of labelcontrast, on data in memory, under the contract of scikit-learn."""

from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal, Self

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray
from scipy.special import logit
from sklearn.base import BaseEstimator, ClassifierMixin, ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.utils import _safe_indexing, check_random_state
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import (
    _check_sample_weight,
    _num_samples,
    assert_all_finite,
    check_is_fitted,
    column_or_1d,
    validate_data,
)

from labelcontrast.data.examples import BySplit, Examples, Inputs
from labelcontrast.data.picture_files import PICTURE_SUFFIXES
from labelcontrast.data.relabelling import examples_of
from labelcontrast.data.splits import Splits, data_warnings
from labelcontrast.data.stratification import iterative_stratification
from labelcontrast.encoders.base import Kind
from labelcontrast.errors import ConfigError, LabelError
from labelcontrast.experiment import run_experiment
from labelcontrast.labels.vocabulary import LabelVocabulary
from labelcontrast.run.changes import add_label_of
from labelcontrast.run.explanation import Explanation
from labelcontrast.run.fitting import Callbacks
from labelcontrast.run.folder import load_settings, open_run
from labelcontrast.run.inputs import RunData
from labelcontrast.run.model import load, save_model
from labelcontrast.settings import RunSettings, parse_loss, put

BATCH = 128
"""Vectors that are scored together."""
SMALLEST_PROBABILITY = 1e-7
"""Probabilities are clipped at this distance from 0 and 1 before their log-odds are taken."""


class ContrastiveClassifier(
    ClassNamePrefixFeaturesOutMixin,  # type: ignore[misc]  # scikit-learn has no types
    TransformerMixin,  # type: ignore[misc]
    ClassifierMixin,  # type: ignore[misc]
    BaseEstimator,  # type: ignore[misc]
):
    """Classify texts, pictures or vectors with sets of labels, trained as ``labelcontrast train`` does it.

    Args:
        loss: A loss with its parameters, as on the command line: ``reg:alpha=1``, ``zlpr+0.5*reg``.
        encoder: ``auto``, ``embedded``, a hub id, a folder, ``pkg:...`` or ``timm:...``.
        effort: ``quick``, ``standard`` or ``best``.
        epochs: Passes over the training examples, at most; by default as the effort says.
        views: Scorers of the labels that are blended: ``auto``, or some of them, as in ``probe,words``.
        threshold: The rule of thresholds: ``per_label``, ``global``, ``expected_f1``, ...
        validation_fraction: Share of the examples that choose the epoch, the blend and the thresholds.
        inputs: The kind of ``X``: ``text``, ``image`` for paths of pictures, or ``vector``; ``auto`` takes strings for
            texts unless all of them end like a picture.
        settings: Any other settings by dotted name, as in ``{"training.batch_size": 128}``.
        random_state: Seed of the split, the weights and the order of the examples.
        device: Where features are computed, such as ``cuda``.
        verbose: Print the progress to standard output.

    Attributes:
        classes_: The labels, in the order of the columns.
        model_: The trained ``TrainedModel``.
        train_rows_: The rows of ``X`` that it was trained on; the others chose epoch, blend and thresholds.
        result_: Metrics and times of the run; ``val`` is the held-out share of the examples.
        added_: What was measured of each label that ``add_label`` has added.
        settings_: All settings of the run.

    Example:
        >>> from labelcontrast import ContrastiveClassifier
        >>> texts = 20 * ["a late goal", "a close vote", "the minister at the match", "rain"]
        >>> labels = 20 * [["sports"], ["politics"], ["politics", "sports"], []]
        >>> model = ContrastiveClassifier(encoder="hashed", random_state=0).fit(texts, labels)
        >>> model.predict_sets(["a goal", "the vote"])
        [('sports',), ('politics',)]
        >>> model.predict_proba(["a goal"]).shape, model.transform(["a goal"]).shape
        ((1, 2), (1, 256))
    """

    def __init__(
        self,
        *,
        loss: str = "zlpr+0.5*reg",
        encoder: str = "auto",
        effort: Literal["quick", "standard", "best"] = "standard",
        epochs: int | None = None,
        views: str = "auto",
        threshold: str = "per_label",
        validation_fraction: float = 0.15,
        inputs: Literal["auto", "text", "image", "vector"] = "auto",
        settings: Mapping[str, Any] | None = None,
        random_state: int | np.random.RandomState | None = None,
        device: str = "cpu",
        verbose: bool = False,
    ) -> None:
        self.loss = loss
        self.encoder = encoder
        self.effort = effort
        self.epochs = epochs
        self.views = views
        self.threshold = threshold
        self.validation_fraction = validation_fraction
        self.inputs = inputs
        self.settings = settings
        self.random_state = random_state
        self.device = device
        self.verbose = verbose

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:  # noqa: ANN401, N803
        """Train on labelled examples.

        Args:
            X: Strings, paths of pictures, or numbers [examples, features], dense or sparse; as list, array, series or
                frame. Sparse rows of more than half a GiB as dense ones are made dense a batch at a time.
            y: A list of label sets; 0 and 1 [examples, labels], dense, sparse or as a frame, with NaN for unknown; or,
                for exactly one label an example, a list of labels.
            sample_weight: The weight of each example in the loss, the probe, the other views, the choice of the epoch,
                the blend, calibration and thresholds; by default 1. An example of weight 0 is left out. The metrics of
                ``result_`` count each example once.

        Raises:
            ValueError: ``X``, ``y`` or ``sample_weight`` has another shape or type.
            LabelContrastError: A parameter is out of range, or there are too few examples.
        """
        inputs, kind = self._read_inputs(X, reset=True)
        indicator, classes, self.is_single_label_ = _read_labels(y)
        if indicator.shape[0] != (count := _num_samples(inputs)):
            raise ValueError(f"X has {count} examples, and y has {indicator.shape[0]}.")
        weights = _check_sample_weight(sample_weight, inputs, dtype=np.float64, ensure_non_negative=True)
        if not weights.all():
            kept = np.flatnonzero(weights)
            return self.fit(*(_safe_indexing(one, kept) for one in (X, y, weights)))
        if not len(classes):
            raise ValueError("y has no label: every label set is empty.")
        if self.is_single_label_ and len(classes) < 2:
            raise ValueError(f"y must have labels of two classes or more. Got one class: {classes[0]}.")
        self.classes_ = classes
        seed = int(check_random_state(self.random_state).randint(2**31 - 1))
        run = self._run_settings(seed)
        data = self._split(inputs, kind, indicator, None if (weights == 1).all() else weights, seed=seed)
        callbacks = Callbacks(on_message=print, on_epoch=print) if self.verbose else Callbacks()
        with TemporaryDirectory() as folder:
            self.result_ = run_experiment(run, Path(folder) / "run", data=data, device=self.device, callbacks=callbacks)
            self.settings_ = load_settings(Path(folder) / "run")
            self.model_ = load(Path(folder) / "run")
        self._n_features_out = self.model_.encoder.output_dim
        self._data, self.added_ = data, dict[Any, dict[str, Any]]()
        return self

    def add_label(self, name: Any, X: Any, y: Any = None, *, frequency: float | None = None) -> Self:  # noqa: ANN401, N803
        """Add a label from a few examples of it without training the encoder, as ``labelcontrast labels add`` does.

        It is the last of ``classes_``. The examples of ``fit``, which must still be there, count as lacking it. New
        examples come after ``X[train_rows_]`` in what ``explain`` names. ``result_`` keeps the metrics of ``fit``.

        Args:
            name: The label, of the type of ``classes_``.
            X: Two examples with it or more, and any without it.
            y: 1 or 0 for each example, or NaN, which leaves it out; by default all have the label.
            frequency: Expected share of examples with it; by default its share of the training examples, or the mean of
                the other labels, whichever is larger.

        Raises:
            ValueError: ``X`` or ``y`` has another shape or type; each example of ``fit`` has one label; or the model
                comes from a pickle, which holds no training examples.
            LabelContrastError: There is such a label already, or there are too few examples.

        Example:
            >>> from labelcontrast import ContrastiveClassifier
            >>> texts, labels = 20 * ["a late goal", "a close vote"], 20 * [["sports"], ["politics"]]
            >>> model = ContrastiveClassifier(encoder="hashed", random_state=0).fit(texts, labels)
            >>> model.add_label("weather", ["heavy rain", "rain at noon", "snow", "rain"]).classes_.tolist()
            ['politics', 'sports', 'weather']
            >>> bool(model.predict_proba(["rain again"])[0, 2] > model.predict_proba(["a late vote"])[0, 2])
            True
        """
        check_is_fitted(self, "model_")
        if self.is_single_label_:
            raise ValueError("a label can be added where an example may have several; here each has exactly one.")
        if self._data is None:
            raise ValueError("a model from a pickle has no training examples; a label can only be added after fit.")
        inputs, kind = self._read_inputs(X)
        truth = np.ones(_num_samples(inputs)) if y is None else column_or_1d(y, dtype=np.float64)
        if len(truth) != _num_samples(inputs):
            raise ValueError(f"X has {_num_samples(inputs)} examples, and y has {len(truth)}.")
        label, vocabulary = str(name), self.model_.vocabulary
        if label in vocabulary.column:
            raise LabelError(f'there is a label "{label}" already.')
        column, _, _ = _indicator(sp.csr_array(truth[:, None]), None)
        given = examples_of(label, _examples(inputs, kind, column, LabelVocabulary((label,))), vocabulary)
        added = add_label_of(self.model_, self._data, self.settings_, label, given, frequency=frequency)
        self.model_, self._data, facts = added
        self.classes_ = np.append(self.classes_, np.array([name], dtype=self.classes_.dtype))
        self.added_ = {**self.added_, name: facts}
        return self

    def __getstate__(self) -> dict[str, Any]:
        """Leave the training examples out of a pickle."""
        state: dict[str, Any] = super().__getstate__()
        return {**state, "_data": None} if "_data" in state else state

    def predict(self, X: Any) -> NDArray[Any]:  # noqa: ANN401, N803
        """Predict 0 or 1 for every label, shape [examples, labels]; the label itself if each example has one."""
        check_is_fitted(self, "model_")
        if not self.is_single_label_:
            inputs = self._read_inputs(X)[0]
            return self.model_.predict(_padded(inputs))[: _num_samples(inputs)].astype(np.int64)
        return np.asarray(self.classes_[self.predict_proba(X).argmax(axis=1)])

    def predict_sets(self, X: Any) -> list[tuple[Any, ...]]:  # noqa: ANN401, N803
        """Predict the labels of each example by name, in the order of ``classes_``."""
        predicted = self.predict(X)
        if self.is_single_label_:
            return [(label,) for label in predicted.tolist()]
        return [tuple(self.classes_[np.flatnonzero(row)].tolist()) for row in predicted]

    def predict_proba(self, X: Any) -> NDArray[np.float64]:  # noqa: ANN401, N803
        """Compute the probability of every label, shape [examples, labels]; rows sum to 1 if each example has one."""
        check_is_fitted(self, "model_")
        inputs = self._read_inputs(X)[0]
        found = self.model_.predict_proba(_padded(inputs))[: _num_samples(inputs)].astype(np.float64)
        if self.is_single_label_:
            found = np.maximum(found, SMALLEST_PROBABILITY)
            found /= found.sum(axis=1, keepdims=True)
        return found

    def decision_function(self, X: Any) -> NDArray[np.float64]:  # noqa: ANN401, N803
        """Compute the log-odds of every label; of the second class alone if each example has one of two."""
        found = logit(np.clip(self.predict_proba(X), SMALLEST_PROBABILITY, 1 - SMALLEST_PROBABILITY))
        return np.asarray(found[:, 1] if self.is_single_label_ and len(self.classes_) == 2 else found)

    def transform(self, X: Any) -> NDArray[np.float32]:  # noqa: ANN401, N803
        """Compute the embedding of every example, shape [examples, width of the encoder]."""
        check_is_fitted(self, "model_")
        inputs = self._read_inputs(X)[0]
        return self.model_.embed(_padded(inputs))[: _num_samples(inputs)]

    def explain(
        self,
        X: Any,  # noqa: ANN401, N803
        labels: Iterable[Any] | None = None,
        *,
        most: int = 10,
        near: int = 3,
    ) -> list[Explanation]:
        """Explain the scores of labels, an explanation for each input, as ``TrainedModel.explain`` does.

        By default the predicted labels are explained. A near training example is a row of ``X[train_rows_]``.
        """
        check_is_fitted(self, "model_")
        names = None if labels is None or isinstance(labels, str) else [str(label) for label in labels]
        top = 1 if self.is_single_label_ else None
        return self.model_.explain(self._read_inputs(X)[0], names or labels, top=top, most=most, near=near)

    def save(self, folder: str | Path, *, force: bool = False) -> None:
        """Write the model as a run folder, which ``labelcontrast.load`` and ``labelcontrast predict`` read; no pickle.

        Args:
            folder: New or empty.
            force: Replace a run that is there.

        Raises:
            RunError: The folder holds something else, or a file cannot be written.
        """
        check_is_fitted(self, "model_")
        with open_run(folder, self.settings_, force=force):
            save_model(folder, self.model_)
            self.result_.save(folder)

    def __sklearn_tags__(self) -> Any:  # noqa: ANN401
        """Declare that texts and sparse rows are read, and that examples may have several labels."""
        tags = super().__sklearn_tags__()
        tags.input_tags.string = True
        tags.input_tags.sparse = True
        tags.classifier_tags.multi_label = True
        tags.transformer_tags.preserves_dtype = ["float32"]
        return tags

    def _run_settings(self, seed: int) -> RunSettings:
        values: dict[str, Any] = {"data": "X", "seed": seed}
        values["loss"] = parse_loss(self.loss).model_dump(exclude_none=True)
        given = {
            "effort": self.effort,
            "encoder.name": self.encoder,
            "evaluation.views": self.views,
            "evaluation.threshold": self.threshold,
            "evaluation.examples": 0,
            "hierarchy.file": "none",
            **({} if self.epochs is None else {"training.epochs": self.epochs}),
            **(self.settings or {}),
        }
        for name, value in given.items():
            values = put(values, name, value)
        return RunSettings.build(values)

    def _split(
        self, inputs: Inputs, kind: Kind, indicator: sp.csr_array, weights: NDArray[np.float64] | None, *, seed: int
    ) -> RunData:
        """Hold out a share of the examples for validation, which stand for the test examples of the run too."""
        share = self.validation_fraction
        if not 0 < share < 1:
            raise ConfigError(f"validation_fraction must be between 0 and 1. Got {share}.")
        vocabulary = LabelVocabulary(tuple(map(str, self.classes_)))
        whole = _examples(inputs, kind, indicator, vocabulary)
        present = sp.csr_array(indicator == 1)
        parts = iterative_stratification(present, (1 - share, share), generator=np.random.default_rng(seed))
        if not all(map(len, parts)):
            raise ValueError(f"n_samples={len(whole)}: too few samples to train on some and to validate on others.")
        self.train_rows_ = parts[0]
        train, val = (whole.select(rows) for rows in parts)
        splits: BySplit = {"train": train, "val": val, "test": val}
        warnings = data_warnings(splits, vocabulary)
        how = f"{share:.3g} of X is held out"
        of_split = None if weights is None else dict(zip(splits, (weights[parts[at]] for at in (0, 1, 1)), strict=True))
        return RunData(Splits(**splits, how=how, vocabulary=vocabulary, warnings=warnings), weights=of_split)

    def _read_inputs(self, X: Any, *, reset: bool = False) -> tuple[Any, Kind]:  # noqa: ANN401, N803
        """Return the inputs as a list of texts, a list of paths, or a float32 array, and their kind."""
        strings = _strings_of(X) if self.inputs in {"auto", "text", "image"} else None
        if strings is None:
            if self.inputs in {"text", "image"}:
                raise ValueError(f"X must be strings, since inputs={self.inputs!r}. Got {type(X).__name__}.")
            rows = validate_data(self, X, reset=reset, accept_sparse="csr", dtype=np.float32)
            return (sp.csr_array(rows) if sp.issparse(rows) else rows), "vector"
        if self.inputs == "image" or (self.inputs == "auto" and _are_pictures(strings)):
            return [Path(one) for one in strings], "image"
        return [str(one) for one in strings], "text"


def _examples(inputs: Inputs, kind: Kind, indicator: sp.csr_array, vocabulary: LabelVocabulary) -> Examples:
    """Return inputs with their labels: 0, 1, or NaN where one is unknown."""
    count, pairs = indicator.shape[0], indicator.tocoo()
    missing = np.isnan(pairs.data)
    unknown: list[dict[str, float]] = [{} for _ in range(count)]
    for row, column in zip(pairs.row[missing], pairs.col[missing], strict=True):
        unknown[row][vocabulary.names[column]] = np.nan
    return Examples(
        inputs=inputs,
        label_sets=vocabulary.decode(sp.csr_array(indicator == 1)),
        kind=kind,
        ids=[str(row) for row in range(count)],
        lines=range(count),
        origin="X",
        understood=f"X: {count:,} {kind} inputs",
        counted="row",
        values=unknown if missing.any() else None,
    )


def _padded(inputs: Any) -> Any:  # noqa: ANN401
    """Fill the last batch of vectors with zeros: the sums of a matrix product depend on its number of rows."""
    if isinstance(inputs, list):
        return inputs
    more = -inputs.shape[0] % BATCH
    if sp.issparse(inputs):
        return sp.csr_array(sp.vstack([inputs, sp.csr_array((more, inputs.shape[1]), dtype=inputs.dtype)]))
    return np.pad(inputs, ((0, more), (0, 0)))


def _strings_of(X: Any) -> list[str | Path] | None:  # noqa: ANN401, N803
    """Return the strings or paths of a list, an array, a series, or a frame of one column; None if they are others."""
    values = X.to_numpy() if hasattr(X, "to_numpy") else X
    if isinstance(values, np.ndarray):
        if values.ndim == 2 and values.shape[1] == 1 and values.dtype.kind in "OUT":
            values = values[:, 0]
        values = values.tolist() if values.ndim == 1 and values.dtype.kind in "OUT" else None
    if not isinstance(values, Sequence) or isinstance(values, str) or not len(values):
        return None
    listed = list(values)
    others = [row for row, one in enumerate(listed) if not isinstance(one, str | Path)]
    if 0 < len(others) < len(listed):
        raise ValueError(f"X must hold strings and nothing else, or numbers. X[{others[0]}] is {listed[others[0]]!r}.")
    return None if others else listed


def _are_pictures(strings: Iterable[str | Path]) -> bool:
    return all(isinstance(one, Path) or Path(one).suffix.lower() in PICTURE_SUFFIXES for one in strings)


def _read_labels(y: Any) -> tuple[sp.csr_array, NDArray[Any], bool]:  # noqa: ANN401
    """Return the labels as a sparse matrix of 0, 1 and NaN, their names, and whether each example has exactly one."""
    if y is None:
        raise ValueError("requires y to be passed, but the target y is None")
    if sp.issparse(y):
        return _indicator(sp.csr_array(y), None)
    values = _array_of(y) if hasattr(y, "to_numpy") else y
    if _are_sets(values):
        return _label_sets([tuple(map(str, one)) for one in values])
    array = np.asarray(values)
    if array.ndim == 2 and array.shape[1] > 1:
        if array.dtype.kind in "UT" or (array.dtype.kind == "O" and any(isinstance(one, str) for one in array.flat)):
            shape = f"[{array.shape[0]}, {array.shape[1]}]"
            raise ValueError(f"y of shape {shape} must hold 0 and 1; label sets are a list of lists, tuples or sets.")
        return _indicator(sp.csr_array(array.astype(float)), np.asarray(y.columns) if hasattr(y, "columns") else None)
    if array.ndim > 2:
        raise ValueError(f"y must have one or two dimensions. Got {array.ndim}.")
    column = column_or_1d(array, warn=True)
    if column.dtype.kind == "f":
        assert_all_finite(column, input_name="y")
    check_classification_targets(column)
    classes, codes = np.unique(column, return_inverse=True)
    places = np.arange(len(codes)), codes
    return sp.csr_array((np.ones(len(codes)), places), shape=(len(codes), len(classes))), classes, True


def _array_of(y: Any) -> NDArray[Any]:  # noqa: ANN401
    """Return a series or frame as an array; in a frame of numbers, the missing ones of pandas are NaN."""
    if hasattr(y, "iloc") and hasattr(y, "columns"):
        with suppress(ValueError, TypeError):
            return np.asarray(y.to_numpy(dtype=float, na_value=np.nan))
    return np.asarray(y.to_numpy())


def _are_sets(values: Any) -> bool:  # noqa: ANN401
    """Return True for a list of label sets: collections of names, or of numbers that are no rows of 0 and 1."""
    if not isinstance(values, Sequence | np.ndarray) or (isinstance(values, np.ndarray) and values.dtype != object):
        return False
    rows = [one for one in values if isinstance(one, list | tuple | set | frozenset | np.ndarray)]
    if not rows or len(rows) < len(values):
        return False
    are_numbers = all(isinstance(one, int | float | np.number) for row in rows for one in row)
    return not (are_numbers and len({len(row) for row in rows}) == 1 and len(rows[0]) > 0)


def _label_sets(sets: list[tuple[str, ...]]) -> tuple[sp.csr_array, NDArray[Any], bool]:
    vocabulary = LabelVocabulary.from_label_sets(sets)
    return sp.csr_array(vocabulary.encode(sets), dtype=float), np.array(vocabulary.names, dtype=object), False


def _indicator(matrix: sp.csr_array, names: NDArray[Any] | None) -> tuple[sp.csr_array, NDArray[Any], bool]:
    given = matrix.data[~np.isnan(matrix.data)]
    if not np.isin(given, (0, 1)).all():
        wrong = given[~np.isin(given, (0, 1))][0]
        raise ValueError(f"Unknown label type: y must hold 0, 1 or NaN for each label. Got {wrong}.")
    return matrix.astype(float), np.arange(matrix.shape[1]) if names is None else names, False
