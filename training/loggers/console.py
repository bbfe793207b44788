"""What a person sees of a run: a progress bar, or lines."""

import sys
import time
from datetime import timedelta

from tqdm import tqdm

from training.loggers.base import Logger, Scalars

# What a person is told of the timing, and how it is written.
SPEED = {
    "images_per_second": ("images_per_second", "{:.4g}"),
    "tflops": ("TFLOP/s", "{:.3g}"),
    "share_of_peak": ("of_peak", "{:.0%}"),
    "peak_memory_gib": ("GiB", "{:.3g}"),
    "share_waiting_for_data": ("waiting", "{:.1%}"),
}


class ProgressBar(Logger):
    """A progress bar with the losses, for a terminal; plain lines for validation, above the bar."""

    def __init__(self, steps: int, start: int):
        self.bar = tqdm(total=steps, initial=start, unit="step", dynamic_ncols=True, smoothing=0.05, file=sys.stdout)

    def scalars(self, step: int, values: Scalars, timing: Scalars) -> None:
        losses, judged = told(values, timing)
        if losses:  # a validation leaves the losses on the bar
            self.bar.set_postfix(losses, refresh=False)
        self.bar.update(step - self.bar.n)
        if judged:
            self.bar.write(in_words(step, judged))

    def alarm(self, step: int, text: str) -> None:
        self.bar.write(f"step {step}: ALARM: {text}")

    def note(self, step: int, text: str) -> None:
        self.bar.update(step - self.bar.n)
        self.bar.write(f"step {step}: {text}")

    def close(self) -> None:
        self.bar.close()


class Lines(Logger):
    """A line at every log step, for a file or a pipe, which a progress bar would flood."""

    def __init__(self, steps: int, start: int):
        self.steps, self.start, self.begin = steps, start, time.monotonic()

    def scalars(self, step: int, values: Scalars, timing: Scalars) -> None:
        losses, judged = told(values, timing)
        left = (time.monotonic() - self.begin) / max(step - self.start, 1) * (self.steps - step)  # seconds
        if losses:
            losses["left"] = str(timedelta(seconds=round(left)))
        if said := losses | judged:
            print(in_words(step, said), flush=True)

    def alarm(self, step: int, text: str) -> None:
        self.note(step, f"ALARM: {text}")

    def note(self, step: int, text: str) -> None:
        print(f"step {step}: {text}", flush=True)


def told(values: Scalars, timing: Scalars) -> tuple[dict[str, str], dict[str, str]]:
    """Return what a person is told of the losses and the speed, and of a validation."""
    speed = {name: form.format(timing[key]) for key, (name, form) in SPEED.items() if key in timing}
    losses = {key: f"{value:.4g}" for key, value in values.items() if not key.startswith("val_")} | speed
    return losses, {key: f"{value:.5g}" for key, value in values.items() if key.startswith("val_")}


def in_words(step: int, said: dict[str, str]) -> str:
    return f"step {step}: " + ", ".join(f"{key} {value}" for key, value in said.items())
