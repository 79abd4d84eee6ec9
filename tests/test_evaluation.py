import numpy as np
import pytest

from stages.core.engine import evaluation, network
from stages.core.engine.backend import tf
from stages.core.settings import Model
from tests.conftest import draw_digits
from tests.test_gradients import backpropagated


@pytest.fixture(scope="module")
def model():
    return network.build(Model(batch_size=8, learning_rate=0.1), 0)


@pytest.mark.parametrize("count", [200, 1000, 2300])
def test_loss_accuracy_and_probabilities_are_those_of_keras(count, model):
    images, labels = draw_digits(count, 8)
    weights = [tf.constant(weight) for weight in model.get_weights()]
    loss, accuracy = evaluation.loss_and_accuracy(weights, tf.constant(images), tf.constant(labels), "relu")
    probabilities = model.predict(images, verbose=0)
    assert float(loss) == pytest.approx(-np.log(probabilities[np.arange(count), labels]).mean(), rel=1e-5)
    assert float(accuracy) == pytest.approx((probabilities.argmax(axis=1) == labels).mean(), rel=1e-6)
    given = evaluation.probabilities(weights, tf.constant(images), "relu").numpy()
    np.testing.assert_allclose(given, probabilities, rtol=1e-4)


def test_the_gradient_norm_is_that_of_backpropagation_by_hand(model):
    images, labels = draw_digits(1000, 8)
    weights = model.get_weights()
    by_hand = backpropagated([weight.astype(np.float64) for weight in weights], images, labels)
    norm = evaluation.gradient_norm(
        [tf.constant(w) for w in weights], tf.constant(images), tf.constant(labels), "relu"
    )
    assert float(norm) == pytest.approx(np.sqrt(sum((array**2).sum() for array in by_hand)), rel=1e-5)
