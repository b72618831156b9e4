"""The door: of which kind a loss is, and what cannot work."""

import pytest

from labelcontrast.config import RunSettings
from labelcontrast.contrast.catalogue import loss_catalogue
from labelcontrast.door import check_door
from labelcontrast.errors import ConfigError


@pytest.mark.parametrize("row", loss_catalogue(), ids=lambda row: row.name)
def test_every_loss_passes_with_its_kind(row) -> None:
    assert check_door(RunSettings.build({"data": "a", "loss": {"name": row.name}})) == row.kind


def test_one_example_at_a_time_is_enough_for_a_logit_loss_only() -> None:
    values = {"data": "a", "training": {"batch_size": 1}}
    assert check_door(RunSettings.build({**values, "loss": {"name": "zlpr"}})) == "logit"
    with pytest.raises(ConfigError) as refusal:
        check_door(RunSettings.build({**values, "loss": {"name": "supcon"}}))
    assert (
        str(refusal.value) == "training.batch_size must be at least 2: supcon compares the examples of a batch. Got 1."
    )
