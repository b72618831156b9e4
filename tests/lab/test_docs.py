"""The page about the studies is that of the catalogue, and the declaration that it shows is one."""

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

from labelcontrast.lab.plan import plan_study
from labelcontrast.lab.study import catalogue, find_study

DOCS = Path(__file__).parents[2] / "docs"


@pytest.fixture(scope="module")
def maker() -> ModuleType:
    spec = importlib.util.spec_from_file_location("make_studies", DOCS / "make_studies.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_page_is_that_of_the_catalogue(maker: ModuleType) -> None:
    page = (DOCS / "studies.md").read_text()
    assert page == maker.page(), "run python docs/make_studies.py"
    assert sorted(name for names in maker.PARTS.values() for name in names) == sorted(catalogue())
    for name, study in catalogue().items():
        assert f"\n### {name}\n\n{study.question}\n" in page
        assert f"labelcontrast study {name} " in page


def test_the_declaration_that_is_shown_is_short_and_can_be_planned(maker: ModuleType, tmp_path: Path) -> None:
    path = tmp_path / "projections.toml"
    path.write_text(maker.MINE)
    assert len(maker.MINE.splitlines()) <= 40
    assert maker.MINE in (DOCS / "studies.md").read_text()
    planned = plan_study(find_study(str(path)), ["data.csv"], {})
    assert len(planned) == 3 * 3 * 3
    assert {one.settings.training.epochs for one in planned} == {20}
    assert {one.settings.training.projection_dim for one in planned} == {16, 64, 256}
