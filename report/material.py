"""What the report of one family is made of, and the order in which it tells of it."""

import re
from dataclasses import dataclass, field
from pathlib import Path

from evaluation.floor import Spread
from evaluation.tables import figures
from report.records import Experiment, SamplingStudy
from report.wording import best_of, value


@dataclass(frozen=True)
class Material:
    """What the report of one family is made of."""

    family: str
    folder: Path  # where its pages go
    experiments: dict[str, Experiment]
    studies: dict[str, SamplingStudy]
    others: dict[str, Experiment] = field(default_factory=dict)  # of other families
    planned: dict[str, dict[str, str]] = field(default_factory=dict)  # headers of what was written down and not run

    @property
    def judged(self) -> list[Experiment]:
        return [it for it in self.experiments.values() if it.evaluations]

    @property
    def metrics(self) -> list[str]:
        """The results that every evaluation has; the first is the one that decides."""
        names = figures(self.judged[0].evaluations[0]["results"]) if self.judged else []
        return [name for name in names if all(it.result(name) for it in self.judged)]

    @property
    def floor(self) -> dict[str, Spread]:
        """What real photos get, by result, over the draws of one of the evaluations; {} where none measured it."""
        measured = next((it.floor for it in self.judged if it.floor), {})
        return {name: Spread(tuple(found["values"])) for name, found in measured.items()}

    @property
    def best(self) -> Experiment | None:
        """The best experiment by the last validation on dev; where there was none, by the test result."""
        first = next(iter(self.metrics), "")
        on_dev = {it.name: it.last(dev) for it in self.judged if (dev := dev_name(it, first))}
        name = best_of(on_dev, first) or best_of({it.name: it.result(first) for it in self.judged}, first)
        return self.experiments[name] if name else None

    @property
    def told(self) -> list[Experiment]:
        """The experiments as one led to the next: baselines first, then what their ``Next`` names, and so on."""
        starts = [name for name, it in self.experiments.items() if it.baseline is None]
        found = dict.fromkeys(starts)
        queue = list(found)
        for name in queue:  # grows on the way
            led_to = re.findall(r"\w+", self.experiments[name].header.get("Next", ""))
            new = [it for it in dict.fromkeys(led_to) if it in self.experiments and it not in found]
            found |= dict.fromkeys(new)
            queue += new
        return [self.experiments[name] for name in dict.fromkeys([*found, *self.experiments])]

    @property
    def told_studies(self) -> list[SamplingStudy]:
        """The sampling studies: those on dev before those on test, which rest on them."""
        return sorted(self.studies.values(), key=lambda it: it.record["origin"]["split"] == "test")

    def values(self) -> dict[str, str]:
        """Return every result by the name it has in hand-written parts: ``edm.fid768``, ``guidance/cfg_3.fid768``."""
        found = {f"{it.name}.{name}": value(it.result(name)) for it in self.judged for name in self.metrics}
        found |= {f"floor.{name}": value(floor) for name, floor in self.floor.items()}
        for study in self.studies.values():
            for variant, records in study.variants.items():
                for name in figures(records[0]["results"]):
                    found[f"{study.name}/{variant}.{name}"] = value(study.result(variant, name))
        return found | ({"best": self.best.name} if self.best else {})


def dev_name(experiment: Experiment, metric: str) -> str | None:
    """Name the curve of a metric on dev: ``val_quick64_fid768`` for ``fid768``."""
    names = [name for run in experiment.runs for name in run.curves]
    return next((name for name in names if metric and name.endswith(f"_{metric}")), None)
