"""What cannot be had without a hierarchy is named as it is set."""

import pytest

from labelcontrast.config.settings import RunSettings
from labelcontrast.run.hierarchical.needs import needs_hierarchy


@pytest.mark.parametrize(
    ("values", "what"),
    [
        ({}, None),
        ({"loss": {"name": "mulsupcon"}, "hierarchy": {"file": "a.json", "same_name": "path"}}, None),
        ({"loss": {"name": "himulcone"}, "hierarchy": {"closure": True}}, "himulcone"),
        ({"loss": {"name": "zlpr", "joint": {"name": "himulcon"}}}, "himulcon"),
        ({"hierarchy": {"consistency": "max"}}, "hierarchy.consistency=max"),
        ({"hierarchy": {"train_on": "lowest"}}, "hierarchy.train_on=lowest"),
        ({"hierarchy": {"hold_out": 0.25}}, "hierarchy.hold_out=0.25"),
        ({"training": {"sampler": "hierarchical"}}, "training.sampler=hierarchical"),
    ],
)
def test_the_first_thing_that_needs_one_is_named(values: dict, what: str | None) -> None:
    assert needs_hierarchy(RunSettings.build({"data": "a", **values})) == what
