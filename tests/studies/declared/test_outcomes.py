"""Which trials a cell is made of."""

from labelcontrast.studies.declared.outcomes import Outcome, count_runs, measured, row_places, values_of


def outcome(value: float | None, **place: object) -> Outcome:
    record = {"result": {"metrics": {"test": {"macro_f1": value}}}} if value is not None else {"error": "no"}
    return Outcome({name.replace("__", "."): one for name, one in place.items()}, record)


OUTCOMES = [
    outcome(0.1, loss="bce", seed=0),
    outcome(0.2, loss="reg", loss__alpha=0, seed=0),
    outcome(0.3, loss="reg", loss__alpha=1, seed=0),
    outcome(0.5, loss="reg", loss__alpha=1, seed=1),
    outcome(None, loss="reg", loss__alpha=0, seed=1),
    Outcome({"loss": "bce", "seed": 1}, None),
]


def test_values_are_those_of_the_seeds_of_a_place() -> None:
    assert measured(OUTCOMES, {"loss": "reg", "loss.alpha": 1}, "macro_f1") == [0.3, 0.5]
    assert measured(OUTCOMES, {"loss": "reg", "loss.alpha": 0}, "macro_f1") == [0.2]
    assert measured(OUTCOMES, {"loss": "bce", "loss.alpha": 1}, "macro_f1") == [0.1]
    assert measured(OUTCOMES, {"loss": "zlpr"}, "macro_f1") == []


def test_rows_are_the_combinations_that_occur() -> None:
    assert row_places(OUTCOMES, ("loss", "loss.alpha")) == [
        {"loss": "bce"},
        {"loss": "reg", "loss.alpha": 0},
        {"loss": "reg", "loss.alpha": 1},
    ]
    assert values_of(OUTCOMES, "loss.alpha") == [0, 1]
    assert values_of(OUTCOMES, "seed") == [0, 1]


def test_rows_are_sorted_by_the_first_dimension_then_by_the_second() -> None:
    rows = row_places(OUTCOMES, ("loss.alpha", "loss"))
    assert rows == [{"loss": "bce"}, {"loss.alpha": 0, "loss": "reg"}, {"loss.alpha": 1, "loss": "reg"}]
    found = [outcome(0.1, loss=loss, train_fraction=share) for loss in ("reg", "bce") for share in (1.0, 0.1)]
    places = row_places(found, ("train_fraction", "loss"))
    assert [(one["train_fraction"], one["loss"]) for one in places] == [
        (1.0, "reg"),
        (1.0, "bce"),
        (0.1, "reg"),
        (0.1, "bce"),
    ]


def test_what_failed_or_has_not_ended_is_counted_as_such() -> None:
    assert count_runs(OUTCOMES, {"loss": "bce"}) == "1 of 2"
    assert count_runs(OUTCOMES, {"loss": "reg", "loss.alpha": 0}) == "1 of 2"
    assert count_runs(OUTCOMES, {"loss": "reg", "loss.alpha": 1}) == "2"
    assert [one.error for one in OUTCOMES] == [None, None, None, None, "no", None]
