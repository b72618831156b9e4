"""Errors: the tree of classes, and messages that start with file and line."""

from pathlib import Path

from labelcontrast import errors


def test_the_tree_in_the_docstring_lists_all_errors() -> None:
    drawn = {word for word in (errors.__doc__ or "").split() if word.endswith("Error")}
    family = {
        name
        for name, value in vars(errors).items()
        if isinstance(value, type) and issubclass(value, errors.LabelContrastError)
    }
    assert drawn == family


def test_a_data_error_starts_with_file_and_line() -> None:
    assert (
        str(errors.DataError("not JSON.", path=Path("reviews.jsonl"), line=17)) == "reviews.jsonl, line 17: not JSON."
    )
    assert str(errors.DataError("is empty.", path="reviews.jsonl")) == "reviews.jsonl: is empty."
    assert str(errors.DataError("no labels.")) == "no labels."


def test_a_missing_extra_names_the_install_command() -> None:
    assert "pip install 'labelcontrast[timm]'" in str(errors.MissingExtraError("A timm encoder", "timm"))


def test_nearest_names_only_similar_names() -> None:
    assert errors.nearest("sprots", ["sports", "politics"]) == ' (did you mean "sports"?)'
    assert errors.nearest("zzz", ["sports"]) == ""


def test_a_message_with_half_a_surrogate_pair_can_be_printed() -> None:
    assert str(errors.DataError("no label \ud83d.", path="a.csv")).encode() == b"a.csv: no label \\ud83d."
