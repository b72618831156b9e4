"""One place for what a comparison, a study and a search have in common."""

from dataclasses import fields

import pytest

from labelcontrast.studies import comparison
from labelcontrast.studies.declared import running
from labelcontrast.studies.engine.options import RunOptions
from labelcontrast.studies.search import searching


@pytest.mark.parametrize("options", [comparison.Options, running.Options, searching.Options])
def test_what_is_in_common_is_said_once(options: type[RunOptions]) -> None:
    own = set(options.__annotations__)
    common = {field.name for field in fields(RunOptions)}
    assert not own & common
    assert {field.name for field in fields(options)} == own | common
    assert options(jobs=3).jobs == 3
