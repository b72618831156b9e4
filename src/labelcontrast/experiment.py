"""One run from top to bottom: from the settings to a run folder with a trained and evaluated model."""

from contextlib import ExitStack
from pathlib import Path

from labelcontrast.errors import DataError
from labelcontrast.losses.registry import loss_row
from labelcontrast.run.evaluation import (
    chosen_views,
    compute_split_features,
    describe_embeddings,
    evaluate_inputs,
    evaluate_unseen,
    fit_classifier,
    save_scatter,
)
from labelcontrast.run.examples import save_examples
from labelcontrast.run.fitting import Callbacks, train_encoder
from labelcontrast.run.folder import (
    CONFIG,
    FEATURES,
    RunResult,
    claim,
    complete,
    copy_histories,
    is_finished,
    load_settings,
    open_run,
    refuse_other_data,
)
from labelcontrast.run.inputs import (
    OnMessage,
    RunData,
    fingerprint_data,
    load_data,
    load_transfer_inputs,
    prepare_inputs,
    resolve_settings,
    with_found_columns,
)
from labelcontrast.run.machine import Clock, describe_origin, seeded
from labelcontrast.run.report import write_report
from labelcontrast.run.validation import validate_settings, with_recorded
from labelcontrast.settings import RunSettings


def run_experiment(
    settings: RunSettings,
    folder: str | Path,
    *,
    data: RunData | None = None,
    training: str | Path | None = None,
    resume: bool = False,
    force: bool = False,
    device: str = "cpu",
    callbacks: Callbacks = Callbacks(),  # noqa: B008  frozen
) -> RunResult:
    """Train, evaluate and save one model.

    Args:
        settings: All settings of the run.
        folder: The run folder; it is created once the data are read and found valid.
        data: The splits, if they are in memory; by default they are read as the settings say.
        training: Folder for checkpoints, history and features. Runs that differ only in the stages after training can
            share it: the encoder is trained once. By default the run folder.
        resume: Continue a run that is there; a finished one is only read and its data compared, unless settings of the
            stages after training differ: then it is evaluated again, on the features it has.
        force: Remove a run that is there.
        device: Where features are computed after training, such as ``cuda``.
        callbacks: Called as the run progresses.

    Returns:
        The result, which is also in ``metrics.json``.

    Raises:
        LabelContrastError: One of the family, with a message of one line.

    Example:
        >>> settings = RunSettings.build({"data": "reviews.jsonl", "loss": {"name": "reg"}})
        >>> run_experiment(settings, "run").metrics["test"]["micro_f1"]  # doctest: +SKIP
        0.81
    """
    folder, training_folder = Path(folder), Path(training or folder)
    if resume:
        settings = with_recorded(settings, folder / CONFIG)
    validate_settings(settings)
    claim(folder, settings, resume=resume, force=force)
    if is_finished(folder) and not force and load_settings(folder) == settings:
        _compare_data(folder, settings, data, callbacks.on_message)
        complete(folder, write_report)
        return RunResult.load(folder)
    clock, seed = Clock(), settings.seed

    with ExitStack() as until_the_end:
        with seeded(seed):
            data = data or load_data(settings)
            for sentence in data.summary():
                callbacks.on_message(sentence)
            given, settings = settings, with_found_columns(settings, data.splits)
            settings = resolve_settings(settings, data.splits.train.kind, callbacks.on_message)
            inputs = prepare_inputs(settings, data, callbacks.on_message, device=device)
            target = load_transfer_inputs(settings, inputs, callbacks.on_message)
            views = chosen_views(settings.evaluation, target)
            content = fingerprint_data(data)
            opened = open_run(folder, settings, given=given, data=content, resume=resume, force=force)
            until_the_end.enter_context(opened)
            clock.lap("reading")

            trained = train_encoder(settings, loss_row(settings.loss.name).kind, inputs, training_folder, callbacks)
            clock.lap("training")
            clock.laps["training"] = round(sum(epoch.seconds for epoch in trained.history), 3)  # also of a killed run

            is_transfer = target is not inputs  # to data with other labels, which the trained head does not predict
            head = None if is_transfer or settings.evaluation.classifier == "probe" else trained.classifier
            with_train = head is None or settings.evaluation.neighbours > 0 or "neighbours" in views
            features = compute_split_features(training_folder / FEATURES, target, with_train=with_train, device=device)
            clock.lap("features")

            classifier = fit_classifier(settings.evaluation, target, features, seed=seed) if head is None else head
            clock.lap("probe")

        if training_folder != folder:
            copy_histories(training_folder, folder)
        if len(views) > 1:
            callbacks.on_message(f"fitting and blending the views {', '.join(views)}")
        evaluation = evaluate_inputs(settings.evaluation, settings.hierarchy, target, classifier, features, seed=seed)
        evaluation.save(folder)
        save_scatter(folder, settings.evaluation, target, features["test"], seed=seed)
        test, names = target.splits.test, target.splits.vocabulary.names
        save_examples(folder, test, names, evaluation.outputs, most=settings.evaluation.examples)
        clock.lap("evaluation")

        representation = describe_embeddings(settings.evaluation, target, features, seed=seed)
        unseen = evaluate_unseen(target, features, seed=seed)
        clock.lap("representation")

        result = RunResult(
            metrics=evaluation.metrics,
            reliability=evaluation.reliability,
            best_epoch=trained.selected.epoch,
            validation_score=trained.selected.score,
            views=evaluation.views,
            representation=representation,
            fold=None if settings.folds is None else settings.tested_fold,
            hierarchy=None if evaluation.hierarchy is None else {**evaluation.hierarchy, **unseen},
            seconds=clock.laps,
            examples={name: len(split) for name, split in target.prepared.items()},
            kind=target.encoder.kind,
            labels=len(target.splits.vocabulary),
            encoder_parameters=sum(parameter.numel() for parameter in target.encoder.parameters()),
            warnings=list(target.splits.warnings),
            **describe_origin(),
        )
        result.save(folder)
        write_report(folder)
        return RunResult.load(folder)


def _compare_data(folder: Path, settings: RunSettings, data: RunData | None, on_message: OnMessage) -> None:
    """Refuse to return the result of a finished run for data that have changed since; say so if they are gone."""
    try:
        data = data or load_data(settings)
    except DataError as error:
        on_message(f"{folder} is finished; its data cannot be compared with those it was trained on: {error}")
    else:
        refuse_other_data(folder, fingerprint_data(data))
