"""How the numbers came about, in sentences that follow params.yaml."""

from stages.core import outcome
from stages.core.data.mnist import CLASSES, HEIGHT, WIDTH
from stages.core.params import Params
from stages.core.report.wording import count, counted, percent
from stages.core.settings import Model


def layers(model: Model) -> tuple[int, ...]:
    """The widths of all layers, input and output included."""
    return (HEIGHT * WIDTH, *model.hidden_layers, CLASSES)


def one_shape(models: list[Model]) -> bool:
    """Whether all these models are the same network, so that their weights lie in one space."""
    return len({(model.hidden_layers, model.activation) for model in models}) == 1


def network(params: Params) -> str:
    """What was trained, in a sentence."""
    models = list(params.models.values())
    shape = "networks of several shapes"
    if one_shape(models):
        arrows = " → ".join(map(str, layers(models[0])))
        shape = f"a multilayer perceptron {arrows} ({models[0].activation}, softmax at the end)"
    runs = len(models) * len(params.train.seeds)
    return (
        f"Gradient descent on MNIST: {shape}, {counted(len(models), 'model')} with "
        f"{counted(len(params.train.seeds), 'seed')} each, {counted(runs, 'run')} of "
        f"{counted(params.train.epochs, 'epoch')}."
    )


def sentences(params: Params) -> list[str]:
    """The split, the measures, the choice of the best, and what the statuses mean."""
    split = params.preprocess
    stalled, half = percent(outcome.STALLED_BELOW, 0), percent(outcome.LEARNED_FROM, 0)
    return [
        f"Data: {count(split.training_images)} images to learn from and {count(split.validation_images)} to "
        "choose by, drawn from MNIST's training file class by class; its test images are only reported, "
        "never chosen by.",
        "Best is the model with the highest mean validation accuracy after the last epoch; a tie goes to "
        "the lower validation loss. A model of which a run diverged or stalled is never the best.",
        "Status, from the training loss: `diverged` ended above its start or without a finite value; "
        f"`stalled` fell by less than {stalled} of its start; `undertrained` by less than {half}; `learned` "
        f"by {half} or more. A model has the worst status of its runs.",
        "The gradient's norm is that of the loss on a fixed set of training images; the distance is the "
        "Euclidean one of all weights from their start.",
        "The interval of a mean is Student's t over the seeds; the lead over the runner-up is tested by a "
        "paired t-test over the seeds and by McNemar's exact test on the test images.",
    ]
