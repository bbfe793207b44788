"""Does a sample show the class it was asked for? A classifier trained by this project on the train split judges."""

from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from datasets.base import ImageDataset
from evaluation.analysis import Analysis, Finding, Subject
from evaluation.registry import analyses_registry
from models.classifiers.export import Classifier, load_classifier
from utils.errors import MetricError

BATCH = 256
KEY = "metrics_args.class_fidelity.classifier"


@analyses_registry.add_to_registry(name="class_fidelity")
class ClassFidelity(Analysis):
    """Lets a classifier name the class of each sample, and of each photo of the reference.

    ``fidelity`` is the share of samples whose class it names rightly; beside it stands its accuracy on the real
    photos, which is what a perfect generator would get: compare ``ratio``, not ``fidelity`` alone. ``recognised``
    counts the classes of which at least one sample is named rightly: a model that draws few kinds of dishes has few.

    ``classifier`` is a file that the study ``classify`` writes. The features of FID have no part in it.
    """

    sees_features = False

    def __init__(self, classifier: str | None = None):
        self.classifier = classifier

    def prepare(self, subject: Subject) -> None:
        self.open_classifier(subject)

    def open_classifier(self, subject: Subject) -> Classifier:
        """Open the classifier. Raises a ``UserError`` when it is not named, not readable or of other pictures."""
        if self.classifier is None:
            raise MetricError(f"class_fidelity needs a classifier: {KEY}=FILE")
        subject.check_labelled("class_fidelity")
        network = load_classifier(Path(self.classifier).expanduser(), KEY)
        if list(network.class_names) != list(subject.real.class_names):
            raise MetricError(f"{self.classifier} knows other classes than the reference: train one on these")
        if network.image_size != subject.real.image_shape[-1]:
            raise MetricError(f"{self.classifier} is for {network.image_size} pixels a side: train one on these images")
        return network

    def run(self, subject: Subject) -> Finding:
        real, fake = subject.real, subject.generated_images("class_fidelity")
        network = self.open_classifier(subject).to(subject.judge.device)
        right_real, right_fake = (named_rightly(network, images, subject.judge.device) for images in (real, fake))
        accuracy, fidelity = right_real.mean(), right_fake.mean()
        record = {
            "fidelity": float(fidelity),
            "on_real_images": float(accuracy),
            "ratio": float(fidelity / accuracy) if accuracy else None,
            "recognised": recognised(right_fake, fake),
            "recognised_of_real": recognised(right_real, real),
            "classes": len(real.class_names),
            "classifier_sha256": network.weights_hash,
        }
        return Finding(record, [in_words(record)])


def in_words(record: dict) -> str:
    return (
        f"class fidelity: {record['fidelity']:.1%} of the samples show their class (real photos: "
        f"{record['on_real_images']:.1%}); {record['recognised']} of {record['classes']} classes recognised (real: "
        f"{record['recognised_of_real']})"
    )


@torch.no_grad()
def named_rightly(network: nn.Module, images: ImageDataset, device: torch.device) -> np.ndarray:
    """Return bool [N]: which images the classifier gives their own class."""
    named: list[Tensor] = []
    for start in range(0, len(images), BATCH):
        batch = images.images_at(range(start, min(start + BATCH, len(images))))
        named.append(network(batch.to(device)).argmax(dim=1).cpu())
    return torch.cat(named).numpy() == np.asarray(images.labels)


def recognised(right: np.ndarray, images: ImageDataset) -> int:
    """Count the classes of which at least one image is named rightly."""
    return len(np.unique(np.asarray(images.labels)[right]))
