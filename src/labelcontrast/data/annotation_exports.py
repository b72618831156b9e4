"""Records of annotation tools, Label Studio and Argilla, as rows: the fields of an example beside its labels."""

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from labelcontrast.errors import DataError

LABELS = "labels"
"""The column of the labels, if annotators were asked one question."""


def annotated_rows(records: Sequence[Any], path: Path) -> list[dict[str, Any]] | None:
    """Return the rows of an export, or None if the records are no export that is known.

    A label is given if at least half of those who answered chose it; where there is a ground truth, it counts alone.

    Args:
        records: The parsed file: tasks of Label Studio (``data`` and ``annotations``), or records of Argilla
            (``fields`` and ``responses``). Exports of Doccano are plain rows.
        path: The file, for error messages.

    Returns:
        Rows with the fields of an example, its id, and a list of labels for each question; its column is ``labels`` if
        there is one question.

    Raises:
        DataError: A record has no answer, or no record has a choice of labels.

    Example:
        >>> task = {"id": 7, "data": {"text": "A late goal"}, "annotations": [
        ...     {"result": [{"type": "choices", "from_name": "topic", "value": {"choices": ["sports"]}}]}]}
        >>> annotated_rows([task], Path("tasks.json"))
        [{'id': 7, 'text': 'A late goal', 'labels': ['sports']}]
    """
    first = records[0] if records and isinstance(records[0], Mapping) else {}
    known = (
        ("data", "annotations", _label_studio_answers, "Label Studio"),
        ("fields", "responses", _argilla_answers, "Argilla"),
    )
    found = next(((fields, read, tool) for fields, given, read, tool in known if first.keys() >= {fields, given}), None)
    if found is None:
        return None
    fields, answers_of, tool = found
    read = []
    for number, record in enumerate(records, 1):
        if not isinstance(record, Mapping) or not isinstance(record.get(fields), Mapping):
            raise DataError(f"expected a record of {tool} with {fields}.", path=f"{path}, row {number}")
        if not (answers := answers_of(record)):
            message = f"nobody annotated it; export the annotated records of {tool} only."
            raise DataError(message, path=f"{path}, row {number}")
        identity = {"id": record["id"]} if "id" in record else {}
        read.append(({**identity, **record[fields]}, answers))
    questions = list(dict.fromkeys(name for _, answers in read for answer in answers for name in answer))
    if not questions:
        raise DataError(f"no record of {tool} has a choice of labels.", path=path)
    columns = [LABELS] if len(questions) == 1 else questions
    return [
        {**row, **{column: _agreed(answers, name) for column, name in zip(columns, questions, strict=True)}}
        for row, answers in read
    ]


def _agreed(answers: Sequence[Mapping[str, Sequence[str]]], question: str) -> list[str]:
    """Return the labels that at least half of the answers hold, in the order in which they were first given."""
    counts = Counter(label for answer in answers for label in dict.fromkeys(answer.get(question, ())))
    return [label for label, count in counts.items() if 2 * count >= len(answers)]


def _label_studio_answers(task: Mapping[str, Any]) -> list[dict[str, list[str]]]:
    given = [one for one in task.get("annotations") or () if not one.get("was_cancelled")]
    given = [one for one in given if one.get("ground_truth")] or given
    answers = []
    for annotation in given:
        answer: dict[str, list[str]] = {}
        for region in annotation.get("result") or ():
            if region.get("type", "choices") == "choices":
                answer.setdefault(str(region.get("from_name", LABELS)), []).extend(region["value"]["choices"])
        answers.append(answer)
    return answers


def _argilla_answers(record: Mapping[str, Any]) -> list[dict[str, list[str]]]:
    """Gather the answers of each user: a list of labels, or one label; suggestions and other answers are no labels."""
    by_user: dict[str, dict[str, list[str]]] = {}
    for question, responses in (record.get("responses") or {}).items():
        for response in responses or ():
            value = response.get("value")
            labels = [value] if isinstance(value, str) else value
            if isinstance(labels, list) and all(isinstance(label, str) for label in labels):
                by_user.setdefault(str(response.get("user_id")), {})[question] = labels
    return list(by_user.values())
