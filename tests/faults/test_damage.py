"""Damaged run folders, a sample; ``python tests/faults/damage.py --each 12`` tries more."""

from pathlib import Path

import pytest

from faults import damage


@pytest.mark.slow
def test_a_damaged_folder_is_refused_or_answers_as_before(tmp_path: Path) -> None:
    found = [
        row for case in damage.make_cases(tmp_path).values() for row in damage.measure(case, tmp_path, each=1, step=7)
    ]
    result = damage.summary_of(found)
    assert result["failures"] == []
    assert all(count["refused"] > 5 and count["unharmed"] > 5 for count in result["outcomes"].values())


def test_another_value_is_another_value() -> None:
    chance = damage.random.Random(0)
    content = {"a": [1, {"b": None}], "c": "x"}
    changed = [damage.another_value(content, chance) for _ in range(50)]
    assert all(one != content for one in changed)
    assert content == {"a": [1, {"b": None}], "c": "x"}
