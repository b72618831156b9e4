"""The verbs below ``labels``, which change the labels of a trained model without training its encoder."""

from typing import Annotated

import typer

from labelcontrast.cli import options


def add(
    run: options.Run,
    name: Annotated[str, typer.Argument(metavar="NAME", help="The new label.")],
    *,
    examples: Annotated[
        str,
        typer.Option(
            metavar="FILE",
            help="Examples: all have the label if the file has no labels, else those whose labels name it.",
        ),
    ],
    below: Annotated[str, typer.Option(metavar="NODE", help="The node of the hierarchy above the label.")] = "",
    frequency: Annotated[
        float | None,
        typer.Option(help="Expected share of examples with it.", show_default="as in training, or as other labels"),
    ] = None,
    data: options.RunData = None,
    out: options.Version = None,
    as_json: options.AsJson = False,
) -> None:
    """Add a label from a few examples of it.

    Its row of every view is fitted on the features that the run keeps, and measured on examples that are held out.
    """
    from labelcontrast.cli.printing import print_change
    from labelcontrast.settings import LabelChange

    change = LabelChange(verb="add", labels=(name,), examples=examples, below=below)
    print_change(run, change, frequency=frequency, data=data, out=out, as_json=as_json)


def remove(
    run: options.Run,
    names: options.LabelNames,
    *,
    data: options.RunData = None,
    out: options.Version = None,
    as_json: options.AsJson = False,
) -> None:
    """Remove labels."""
    from labelcontrast.cli.printing import print_change
    from labelcontrast.settings import LabelChange

    print_change(run, LabelChange(verb="remove", labels=tuple(names)), data=data, out=out, as_json=as_json)


def rename(
    run: options.Run,
    name: Annotated[str, typer.Argument(metavar="NAME", help="A label.")],
    into: Annotated[str, typer.Argument(metavar="NEW", help="Its new name.")],
    *,
    data: options.RunData = None,
    out: options.Version = None,
    as_json: options.AsJson = False,
) -> None:
    """Rename a label."""
    from labelcontrast.cli.printing import print_change
    from labelcontrast.settings import LabelChange

    print_change(run, LabelChange(verb="rename", labels=(name,), into=into), data=data, out=out, as_json=as_json)


def merge(
    run: options.Run,
    names: options.LabelNames,
    *,
    into: Annotated[str, typer.Option(metavar="NEW", help="The name of the merged label.")],
    data: options.RunData = None,
    out: options.Version = None,
    as_json: options.AsJson = False,
) -> None:
    """Merge labels into one, which an example has if it has any of them."""
    from labelcontrast.cli.printing import print_change
    from labelcontrast.settings import LabelChange

    print_change(run, LabelChange(verb="merge", labels=tuple(names), into=into), data=data, out=out, as_json=as_json)


def thresholds(
    run: options.Run,
    *,
    names: Annotated[
        list[str] | None, typer.Option("--label", metavar="NAME", help="A label; repeatable.", show_default="all")
    ] = None,
    precision: Annotated[float | None, typer.Option(help="Smallest precision; the best recall is taken.")] = None,
    recall: Annotated[float | None, typer.Option(help="Smallest recall; the best precision is taken.")] = None,
    cost: Annotated[
        str | None, typer.Option(metavar="WRONG:MISSED", help="Costs of a wrong and of a missed label, as in 1:5.")
    ] = None,
    data: options.RunData = None,
    out: options.Version = None,
    as_json: options.AsJson = False,
) -> None:
    """Choose thresholds by precision, by recall or by cost."""
    costs = None if cost is None else options.two_numbers(cost)
    from labelcontrast.cli.printing import print_thresholds

    wanted = {"precision": precision, "recall": recall, "cost": costs}
    print_thresholds(run, names or None, wanted, data=data, out=out, as_json=as_json)


def log(run: options.Run, *, as_json: options.AsJson = False) -> None:
    """List the changes of the labels since training."""
    from labelcontrast.cli.printing import print_changes

    print_changes(run, as_json=as_json)


def undo(run: options.Run) -> None:
    """Remove a version, and say which run it was made from."""
    from labelcontrast.cli.printing import print_undo

    print_undo(run)
