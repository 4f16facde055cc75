import numpy as np
import pytest

from flaas.domain.project import DatasetType, TrainingMode
from flaas.fleet import training
from flaas.fleet.data import RECORD_SIZE, Digits, split
from flaas.fleet.training import BadFile, Records

LARGE = 627_210


@pytest.fixture(scope="module")
def records(digits: Digits) -> Records:
    return training.read_records(digits.train[:60].tobytes())


def zeros(parameters: int = 650) -> training.Weights:
    return training.read_model(training.initial_model(parameters))


def test_features_are_the_grey_means_of_4x4_blocks() -> None:
    planes = np.zeros((3, 32, 32), np.uint8)
    planes[:, 4:8, 8:12] = 255
    planes[0, 0, 0] = 48
    record = bytes([7]) + planes.tobytes()

    read = training.read_records(record)

    assert read.labels.tolist() == [7]
    assert read.features.dtype == np.float32
    features = read.features.reshape(8, 8)
    assert features[1, 2] == 1.0
    assert features[0, 0] == pytest.approx(48 / (3 * 16 * 255))
    assert np.count_nonzero(features) == 2


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b"", "0 bytes"),
        (bytes(RECORD_SIZE + 1), "3074 bytes"),
        (bytes([10]) + bytes(RECORD_SIZE - 1), "label 10"),
    ],
)
def test_other_samples_files_are_refused(data: bytes, text: str) -> None:
    with pytest.raises(BadFile, match=text):
        training.read_records(data)


@pytest.mark.parametrize("parameters", [650, 660, LARGE])
def test_models_of_this_form_are_read(parameters: int) -> None:
    assert len(zeros(parameters)) == parameters


@pytest.mark.parametrize("size", [0, 4 * 640, 4 * 655, 4 * 650 + 1])
def test_other_models_are_refused(size: int) -> None:
    with pytest.raises(BadFile, match="model: "):
        training.read_model(bytes(size))


def test_an_untrained_model_knows_nothing(records: Records) -> None:
    evaluation = training.evaluate(zeros(), records)

    assert evaluation.loss == pytest.approx(np.log(10))
    assert evaluation.accuracy == np.mean(records.labels == 0)
    assert evaluation.samples == 60


def test_the_update_is_the_gradient_step(records: Records) -> None:
    """One batch, one epoch: W and b move against the numerical gradient of the loss."""
    few = records[:10]
    rng = np.random.default_rng(0)
    start = rng.normal(0, 0.3, 650).astype("<f4")

    trained, losses = training.train(start, few, 1, [0])

    def loss(weights: np.ndarray) -> float:
        logits = few.features.astype(np.float64) @ weights[:640].reshape(64, 10) + weights[640:]
        top = np.log(np.exp(logits).sum(axis=1))
        return float(np.mean(top - logits[np.arange(10), few.labels]))

    assert losses == [pytest.approx(loss(start.astype(np.float64)), rel=1e-4)]
    for parameter in (*rng.choice(640, 20, replace=False), 640, 649):
        step = np.zeros(650)
        step[parameter] = 1e-5
        gradient = (loss(start + step) - loss(start - step)) / 2e-5
        moved = float(trained[parameter]) - float(start[parameter])
        assert moved == pytest.approx(-training.LEARNING_RATE * gradient, abs=1e-6)


def test_training_is_repeatable_and_leaves_its_arguments_alone(records: Records) -> None:
    start = zeros()

    first, losses = training.train(start, records, 3, [42, 1])
    again, _ = training.train(start, records, 3, [42, 1])
    other, _ = training.train(start, records, 3, [42, 2])

    assert first.dtype == np.dtype("<f4")
    assert first.tobytes() == again.tobytes() != other.tobytes()
    assert not start.any()
    assert len(losses) == 3
    assert losses[0] > losses[1] > losses[2]


def test_a_large_model_learns_the_same_and_keeps_what_no_image_reaches(records: Records) -> None:
    large = zeros(LARGE).copy()
    large[640:-10] = 3.0

    trained, losses = training.train(large, records, 2, [1])
    small, small_losses = training.train(zeros(), records, 2, [1])

    assert losses == small_losses
    assert (trained[640:-10] == 3.0).all()
    assert np.concatenate([trained[:640], trained[-10:]]).tobytes() == small.tobytes()


def test_the_mean_of_models() -> None:
    one, two = np.full(650, 1, "<f4"), np.full(650, 4, "<f4")

    merged = training.mean([one, two])

    assert merged.dtype == np.dtype("<f4")
    assert (merged == 2.5).all()


@pytest.mark.parametrize(("total", "held"), [(2, 1), (9, 1), (10, 2), (60, 12)])
def test_a_fifth_is_held_out(records: Records, total: int, held: int) -> None:
    kept, test = training.hold_out(records[:total])

    assert (len(kept), len(test)) == (total - held, held)
    assert (Records.concatenate([kept, test]).features == records[:total].features).all()


def test_one_record_is_not_enough(records: Records) -> None:
    with pytest.raises(BadFile, match="too few"):
        training.hold_out(records[:1])


@pytest.mark.parametrize("mode", TrainingMode)
@pytest.mark.parametrize(
    ("kind", "first", "last"), [(DatasetType.IID, 0.9, 0.88), (DatasetType.NON_IID, 0.7, 0.8)]
)
def test_a_federated_project_rises_round_by_round(
    digits: Digits, mode: TrainingMode, kind: DatasetType, first: float, last: float
) -> None:
    """8 devices, 3 apps, 20 epochs, 5 rounds: what a demo shows."""
    test = training.read_records(digits.test)
    devices = [
        [training.hold_out(training.read_records(file))[0] for file in files]
        for files in split(digits, 8, 3, kind, np.random.default_rng(0))
    ]
    model = zeros()
    accuracies = [training.evaluate(model, test).accuracy]

    for _ in range(5):
        updates = []
        for device, apps in enumerate(devices):
            sets = {
                TrainingMode.BASELINE: apps[:1],
                TrainingMode.JOINT_SAMPLES: [Records.concatenate(apps)],
                TrainingMode.JOINT_MODELS: apps,
            }[mode]
            trained = [
                training.train(model, records, 20, [1, device, app])[0]
                for app, records in enumerate(sets)
            ]
            updates.append(training.mean(trained))
        model = training.mean(updates)
        accuracies.append(training.evaluate(model, test).accuracy)

    assert accuracies[0] < 0.15
    assert min(np.diff(accuracies)) > -0.01, "two or three of the 359 test digits are noise"
    assert accuracies[1] < first
    assert accuracies[5] >= last
    assert accuracies[5] - accuracies[1] > 0.03
