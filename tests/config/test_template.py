"""The template: it is TOML, it is the defaults, and no setting is missing."""

import tomllib

from labelcontrast.config.settings import RunSettings
from labelcontrast.config.template import settings_template


def test_the_template_has_every_setting_and_is_the_defaults() -> None:
    text = settings_template()
    values = tomllib.loads(text) | {"data": "a.csv"}
    assert RunSettings.build(values) == RunSettings(data="a.csv")
    sections = RunSettings.model_fields["training"].annotation.model_fields
    for name, field in sections.items():
        assert field.description, name
        assert f"# {field.description.replace('``', '')}\n" in text, name
