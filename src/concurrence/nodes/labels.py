"""Lists of names with amounts, as the config says them: labels of slaves, and weights of clients."""

from __future__ import annotations

from concurrence.env.config import ConfigValue
from concurrence.env.options import ListOption
from concurrence.wire.fields import MAX_AMOUNT, MAX_NAME, MAX_RESOURCES, MAX_WEIGHT, MIN_WEIGHT

_CORES = "cpu"


class LabelsOption(ListOption):
    """Names with amounts; the value is the texts as they were written."""

    expected = "a list of labels, each name or name=amount"
    example = '["gpu=1", "camera"]'

    def convert(self, value: ConfigValue) -> tuple[str, ...]:
        """TOML's arrays of labels; as text, labels between commas."""
        texts = super().convert(value)
        parse_labels(texts)
        return texts


def parse_labels(texts: tuple[str, ...]) -> dict[str, float]:
    """Labels as a mapping.

    Args:
        texts: Each ``name=amount``, or ``name`` for an amount of 1.

    Raises:
        ValueError: One has another form or is there twice, or there are too many; the text says what is wrong.
    """
    labels: dict[str, float] = {}
    for text in texts:
        name, separator, amount = (part.strip() for part in text.partition("="))
        if not name or len(name) > MAX_NAME or any(sign in name for sign in "[]\"'"):
            raise ValueError(f"{text!r} is not of the form name=amount")
        if name == _CORES:
            raise ValueError(f"{_CORES} is the number of workers; it is [taskmanager] workers")
        if name in labels:
            raise ValueError(f"{name} is there twice")
        labels[name] = _amount(text, amount) if separator else 1.0
    if len(labels) > MAX_RESOURCES:
        raise ValueError(f"more than {MAX_RESOURCES} are too many")
    return labels


class WeightsOption(ListOption):
    """Names of clients with weights; the value is the texts as they were written."""

    expected = "a list of weights, each name=weight"
    example = '["night=0.5", "Mandelbrot=2"]'

    def convert(self, value: ConfigValue) -> tuple[str, ...]:
        """TOML's arrays of weights; as text, weights between commas."""
        texts = super().convert(value)
        parse_weights(texts)
        return texts


def parse_weights(texts: tuple[str, ...]) -> dict[str, float]:
    """Weights as a mapping.

    Args:
        texts: Each ``name=weight``.

    Raises:
        ValueError: One has another form or is there twice, or a weight is not in bounds.
    """
    weights: dict[str, float] = {}
    for text in texts:
        name, separator, weight = (part.strip() for part in text.rpartition("="))
        if not separator or not name:
            raise ValueError(f"{text!r} is not of the form name=weight")
        if name in weights:
            raise ValueError(f"{name} is there twice")
        amount = _amount(text, weight)
        if not MIN_WEIGHT <= amount <= MAX_WEIGHT:
            raise ValueError(f"the weight of {text!r} is not a number from {MIN_WEIGHT:g} to {MAX_WEIGHT:g}")
        weights[name] = amount
    return weights


def _amount(text: str, amount: str) -> float:
    try:
        number = float(amount)
    except ValueError:
        number = -1.0
    if not 0 <= number <= MAX_AMOUNT:  # nor is what is not a number
        raise ValueError(f"the amount of {text!r} is not a number from 0 to {MAX_AMOUNT:g}")
    return number
