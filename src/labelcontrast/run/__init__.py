"""One run: its settings validated, its inputs, training, evaluation and folder, and the use of the trained model."""

from typing import TYPE_CHECKING

from labelcontrast.doors import lazy_names

if TYPE_CHECKING:
    from labelcontrast.run.changes import Version as Version
    from labelcontrast.run.changes import change_labels as change_labels
    from labelcontrast.run.changes import read_changes as read_changes
    from labelcontrast.run.changes import set_thresholds as set_thresholds
    from labelcontrast.run.changes import undo_change as undo_change
    from labelcontrast.run.evaluation import ModelEvaluation as ModelEvaluation
    from labelcontrast.run.evaluation import evaluate as evaluate
    from labelcontrast.run.explanation import Explanation as Explanation
    from labelcontrast.run.explanation import LabelExplanation as LabelExplanation
    from labelcontrast.run.explanation import Neighbour as Neighbour
    from labelcontrast.run.explanation import Part as Part
    from labelcontrast.run.fitting import Callbacks as Callbacks
    from labelcontrast.run.folder import RunResult as RunResult
    from labelcontrast.run.inputs import load_inputs as load_inputs
    from labelcontrast.run.model import TrainedModel as TrainedModel
    from labelcontrast.run.model import embed as embed
    from labelcontrast.run.model import load as load
    from labelcontrast.run.model import predict as predict
    from labelcontrast.run.report import write_report as write_report
    from labelcontrast.run.validation import validate_settings as validate_settings

__getattr__, __dir__, __all__ = lazy_names(
    __name__,
    {
        "changes": ["Version", "change_labels", "read_changes", "set_thresholds", "undo_change"],
        "evaluation": ["ModelEvaluation", "evaluate"],
        "explanation": ["Explanation", "LabelExplanation", "Neighbour", "Part"],
        "fitting": ["Callbacks"],
        "folder": ["RunResult"],
        "inputs": ["load_inputs"],
        "model": ["TrainedModel", "embed", "load", "predict"],
        "report": ["write_report"],
        "validation": ["validate_settings"],
    },
)
