"""Early alarms: what is going wrong in a run, told while there is still time to stop it.

An alarm reads the values that are logged anyway and speaks once. It never stops a run.
"""

from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass

from training.config import TrainSection

Values = Mapping[str, float]


class Alarm(ABC):
    """Looks at the logged values of a run, losses and validations as they come."""

    def __init__(self):
        self.spoken = False

    def look(self, values: Values) -> str | None:
        """Return what is wrong, the first time that it is."""
        if self.spoken:
            return None
        trouble = self.trouble(values)
        self.spoken = trouble is not None
        return trouble

    @abstractmethod
    def trouble(self, values: Values) -> str | None:
        """Return what is wrong with these values, or with those since the run began; None if nothing is."""


class LogitsApart(Alarm):
    """The discriminator has won: its logits of real and generated images lie ``gap`` apart, ``times`` in a row.

    At a gap of 10 a sigmoid calls its odds 20,000 to one, and a saturated discriminator teaches nothing.
    """

    def __init__(self, gap: float = 10.0, times: int = 5):
        super().__init__()
        self.gap, self.times, self.count = gap, times, 0

    def trouble(self, values: Values) -> str | None:
        if "real_logits" not in values or "fake_logits" not in values:
            return None
        apart = values["real_logits"] - values["fake_logits"]
        self.count = self.count + 1 if apart > self.gap else 0
        if self.count < self.times:
            return None
        return (
            f"the discriminator's logits are {apart:.1f} apart: it has won; add or raise disc_losses.r1, augment, "
            f"or lower its learning rate"
        )


@dataclass
class Course:
    """What a figure was in the last validations, and at its best."""

    recent: deque[float]
    best: float

    def worsening(self, value: float, lower: bool, factor: float) -> bool:
        """Take in a value; tell whether all changes were for the worse and it is ``factor`` times its best."""
        self.recent.append(value)
        self.best = (min if lower else max)(self.best, value)
        history = list(self.recent) if lower else [-past for past in self.recent]
        steadily = len(history) == self.recent.maxlen and all(a < b for a, b in zip(history, history[1:]))
        return steadily and abs(value - self.best) >= (factor - 1) * min(abs(value), abs(self.best))


class FigureTurns(Alarm):
    """A figure of the validations has become worse ``times`` in a row and is ``factor`` times worse than its best.

    ``metric`` is the end of its name, as of ``train.best_metric``, and ``lower`` says whether low is good. None: every
    figure of which that is known is watched.
    """

    LOWER, HIGHER = ("fid", "kid"), ("accuracy", "psnr", "ssim")  # how the names of figures begin

    def __init__(self, metric: str | None = None, lower: bool = True, times: int = 3, factor: float = 1.1):
        super().__init__()
        self.metric, self.lower, self.times, self.factor = metric, lower, times, factor
        self.courses: dict[str, Course] = {}

    @classmethod
    def of(cls, train: TrainSection) -> "FigureTurns":
        return cls(train.best_metric, lower=train.best_is == "lowest")

    def trouble(self, values: Values) -> str | None:
        worse = []
        for name, value in values.items():
            lower = self.direction(name)
            if lower is None:
                continue
            course = self.courses.setdefault(name, Course(deque(maxlen=self.times + 1), value))
            if course.worsening(value, lower, self.factor):
                worse.append(
                    f"{name} has become worse {self.times} times in a row, {value:.4g} after {course.best:.4g}"
                )
        return f"{worse[0]}: the run gets worse (train.best_metric keeps its best checkpoint)" if worse else None

    def direction(self, name: str) -> bool | None:
        """Tell whether a low value of a figure is good; None for one that is not watched."""
        if not name.startswith("val_") or name.endswith(("_std", "_se")):
            return None
        if self.metric is not None:
            return self.lower if name.endswith(f"_{self.metric}") else None
        lower, higher = (any(f"_{stem}" in name for stem in stems) for stems in (self.LOWER, self.HIGHER))
        return lower if lower or higher else None


class DiversityFalls(Alarm):
    """Samples with fixed noise have become ``factor`` times more alike than they once were: a collapse."""

    def __init__(self, factor: float = 2.0):
        super().__init__()
        self.factor, self.highest = factor, 0.0

    def trouble(self, values: Values) -> str | None:
        diversity = values.get("val_diversity")
        if diversity is None:
            return None
        self.highest = max(self.highest, diversity)
        if diversity * self.factor > self.highest:
            return None
        return (
            f"the samples' diversity has fallen to {diversity:.1f} grey levels from {self.highest:.1f}: they collapse "
            f"into a few images; look at the grid"
        )


class EmaLags(Alarm):
    """The averaged weights are far from the weights: they remember the start of the run more than what was learned.

    ``fix`` is what makes the average shorter.
    """

    def __init__(self, share: float = 0.5, after: int = 3, fix: str = "choose a shorter one"):
        super().__init__()
        self.share, self.after, self.fix, self.looks = share, after, fix, 0

    def trouble(self, values: Values) -> str | None:
        distance = values.get("val_ema_distance")
        if distance is None:
            return None
        self.looks += 1
        if self.looks <= self.after or distance < self.share:
            return None
        return (
            f"the averaged weights are {distance:.0%} of the weights' length away from them: the average lags behind; "
            f"{self.fix}"
        )


class ScaleCollapses(Alarm):
    """The scale of fp16's loss has fallen below 1: gradients overflow however small they are made."""

    def trouble(self, values: Values) -> str | None:
        scales = [value for name, value in values.items() if name.startswith("loss_scale_")]
        if not scales or min(scales) >= 1:
            return None
        return (
            f"fp16's loss scale has fallen to {min(scales):.3g}, so most steps are left out: set train.amp=bf16 where "
            f"the GPU has it, or off"
        )


class Alarms:
    """Several alarms as one."""

    def __init__(self, members: list[Alarm]):
        self.members = members

    def look(self, values: Values) -> list[str]:
        """Return what is wrong, a line each; nothing that was said before."""
        return [trouble for member in self.members if (trouble := member.look(values))]
