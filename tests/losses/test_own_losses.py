"""Losses of one's own: registered by hand, by a plugin file, or by an entry point of an installed package."""

import inspect
import subprocess
import sys
from collections.abc import Callable, Iterator
from importlib.metadata import EntryPoint
from pathlib import Path
from types import SimpleNamespace
from typing import Annotated, Any, Literal

import pytest
import torch
from torch import Tensor, nn

import labelcontrast as lc
from labelcontrast.errors import ConfigError, TensorError
from labelcontrast.losses import Contrast, LossRow, coverage, jaccard, unregister_loss
from labelcontrast.losses import registry as module
from labelcontrast.losses.axes import CONTRASTIVE_ATTRIBUTES, MODULE_ATTRIBUTES
from labelcontrast.losses.registry import load_plugin, loss_row

Z = torch.randn(4, 3, generator=torch.Generator().manual_seed(0))
Y = torch.tensor([[1.0, 1.0], [1.0, 0.0], [0.0, 1.0], [0.0, 1.0]])
PLUGIN = """
import labelcontrast as lc
from labelcontrast.losses import Contrast, coverage

def mine(power: float = 2.0) -> Contrast:
    "A candidate with other labels attracts less."
    return Contrast(affinity=coverage(power), sharing="per_label")

lc.register_loss("mine", mine)
"""


@pytest.fixture(autouse=True)
def catalogue() -> Iterator[None]:
    """The catalogue as it was."""
    before = {row.name for row in lc.loss_catalogue()}
    yield
    for row in lc.loss_catalogue():
        if row.name not in before:
            unregister_loss(row.name)


def test_a_choice_on_the_axes() -> None:
    lc.register_loss("mine", Contrast(affinity=jaccard), summary="As base.", equation="x", reference="none")
    assert lc.make_loss("mine")(Z, Y) == lc.losses.base()(Z, Y)
    row = lc.loss_catalogue()[-1]
    assert (row.name, row.kind, row.summary, row.equation, row.reference) == (
        "mine",
        "contrastive",
        "As base.",
        "x",
        "none",
    )
    assert row.parameters == loss_row("base").parameters


def test_the_parameters_of_a_function_are_those_of_the_loss() -> None:
    def mine(
        power: Annotated[float, "of the share"] = 2.0,
        with_prototypes: bool = False,
        sharing: Literal["per_label", "per_anchor"] = "per_label",
    ) -> Contrast:
        """A candidate with other labels attracts less.

        And more text.
        """
        candidates: Any = ("instances", "prototypes") if with_prototypes else ("instances",)
        return Contrast(affinity=coverage(power), sharing=sharing, candidates=candidates)

    lc.register_loss("mine", mine)
    assert loss_row("mine").summary == "A candidate with other labels attracts less."
    settings = lc.check_loss("mine", {"power": 1})
    assert settings == {**loss_row("base").parameters, "power": 1.0, "with_prototypes": False, "sharing": "per_label"}
    loss = lc.make_loss("mine", power=1, temperature=0.5, with_prototypes=True, num_labels=2, dim=3)
    assert (loss.power, loss.temperature, loss.prototypes.shape) == (1.0, 0.5, (2, 3))
    assert lc.make_loss("mine", power=1)(Z, Y) == lc.make_loss("weighted", affinity="coverage", sharing="per_label")(
        Z, Y
    )
    assert loss_row("mine").takes[1].meaning == "of the share"
    for parameters, message in [
        ({"power": "a"}, "power must be a finite number. Got 'a'."),
        ({"with_prototypes": 1}, "with_prototypes must be True or False. Got 1."),
        ({"sharing": "none"}, "sharing must be one of per_label, per_anchor. Got 'none'."),
        ({"powr": 1.0}, "mine has no parameter 'powr' (did you mean \"power\"?). It has: temperature, power,"),
    ]:
        with pytest.raises(ConfigError) as caught:
            lc.check_loss("mine", parameters)
        assert str(caught.value).startswith(message)


def test_a_function_of_two_tensors() -> None:
    def hinge(logits: Tensor, labels: Tensor, *, margin: float = 1.0, steps: int | None = None) -> Tensor:
        return (margin - (2 * labels - 1) * logits).clamp(min=0).mean()

    lc.register_loss("hinge", hinge, kind="logit")
    loss = lc.make_loss("hinge", margin=2, num_labels=2)
    assert loss(torch.zeros(4, 2), Y) == 2
    assert loss.margin == 2.0
    with pytest.raises(lc.LabelContrastError, match=r"must be \[4, 2\]"):
        loss(torch.zeros(4, 3), Y)
    assert lc.check_loss("hinge", {"steps": 3}) == {"margin": 1.0, "steps": 3}


def test_a_module_of_its_own_is_handed_the_sizes() -> None:
    class Centres(nn.Module):
        """The distance to learned centres."""

        def __init__(self, num_labels: int, dim: int, *, factor: float = 1.0) -> None:
            super().__init__()
            self.centres = nn.Parameter(torch.ones(num_labels, dim))
            self.factor = factor

        def forward(self, projections: Tensor, labels: Tensor) -> Tensor:
            return self.factor * (torch.cdist(projections, self.centres) * labels).mean()

    lc.register_loss("centres", Centres, kind="contrastive")
    loss = lc.make_loss("centres", num_labels=2, dim=3, factor=2.0)
    assert isinstance(loss, Centres)
    assert loss_row("centres").summary == "The distance to learned centres."
    loss(Z, Y).backward()
    assert loss.centres.grad.any()


@pytest.mark.parametrize(
    ("name", "loss", "more", "message"),
    [
        ("reg", Contrast(affinity=jaccard), {}, "there is already a loss 'reg'."),
        (
            "my loss",
            Contrast(affinity=jaccard),
            {},
            "the name of a loss must be an identifier, as my_loss. Got 'my loss'.",
        ),
        ("mine", 3, {}, "a loss must be a Contrast or a function. Got int."),
        ("mine", lambda: 3, {}, 'mine must return a Contrast; for another loss give kind="logit" or "contrastive".'),
        (
            "mine",
            lambda x, y: 3,
            {},
            'mine has two arguments without a default: give kind="logit" or kind="contrastive", or return a Contrast.',
        ),
        ("mine", lambda x: 3, {}, "parameter x of a loss needs a default."),
        ("mine", lambda: 3, {"kind": "both"}, "kind must be one of logit, contrastive. Got 'both'."),
        ("mine", lambda a=(): 3, {}, "parameter a of a loss must be a float, int, bool, str or Literal. Got tuple."),
    ],
)
def test_refusals(name: str, loss: Any, more: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        lc.register_loss(name, loss, **more)
    assert str(caught.value) == message
    assert "mine" not in {row.name for row in lc.loss_catalogue()}


CONTRAST = Contrast(affinity=jaccard)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("class", "the name of a loss must be an identifier, as my_loss. Got 'class'."),
        ("_mine", "the name of a loss must be an identifier, as my_loss. Got '_mine'."),
        *(
            (name, f"a loss cannot be named {name!r}: labelcontrast.losses has something else of that name.")
            for name in ("make_loss", "Contrast", "kernel", "lazy_names")
        ),
    ],
)
def test_refused_names(name: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        lc.register_loss(name, CONTRAST)
    assert str(caught.value) == message


def contrast_of(arguments: str) -> Callable[..., Any]:
    """A function of some arguments, written as in its signature, that returns a contrast."""
    function: Callable[..., Any] = eval(f"lambda {arguments}: contrast", {"contrast": CONTRAST})
    return function


@pytest.mark.parametrize(
    ("loss", "kind", "message"),
    [
        *(
            (loss, kind, f"mine cannot have a parameter {name!r}: that name has another meaning in a loss.")
            for name in ("name", "weight", "joint", "forward", "training")
            for loss, kind in [
                (contrast_of(f"{name}=1.0"), None),
                (eval(f"lambda x, y, {name}=1.0: 0"), "logit"),
            ]
        ),
        (
            contrast_of("queue=1"),
            None,
            "mine cannot have a parameter 'queue': that name has another meaning in a loss.",
        ),
        (
            lambda weight=1.0: nn.Identity(),
            "logit",
            "mine cannot have a parameter 'weight': that name has another meaning in a loss.",
        ),
        (
            contrast_of("temperature=0.2"),
            None,
            "mine cannot have a parameter 'temperature': all contrastive losses have it already.",
        ),
        *(
            (contrast_of(written), None, f"mine cannot take '{written}': a Contrast depends on named parameters alone.")
            for written in ("num_labels", "dim=3", "*powers", "**powers")
        ),
        (
            contrast_of("power=1.0, /"),
            None,
            "mine cannot take 'power=1.0': a Contrast depends on named parameters alone.",
        ),
        (
            LossRow(name="mine", kind="logit", summary="Nothing."),
            None,
            "the row of mine needs a contrast or a function.",
        ),
    ],
)
def test_refused_parameters(loss: Any, kind: str | None, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        lc.register_loss(loss) if isinstance(loss, LossRow) else lc.register_loss("mine", loss, kind=kind)
    assert str(caught.value) == message
    assert "mine" not in {row.name for row in lc.loss_catalogue()}


def test_no_attribute_of_a_loss_can_be_a_parameter() -> None:
    hierarchy = SimpleNamespace(ancestors=torch.eye(2), depths=torch.tensor([0, 0]))
    made = [
        lc.losses.reg(num_labels=2, dim=3, queue_size=2),
        lc.losses.himulcon(hierarchy=hierarchy, layer_penalty="learned"),
        lc.losses.jaccard_sigmoid(),
        lc.losses.bce(),
    ]
    for loss in made:
        refused = MODULE_ATTRIBUTES | (CONTRASTIVE_ATTRIBUTES if "temperature" in loss.settings else set())
        assert {name for name in dir(loss) if not name.startswith("_")} - loss.settings.keys() <= refused


@pytest.mark.parametrize(
    ("axis", "value", "message"),
    [
        ("sharing", "per_lable", "one of per_anchor, per_label, per_positive, per_level, none. Got 'per_lable'."),
        ("averaging", ["mean_all"], "one of mean_valid, mean_all, label_count, mean_kinds. Got ['mean_all']."),
        ("candidates", ("instances", "keys"), "a tuple of instances and prototypes. Got ('instances', 'keys')."),
        ("candidates", "instances", "a tuple of instances and prototypes. Got 'instances'."),
        ("candidates", (), "a tuple of instances and prototypes. Got ()."),
        (
            "anchors",
            ("instances", "prototypes"),
            "instances alone, or both kinds where both are candidates. Got ('instances', 'prototypes').",
        ),
        ("affinity", "jaccard", "a function of three counts. Got 'jaccard'."),
        ("pair_prior", 1, "a function of three counts. Got 1."),
        ("instance_prior", 0, "a number from 1e-20 to 1e+20. Got 0."),
    ],
)
def test_a_contrast_off_the_axes_is_refused(axis: str, value: Any, message: str, unchecked: None) -> None:
    with pytest.raises(ConfigError) as caught:
        Contrast(**{"affinity": jaccard, axis: value})
    assert str(caught.value) == f"{axis} must be {message}"


@pytest.mark.parametrize(
    ("affinity", "message"),
    [
        (lambda o, i, j: o / (i + j - o), "must be a number from 0. Got nan for sets of 0 and 0 labels, 0 in common."),
        (lambda o, i, j: o - 2, "must be a number from 0. Got -2 for sets of 0 and 0 labels, 0 in common."),
        (lambda o, i, j: i + 1 / (2 - j), "must be a number from 0. Got inf for sets of 0 and 2 labels, 0 in common."),
        (lambda o, i, j: 1.0, "must return floats in the shape of the overlap. Got float."),
        (lambda o, i, j: i / (1 + i), "must return floats in the shape of the overlap. Got torch.float32 [5, 1]."),
        (lambda o, i, j: o > 1, "must return floats in the shape of the overlap. Got torch.bool [5, 5]."),
        (lambda o, i, j: o[9], "raised IndexError: index 9 is out of bounds for dimension 0 with size 5"),
    ],
)
@pytest.mark.parametrize("axis", ["affinity", "prototype_affinity", "pair_prior"])
def test_an_affinity_that_is_no_weight_is_refused(axis: str, affinity: Any, message: str) -> None:
    lc.register_loss("mine", Contrast(**{"affinity": jaccard, axis: affinity}))
    with pytest.raises(ConfigError) as caught:
        lc.make_loss("mine")
    assert str(caught.value) == f"the affinity of mine {message}"


def test_a_loss_without_parameters_says_so() -> None:
    lc.register_loss("mine", lambda x, y: x.sum(), kind="logit")
    with pytest.raises(ConfigError, match=r"mine has no parameter 'a'\. It takes no parameters\.$"):
        lc.check_loss("mine", {"a": 1})


@pytest.mark.parametrize("kind", ["logit", "contrastive"])
@pytest.mark.parametrize(
    ("returns", "found"), [(lambda x: x.sum(1), r"shape \[4\]"), (float, "float"), (lambda _: None, "NoneType")]
)
def test_a_loss_of_your_own_must_return_a_scalar(
    kind: str, returns: Callable[[Tensor], Any], found: str, unchecked: None
) -> None:
    class Module(nn.Module):
        def forward(self, x: Tensor, y: Tensor) -> Any:
            return returns(x[:, :2].sum() if returns is float else x)

    def mine(x: Tensor, y: Tensor) -> Any:
        return Module()(x, y)

    lc.register_loss("mine", mine, kind=kind)
    lc.register_loss("made", Module, kind=kind)
    for name in ("mine", "made"):
        with pytest.raises(TensorError, match=rf"the loss {name} must return a scalar tensor\. Got {found}\."):
            lc.make_loss(name)(Z[:, :2], Y)


def test_a_loss_is_registered_again_by_the_same_module() -> None:
    lc.register_loss("mine", Contrast(affinity=jaccard))
    lc.register_loss("mine", Contrast(affinity=coverage(2.0)), summary="The second.")
    assert loss_row("mine").summary == "The second."
    assert lc.losses.mine(temperature=0.2)(Z, Y) == lc.make_loss("mine", temperature=0.2)(Z, Y)
    unregister_loss("mine")
    for gone in ("mine", "reg"):
        with pytest.raises(ConfigError, match=f"there is no registered loss '{gone}'."):
            unregister_loss(gone)
    with pytest.raises(AttributeError, match=r"module 'labelcontrast.losses' has no attribute 'mine'"):
        lc.losses.mine  # noqa: B018


def test_a_loss_of_another_module_is_not_replaced(tmp_path: Path) -> None:
    (tmp_path / "my_losses.py").write_text(PLUGIN)
    program = """
import labelcontrast as lc
from labelcontrast.losses.registry import load_plugin
load_plugin("my_losses.py")
try:
    lc.register_loss("mine", lc.losses.Contrast(affinity=lc.losses.jaccard))
except lc.LabelContrastError as error:
    print(error, lc.losses.mine().power)
"""
    run = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert run.stdout == "there is already a loss 'mine'. 2.0\n"


def test_a_maker_that_makes_no_loss() -> None:
    lc.register_loss("mine", lambda: 3, kind="logit")
    with pytest.raises(ConfigError, match=r"mine must make a function or module\. Got int\."):
        lc.make_loss("mine")


def test_a_plugin_file_is_run_once(tmp_path: Path) -> None:
    file = tmp_path / "my_losses.py"
    file.write_text(PLUGIN)
    load_plugin(file)
    load_plugin(str(file))
    assert lc.make_loss("mine", power=0.0)(Z, Y) == lc.make_loss("weighted", sharing="per_label")(Z, Y)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "there is no such file."),
        ("def", "cannot be loaded: SyntaxError: invalid syntax"),
        ("\0\0", "cannot be loaded: SyntaxError: source code string cannot contain null bytes"),
        ("import no_such_thing", "cannot be loaded: ModuleNotFoundError: No module named 'no_such_thing'"),
        (
            '{"text": "a ball", "labels": ["sports"]}',
            "cannot be loaded: it registers no loss; it must call",
        ),
        (f"{PLUGIN}\nraise SystemExit(3)", "cannot be loaded: SystemExit: 3"),
        (f"{PLUGIN}\n1 / 0", "cannot be loaded: ZeroDivisionError: division by zero"),
        (f"{PLUGIN}\nlc.register_loss('reg', mine)", "cannot be loaded: there is already a loss 'reg'."),
    ],
)
def test_a_plugin_that_fails_leaves_nothing_behind(text: str | None, message: str, tmp_path: Path) -> None:
    file = tmp_path / "my_losses.py"
    if text is not None:
        file.write_text(text)
    with pytest.raises(ConfigError) as caught:
        load_plugin(file)
    assert str(caught.value).startswith(f"plugin {file}")
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
    assert "mine" not in {row.name for row in lc.loss_catalogue()}


def test_plugins_need_no_torch(tmp_path: Path) -> None:
    file = tmp_path / "my_losses.py"
    file.write_text(PLUGIN)
    program = f"""
import sys
import labelcontrast as lc
from labelcontrast.losses.registry import load_plugin
load_plugin({str(file)!r})
print(lc.check_loss("mine", {{}})["power"], "torch" in sys.modules)
"""
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert run.stdout.split() == ["2.0", "False"]


def test_an_entry_point_of_an_installed_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "their_losses.py").write_text(PLUGIN.replace('lc.register_loss("mine", mine)', ""))
    monkeypatch.syspath_prepend(tmp_path)
    found = [EntryPoint("theirs", "their_losses:mine", module.ENTRY_POINTS)]
    monkeypatch.setattr(module, "entry_points", lambda group: found if group == module.ENTRY_POINTS else [])
    assert lc.check_loss("theirs", {})["power"] == 2.0
    assert "theirs" in {row.name for row in lc.loss_catalogue()}
    found.append(EntryPoint("broken", "no_such_package:loss", module.ENTRY_POINTS))
    assert lc.check_loss("reg", {})["alpha"] == 0.0
    with pytest.raises(ConfigError, match="the loss broken of no_such_package:loss cannot be loaded: ModuleNotFoundE"):
        lc.check_loss("broken", {})


def test_a_registered_loss_passes_the_settings(tmp_path: Path) -> None:
    lc.register_loss("mine", Contrast(affinity=jaccard))
    from labelcontrast.run.validation import validate_settings

    settings = lc.RunSettings.build({"data": "a", "loss": {"name": "mine", "temperature": 0.2}})
    assert validate_settings(settings) == "contrastive"


@pytest.mark.parametrize("row", lc.loss_catalogue(), ids=lambda row: row.name)
def test_every_loss_is_a_public_function(row: lc.losses.LossRow) -> None:
    make = getattr(lc.losses, row.name)
    signature = inspect.signature(make)
    assert {name: one.default for name, one in signature.parameters.items()}.items() >= row.parameters.items()
    assert make.__name__ == row.name
    assert make.__doc__.startswith(row.summary)
    assert row.equation in make.__doc__
    assert all(f"    {parameter.name}: " in make.__doc__ for parameter in row.takes)
    assert f"        {row.name}(" in lc.make_loss.__doc__


def test_settings_are_attributes_and_shown() -> None:
    loss = lc.losses.reg(num_labels=2, dim=3, alpha=1)
    assert (loss.alpha, loss.temperature, loss.stop_repulsion, loss.block_size) == (1.0, 0.1, 1.0, None)
    assert repr(loss).startswith("ContrastiveLoss(reg, temperature=0.1, alpha=1.0, prototype_anchors=True, instance_at")
    assert repr(lc.losses.focal(gamma=1)) == "LogitLoss(focal, gamma=1.0, alpha=None, reduction='mean')"
    assert lc.losses.focal().gamma == 2.0
    assert isinstance(lc.losses.jaccard_sigmoid().bias, nn.Parameter)
    with pytest.raises(AttributeError, match="has no attribute 'gamma'"):
        loss.gamma  # noqa: B018
    with pytest.raises(ConfigError, match="reg has no parameter 'gamma'"):
        lc.losses.reg(gamma=2.0)


@pytest.mark.parametrize(
    ("name", "setting", "value"),
    [
        ("supcon", "temperature", 1),
        ("reg", "stop_repulsion", 0.5),
        ("mulsupcon", "reduction", "sum"),
        ("supcon", "base_temperature", 0.07),
        ("base", "reduction", "none"),
        ("himulcone", "temperature", 0.5),
        ("hicone", "base_temperature", 0.07),
        ("focal", "gamma", 0.5),
        ("asl", "margin", 0.2),
        ("bce", "reduction", "sum"),
        ("hinge", "margin", 2),
    ],
)
def test_an_assigned_setting_takes_effect(name: str, setting: str, value: Any) -> None:
    def hinge(logits: Tensor, labels: Tensor, *, margin: float = 1.0) -> Tensor:
        return (margin - (2 * labels - 1) * logits).clamp(min=0).mean()

    lc.register_loss("hinge", hinge, kind="logit")
    row = loss_row(name)
    sizes: dict[str, Any] = {"num_labels": 3} | ({"dim": 3} if row.kind == "contrastive" else {})
    if row.needs_hierarchy:
        ancestors = torch.tensor([[1, 0, 1], [0, 1, 1], [0, 0, 1]])
        sizes |= {
            "hierarchy": SimpleNamespace(ancestors=ancestors, depths=torch.tensor([1, 1, 0])),
            "variant": "released",
        }
    labels = torch.cat([Y, Y[:, :1]], dim=1)
    loss = lc.make_loss(name, **sizes, generator=torch.Generator().manual_seed(0))
    expected = lc.make_loss(name, **sizes, generator=torch.Generator().manual_seed(0), **{setting: value})
    before = loss(Z, labels)
    setattr(loss, setting, value)
    assert getattr(loss, setting) == value
    assert repr(loss) == repr(expected)
    assert torch.equal(loss(Z, labels), expected(Z, labels))
    assert not torch.equal(loss(Z, labels), before)


def test_pair_statistics_are_switched_on_by_assignment() -> None:
    loss = lc.losses.supcon()
    loss(Z, Y)
    assert loss.diagnostics == {}
    loss.diagnostics = True
    loss(Z, Y)
    assert loss.diagnostics["anchors_without_positives"] == 0


@pytest.mark.parametrize(
    ("name", "setting", "value", "message"),
    [
        ("supcon", "temperature", -1, "temperature must be a number from 0.002 to 1000. Got -1."),
        ("reg", "alpha", 1.0, "alpha is fixed when reg is made; make a new loss."),
        ("supcon", "queue_size", 8, "queue_size is fixed when supcon is made; make a new loss."),
        ("focal", "gamma", -1, "gamma must be a number from 0 to 1000. Got -1."),
        ("hicone", "gather", True, "hicone compares the pairs of one process: gather must be False."),
    ],
)
def test_refused_assignments(name: str, setting: str, value: object, message: str) -> None:
    hierarchy = SimpleNamespace(ancestors=torch.eye(2), depths=torch.tensor([0, 0]))
    sizes = {"dim": 3} if loss_row(name).kind == "contrastive" else {}
    more = {"hierarchy": hierarchy} if loss_row(name).needs_hierarchy else {}
    loss = lc.make_loss(name, num_labels=2, **sizes, **more)
    before = repr(loss)
    with pytest.raises(ConfigError) as caught:
        setattr(loss, setting, value)
    assert str(caught.value) == message
    assert repr(loss) == before


@pytest.mark.parametrize("name", ["supcon", "himulcon", "bce"])
def test_a_misspelt_setting_cannot_be_assigned(name: str) -> None:
    hierarchy = SimpleNamespace(ancestors=torch.eye(2), depths=torch.tensor([0, 0]))
    loss = lc.make_loss(name, hierarchy=hierarchy if name == "himulcon" else None)
    with pytest.raises(AttributeError, match=rf"^{name} has no setting 'reducton' \(did you mean \"reduction\"\?\)\.$"):
        loss.reducton = "sum"
    loss.note = "of an experiment"
    assert loss.note == "of an experiment"
