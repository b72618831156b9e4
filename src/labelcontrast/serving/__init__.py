"""Trained models behind an address: an HTTP API and a web page, in one process."""

from typing import TYPE_CHECKING

from labelcontrast.doors import lazy_names

if TYPE_CHECKING:
    from labelcontrast.serving.app import make_app as make_app
    from labelcontrast.serving.gate import Limits as Limits
    from labelcontrast.serving.server import serve as serve

__getattr__, __dir__, __all__ = lazy_names(__name__, {"app": ["make_app"], "gate": ["Limits"], "server": ["serve"]})
