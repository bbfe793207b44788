"""The whole evaluation by stage: images sampled with 64 network evaluations, their features, the distances.

2,020 images on a GPU; fewer on a CPU, where seconds are given for as many as were made. Weights are random numbers.
"""

from pathlib import Path

import torch

from benchmarks.judging import COUNT, DIMS, save_random_weights
from benchmarks.measuring import Place, Row
from benchmarks.stepping import experiment
from datasets.packed import Packed
from metrics.features import ImageSet
from metrics.fid import FID
from metrics.judge import Judge
from metrics.kid import KID

EVALUATIONS = 64  # of the network, an image: 32 steps, each asked twice by guidance
GUIDED = {"guidance": "cfg", "label_dropout": 0.1, "sampler": "dpmpp_2m"}


def measure(place: Place) -> list[Row]:
    count = COUNT if place.gpu else 20
    with place.folder() as folder:
        save_random_weights(Path(folder, "weights.pth"))
        batch = {"val_batch_size": 512 if place.gpu else 20}
        trainer = experiment(place, folder, train=GUIDED, data=batch, sampling_levels_args={"steps": EVALUATIONS // 2})
        torch.nn.init.normal_(trainer.average.backbone.conv_out.weight, std=0.01)
        real = ImageSet.of(Packed(str(place.images), 64, cache_dir=place.packs), range(count))
        judge = Judge({"fid": FID(DIMS, f"{folder}/weights.pth"), "kid": KID()}, place.device)
        judge.prepare()
        labels = torch.arange(count) % trainer.facts.num_classes
        for number in (0, 1):  # the first one finds the fastest kernels
            trainer.stages.seconds.clear()
            images = trainer.synthesize_images(labels, count, seed=number)
        judge.features(real)  # kept: an evaluation finds them on disk
        judge.stages.seconds.clear()
        judge.evaluate(real, [images])
        seconds = trainer.stages.seconds | judge.stages.seconds
    seconds["in all"] = sum(seconds.values())
    what = f"evaluation, {count} images, {EVALUATIONS} evaluations"
    goal = {"in all": "30 s"} if place.gpu else {}
    return [Row(what, name, speeds={name: took}, unit="s", goal=goal.get(name, "")) for name, took in seconds.items()]
