"""Every setting with its sentence and its default, as a TOML file to start from."""

import tomli_w
from pydantic.fields import FieldInfo

from labelcontrast.config.settings import RunSettings, is_section


def settings_template() -> str:
    r"""Write every setting with its sentence and its default as TOML; what has no default is commented out.

    Example:
        >>> print(settings_template().partition("\n\n")[0])
        # A file or a folder in any known format.
        # data =
    """
    fields = {name: field for name, field in RunSettings.model_fields.items() if not is_section(field)}
    sections = {name: field.annotation for name, field in RunSettings.model_fields.items() if is_section(field)}
    parts = [_template(fields)]
    parts += [f"[{name}]\n{_template(section.model_fields)}" for name, section in sections.items() if section]
    return "\n".join(parts)


def _template(fields: dict[str, FieldInfo]) -> str:
    """Write fields as TOML, each below its sentence."""
    lines = []
    for name, field in fields.items():
        optional = field.is_required() or field.default is None
        value = f"# {name} =" if optional else tomli_w.dumps({name: field.default}).strip()
        lines.append(f"# {(field.description or '').replace('``', '')}\n{value}\n")
    return "\n".join(lines)
