"""The study of a classifier: what it calls every picture of the test or dev set, and how often that is right."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torch import Tensor

from metrics.classification import Classification
from metrics.features import ImageSet
from models.classifiers.export import Description, export_classifier
from training.judging import check_kind, open_reference
from training.origins import judged_origin, weights_origin
from training.predictions import build_prediction_metrics, judge_predictions, predictions
from training.registry import classifier_studies_registry
from training.run_folder import write_whole
from training.studies import new_folder, write_record

if TYPE_CHECKING:
    from training.trainers.supervised import BaseSupervisedTrainer

SHOWN = 10  # classes at either end of the printed table


@classifier_studies_registry.add_to_registry(name="classify")
class ClassifyStudy:
    """Writes ``metrics.json`` with every number's origin, ``confusion.csv``, and ``classifier.safetensors``.

    The last is what ``models.classifiers.export.load_classifier`` opens.
    """

    def run(self, trainer: BaseSupervisedTrainer) -> None:
        """Ask about ``inference.split``. Raises a :class:`UserError` when it is not there or of another kind."""
        pictures = open_reference(trainer)
        check_kind(trainer, pictures)
        folder, names = new_folder(trainer), trainer.facts.class_names
        classification = Classification()
        metrics = {**build_prediction_metrics(trainer.config), "classification": classification}
        results = judge_predictions(metrics, predictions(trainer.answer, pictures, trainer.config.data.val_batch_size))
        rows = class_rows(classification, names)
        write_record(
            folder, {"results": results, "classes": rows, "origin": judged_origin(trainer, ImageSet.of(pictures))}
        )
        write_whole(folder / "confusion.csv", confusion_table(classification.confusion, names))
        export(trainer, folder / "classifier.safetensors", results)
        for line in [*table(rows), *(f"{name}: {value:.4f}" for name, value in results.items())]:
            trainer.say(line)
        trainer.say(f"metrics.json, confusion.csv and classifier.safetensors are in {folder}")


def class_rows(metric: Classification, names: tuple[str, ...]) -> dict[str, dict[str, Any]]:
    """Return precision, recall, F1 and the number of images by class, best F1 first, and what it is mistaken for."""
    columns = {name: values.tolist() for name, values in metric.per_class().items()}
    mistakes = metric.confusion.clone().fill_diagonal_(0)  # [K, K]
    rows = {}
    for i in sorted(range(len(names)), key=lambda i: -columns["f1"][i]):
        count, other = (value.item() for value in mistakes[i].max(dim=0))
        taken = {"mostly_taken_for": names[other], "times": count} if count else {}
        rows[names[i]] = {name: values[i] for name, values in columns.items()} | taken
    return rows


def table(rows: dict[str, dict[str, Any]]) -> list[str]:
    """Return lines: the best and the worst classes by F1."""
    lines = [f"{'class':24} {'F1':>6} {'precision':>9} {'recall':>6}  mostly taken for"]
    cut = len(rows) > 2 * SHOWN
    for place, (name, row) in enumerate(rows.items()):
        if cut and place == SHOWN:
            lines.append(f"... {len(rows) - 2 * SHOWN} classes between")
        if not cut or not SHOWN <= place < len(rows) - SHOWN:
            taken = f"{row['mostly_taken_for']} ({row['times']})" if row.get("times") else ""
            figures = f"{row['f1']:6.3f} {row['precision']:9.3f} {row['recall']:6.3f}"
            lines.append(f"{name[:24]:24} {figures}  {taken}".rstrip())
    return lines


def confusion_table(confusion: Tensor, names: tuple[str, ...]) -> str:
    """Return the counts as CSV: a row for each true class, a column for each class that was named."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["shown \\ named", *names])
    writer.writerows([name, *row] for name, row in zip(names, confusion.tolist()))
    return text.getvalue()


def export(trainer: BaseSupervisedTrainer, path: Path, results: dict[str, float]) -> None:
    """Write the averaged network with its architecture, class names, origin and figures."""
    arguments = {**trainer.model_facts(), **trainer.roles.arguments("model")}
    about = {**weights_origin(trainer), "results": results, "split": trainer.config.inference.split}
    names = list(trainer.facts.class_names)
    export_classifier(path, trainer.average, Description(trainer.roles.name("model"), arguments, names, about))
