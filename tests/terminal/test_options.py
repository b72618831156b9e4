"""Settings out of what a verb takes: a file, options over it, single assignments over both."""

from pathlib import Path

from labelcontrast.terminal.options import build_settings, chosen_loss, common


def test_an_assignment_goes_before_an_option_and_an_option_before_the_file(tmp_path: Path) -> None:
    (tmp_path / "a.toml").write_text('data = "a.csv"\nseed = 1\n[training]\nepochs = 1\nbatch_size = 8\n')
    given = {"seed": 2, **common(None, 2, None, None, None)}
    settings = build_settings(tmp_path / "a.toml", given, ["training.epochs=3"])
    assert (settings.data, settings.seed) == ("a.csv", 2)
    assert (settings.training.epochs, settings.training.batch_size) == (3, 8)


def test_a_loss_that_is_given_is_all_of_the_loss(tmp_path: Path) -> None:
    (tmp_path / "a.toml").write_text('data = "a.csv"\n[loss]\nname = "reg"\nalpha = 1\n')
    settings = build_settings(tmp_path / "a.toml", {"loss": chosen_loss("zlpr+0.5*supcon")})
    assert settings.loss.title == "zlpr+0.5*supcon"
    assert build_settings(tmp_path / "a.toml", {"loss": chosen_loss(None)}).loss.title == "reg alpha=1"
