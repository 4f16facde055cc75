"""What a phone does with a model and its samples: softmax regression in numpy.

A model file is raw little-endian float32: W of shape (features, 10) row by row, then b of
shape (10,), so 10 * (features + 1) numbers. An image gives 64 features. A model of more features
is treated as if the image had zeros there: their weights have no gradient and stay as they are,
which is why the 627,210 parameters of CIFAR10_B20 cost no more to train than 650.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Self, TypeAlias

import numpy as np
from numpy.typing import NDArray

from flaas.fleet.data import CLASSES, RECORD_SIZE
from flaas.fleet.retry import StepFailed

FEATURES: Final = 64
LEARNING_RATE: Final = 0.05
BATCH_SIZE: Final = 20
"""With this pace 8 phones of some 50 samples an app take about 5 rounds of 20 epochs to their
best, so that a demo has a rise to show."""

Weights: TypeAlias = NDArray[np.float32]
"""A whole model, flat, in the order of its file."""


class BadFile(StepFailed):
    """A model or a samples file is not what a phone can train with; the text says why."""


@dataclass(frozen=True)
class Records:
    """Samples, ready to train on."""

    features: NDArray[np.float32]
    """(n, 64), 0 to 1."""
    labels: NDArray[np.uint8]
    """(n,), 0 to 9."""

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, part: slice) -> Self:
        return type(self)(self.features[part], self.labels[part])

    @classmethod
    def concatenate(cls, parts: Sequence[Self]) -> Self:
        return cls(
            np.concatenate([part.features for part in parts]),
            np.concatenate([part.labels for part in parts]),
        )


@dataclass(frozen=True)
class Evaluation:
    accuracy: float
    loss: float
    """Mean cross-entropy, in nats."""
    samples: int


def read_records(data: bytes) -> Records:
    """Read a samples file. An image becomes the 8x8 means of its grey pixels.

    Raises `BadFile` when it is not made of whole records of labels 0 to 9.
    """
    if not data or len(data) % RECORD_SIZE:
        raise BadFile(f"samples: {len(data)} bytes are not records of {RECORD_SIZE} bytes")
    table = np.frombuffer(data, np.uint8).reshape(-1, RECORD_SIZE)
    labels = table[:, 0].copy()
    if labels.max() >= CLASSES:
        raise BadFile(f"samples: label {labels.max()} is not one of {CLASSES} classes")
    blocks = table[:, 1:].reshape(-1, 3, 8, 4, 8, 4)
    pooled = blocks.mean(axis=(1, 3, 5), dtype=np.float32) / np.float32(255)
    return Records(pooled.reshape(-1, FEATURES), labels)


def hold_out(records: Records) -> tuple[Records, Records]:
    """What a phone trains on, and the last fifth, on which it evaluates the global model.

    Raises `BadFile` when there is not a record for each.
    """
    if len(records) < 2:
        raise BadFile(f"samples: {len(records)} are too few to train and evaluate with")
    kept = len(records) - max(1, len(records) // 5)
    return records[:kept], records[kept:]


def read_model(data: bytes) -> Weights:
    """Read a model file; read-only. Raises `BadFile` when its length is no model's."""
    parameters, rest = divmod(len(data), 4)
    if rest:
        raise BadFile(f"model: {len(data)} bytes are not float32 numbers")
    _check_length(parameters)
    return np.frombuffer(data, "<f4")


def initial_model(parameters: int) -> bytes:
    """The file of a model that knows nothing: zeros."""
    _check_length(parameters)
    return bytes(4 * parameters)


def mean(models: Sequence[Weights]) -> Weights:
    """The unweighted mean of models of one length."""
    return np.mean(models, axis=0, dtype=np.float64).astype("<f4")


def train(
    weights: Weights, records: Records, epochs: int, seed: Sequence[int]
) -> tuple[Weights, list[float]]:
    """Train by mini-batch gradient descent; returns the whole new weights and each epoch's loss.

    `seed` (non-negative integers) fixes the shuffling: the same arguments give the same bits on
    one machine. The loss is the mean cross-entropy over the epoch, while it learns.
    """
    trained = weights.copy()
    matrix, bias = _used(trained)
    rng = np.random.default_rng(seed)
    targets = np.eye(CLASSES, dtype=np.float32)[records.labels]
    losses = []
    for _ in range(epochs):
        total = 0.0
        order = rng.permutation(len(records))
        for start in range(0, len(order), BATCH_SIZE):
            batch = order[start : start + BATCH_SIZE]
            features, target = records.features[batch], targets[batch]
            log_odds = _log_softmax(features @ matrix + bias)
            total -= float((log_odds * target).sum())
            error = (np.exp(log_odds) - target) * np.float32(LEARNING_RATE / len(batch))
            matrix -= features.T @ error
            bias -= error.sum(axis=0)
        losses.append(total / len(records))
    return trained, losses


def evaluate(weights: Weights, records: Records) -> Evaluation:
    """How well a model names the digits of `records`, which must not be empty."""
    matrix, bias = _used(weights)
    log_odds = _log_softmax(records.features @ matrix + bias)
    right = log_odds.argmax(axis=1) == records.labels
    likelihood = log_odds[np.arange(len(records)), records.labels]
    return Evaluation(float(right.mean()), float(-likelihood.mean()), len(records))


def _used(weights: Weights) -> tuple[Weights, Weights]:
    """Views of the rows of W that an image reaches, (64, 10), and of b, (10,)."""
    return weights[: FEATURES * CLASSES].reshape(FEATURES, CLASSES), weights[-CLASSES:]


def _log_softmax(logits: NDArray[np.float32]) -> NDArray[np.float32]:
    shifted = logits - logits.max(axis=1, keepdims=True)
    log_odds: NDArray[np.float32] = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    return log_odds


def _check_length(parameters: int) -> None:
    features, rest = divmod(parameters, CLASSES)
    features -= 1
    if rest or features < FEATURES:
        raise BadFile(
            f"model: {parameters} parameters are not {CLASSES} * (features + 1) "
            f"with at least {FEATURES} features"
        )
