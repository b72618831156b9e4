"""The checkup: every check in turn, as findings and as text."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from textwrap import wrap

import numpy as np
from jaxtyping import Float

from labelcontrast.data.describe import Description
from labelcontrast.data.doctor.findings import Finding, about_examples
from labelcontrast.data.doctor.label_findings import about_cleanlab, about_labels
from labelcontrast.data.doctor.suspects import Suspect, cleanlab_rows, out_of_fold, plain_features, suspects
from labelcontrast.data.splitting.splits import Splits

WIDTH = 100


@dataclass(frozen=True)
class Checkup:
    """All that was found, and the labels of train that are suspected, the worst first."""

    findings: tuple[Finding, ...]
    suspects: tuple[Suspect, ...] = field(repr=False)


def check(
    splits: Splits,
    description: Description,
    *,
    features: Float[np.ndarray, "examples dim"] | None = None,
    cleanlab: bool = False,
) -> Checkup:
    """Look for everything that the doctor knows of.

    Args:
        splits: the data, every picture readable.
        description: of the same data; repeats and truncation are taken from it.
        features: of train, for the probe that suspects labels; by default what needs no encoder.

        cleanlab: whether cleanlab shall judge the same probabilities too; it is an extra.

    Returns:
        What was found: about examples, then about labels.

    Raises:
        MissingExtraError: when cleanlab is asked for and not installed.
    """
    train = splits.vocabulary.encode(splits.train.label_sets or [])
    rows = plain_features(splits.train) if features is None else features
    probabilities = out_of_fold(rows, train)
    found = suspects(probabilities, train)
    findings = [*about_examples(splits, description), *about_labels(splits, train, found)]
    if cleanlab:
        findings += about_cleanlab(splits, cleanlab_rows(probabilities, train))
    return Checkup(tuple(findings), tuple(found))


def render_findings(findings: Sequence[Finding]) -> str:
    """Write findings for a reader: a sentence each, its examples below it.

    Example:
        >>> print(render_findings([Finding("empty", 1, "1 texts of train have no word", ("a.csv, line 7: ''",))]))
        Doctor
          - 1 texts of train have no word.
              a.csv, line 7: ''
    """
    if not findings:
        return "Doctor\n  Nothing was found."
    lines = ["Doctor"]
    for finding in findings:
        lines += wrap(f"{finding.sentence}.", WIDTH, initial_indent="  - ", subsequent_indent="    ")
        for instance in finding.instances:
            lines += wrap(instance, WIDTH, initial_indent=" " * 6, subsequent_indent=" " * 8, break_on_hyphens=False)
    return "\n".join(lines)
