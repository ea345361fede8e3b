"""Fit a classifier in torch."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from bioseg import images
from bioseg.bundles import Contract
from bioseg.datasets import Sample, Splits, digest, pixels
from bioseg.datasets.augment_picture import PictureView, picture_view
from bioseg.errors import DatasetError, InvalidInput
from bioseg.evaluation import classification
from bioseg.inference import Predictor, classifying
from bioseg.inference.layout import from_stored, to_stored
from bioseg.models.torch_classifiers import classifier, logits
from bioseg.study import ClassifierRecipe, Study
from bioseg.training import Run, Tracker, torch_checkpoint
from bioseg.training.ahead import ahead
from bioseg.training.contracts import draft
from bioseg.training.schedules import Budget, one_cycle
from bioseg.training.torch_device import described, device, mixed

CHECKPOINT = "last.safetensors"
EPOCHS_BETWEEN_CHECKS = 5
SPARE = 3
"""How many times the side of a view the pictures that views are drawn from have at most."""
HEAD_SHARE = 0.25
FINE_TUNING = 0.1

Floats = NDArray[np.float32]
Picture = NDArray[np.uint8]
Pools = Mapping[int, Mapping[str, Sequence[Picture]]]
Batches = Iterator[tuple[torch.Tensor, torch.Tensor]]
Builder = Callable[..., nn.Sequential]


@dataclass(frozen=True, slots=True)
class Phase:
    """Part of a fit: which parts of the network learn, at which peak rate, for how long."""

    parts: tuple[str, ...]
    learning_rate: float
    steps: int
    minutes: float | None


def fit(
    study: Study,
    recipe: ClassifierRecipe,
    splits: Splits,
    run: Run,
    build: Builder = classifier,
    start: Mapping[str, torch.Tensor] | None = None,
) -> nn.Module:
    """Fit a network on the samples for fitting and the study's drawn pictures.

    Each view is drawn evenly over the classes, then over the sources of the class by the fourth root of their size, so
    that no large collection stands for a class alone. Where the recipe says so, the features learn from the related
    samples first, and the head counts with the share of each class among the samples in the end.

    Parameters
    ----------
    splits
        The samples for choosing draw a curve and sample predictions; those for scoring are not read.
    run
        Its folder gets `<stage>last.safetensors`, the averaged weights; a fit of the same settings and data that ended
        there is not done again, one that broke off begins anew. Of its minutes the head's phase gets a quarter.
    build
        Like `models.torch_classifiers.classifier`: a sequence with the parts `features` and `head`.
    start
        State of a network of the recipe to begin with; None: what `build` gives.

    Returns
    -------
    Network with averaged weights, (N, 3, side, side) in [0, 1] to what `build` says, in evaluation mode.

    Raises
    ------
    DatasetError
        When there is no sample to fit on, no related one where they are wanted, or one has no label of the study.
    InvalidInput
        When `start` is of another network.
    """
    if not splits.fit:
        raise DatasetError(f"no samples to fit {study.name} on: this copy of the data lacks them")
    source = batches(pools(study, splits.fit, SPARE * recipe.side), study, recipe, np.random.default_rng(run.seed))
    torch.manual_seed(run.seed)
    model = build(recipe.architecture, len(study.classes), recipe.side, pretrained=recipe.pretrained)
    if start is not None:
        _start_with(model, start, recipe)
    model.to(device(), memory_format=torch.channels_last)  # type: ignore[call-overload]
    averaged = AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(recipe.averaging), use_buffers=True)
    contract = draft(study, recipe, "fitting")
    predict = _predictor(averaged.module, contract)
    kept, made_by = run.checkpoints / f"{run.stage}{CHECKPOINT}", _made_by(study, recipe, splits, run)
    if saved := torch_checkpoint.ended(kept, made_by, run):
        averaged.module.load_state_dict(saved)
    else:
        if recipe.related:
            features = _related_features(study, recipe.related, splits, run, build)
            for network in (model, averaged.module):
                network.get_submodule("features").load_state_dict(features)
        run.computed[run.stage] = described()
        with closing(ahead(source)) as made:
            for epoch, (done, figures) in enumerate(_epochs(model, averaged, recipe, made, run.minutes), start=1):
                checked = _check(study, contract, predict, splits.choose) if epoch % EPOCHS_BETWEEN_CHECKS == 0 else {}
                run.report(epoch, epoch * recipe.steps, done, figures | checked)
                if epoch % EPOCHS_BETWEEN_CHECKS == 0 or done == 1:
                    torch_checkpoint.write(kept, averaged.module.state_dict(), made_by, run.notes(done))
    averaged.to("cpu")
    if recipe.prior == "sampled":
        _expect(averaged.module.get_submodule("head"), study, splits.fit)
    _show(contract, predict, splits.choose, SPARE * recipe.side, run.tracker)
    return averaged.module.eval()


def _start_with(network: nn.Module, state: Mapping[str, torch.Tensor], recipe: ClassifierRecipe) -> None:
    try:
        network.load_state_dict(state)
    except RuntimeError as error:
        raise InvalidInput(f"what to start from is no {recipe.architecture} of these classes: {error}") from error


def _expect(head: nn.Module, study: Study, samples: Sequence[Sample]) -> None:
    """Let the logits count with the share of each class among samples, in place of even ones.

    Saerens, Latinne and Decaestecker, "Adjusting the outputs of a classifier to new a priori probabilities", 2002.
    """
    shares = [np.mean([sample.label == name for sample in samples]) for name in study.classes]
    with torch.no_grad():
        head.get_parameter("bias").add_(torch.tensor(shares, dtype=torch.float32).log())


def _related_features(
    study: Study, recipe: ClassifierRecipe, splits: Splits, run: Run, build: Builder
) -> dict[str, torch.Tensor]:
    """Fit a network on the related samples and give what its features learnt; a refit takes that of the fit before.

    Yosinski et al., "How transferable are features in deep neural networks?", NeurIPS 2014.
    """
    if not splits.related:
        raise DatasetError(f"no related samples for {study.name} to learn from first: this copy of the data lacks them")
    labels = tuple(sorted({str(sample.label) for sample in splits.related}))
    first, own = replace(study, classes=labels, drawn=None), replace(run, stage="related_")
    learnt = fit(first, recipe, Splits(splits.related, (), ()), own, build)
    return learnt.get_submodule("features").state_dict()


def _made_by(study: Study, recipe: ClassifierRecipe, splits: Splits, run: Run) -> dict[str, str]:
    """What a fit has to share with the one whose file it takes."""
    drawn = str(study.drawn.fit) if study.drawn else ""
    own = {"study": study.name, "recipe": repr(recipe), "seed": str(run.seed)}
    return own | {"fitted on": digest(splits.fit), "drawn": drawn}


def phases(recipe: ClassifierRecipe, minutes: float | None) -> tuple[Phase, ...]:
    """Part a fit: ImageNet weights are kept until the new head has settled, then tuned at a tenth of the rate."""
    whole = ("features", "head")
    if not recipe.pretrained:
        return (Phase(whole, recipe.learning_rate, recipe.epochs * recipe.steps, minutes),)
    at_first, then = (None, None) if minutes is None else (HEAD_SHARE * minutes, (1 - HEAD_SHARE) * minutes)
    return (
        Phase(("head",), recipe.learning_rate, recipe.head_epochs * recipe.steps, at_first),
        Phase(whole, FINE_TUNING * recipe.learning_rate, recipe.epochs * recipe.steps, then),
    )


def _epochs(
    model: nn.Sequential, averaged: AveragedModel, recipe: ClassifierRecipe, batches: Batches, minutes: float | None
) -> Iterator[tuple[float, dict[str, float]]]:
    """Train phase by phase; yields the share done and the curves after each epoch, the last one maybe short."""
    course = phases(recipe, minutes)
    measure = nn.CrossEntropyLoss(label_smoothing=recipe.smoothing)
    for number, phase in enumerate(course):
        budget = Budget(phase.steps, phase.minutes)
        optimiser = torch.optim.AdamW(_thaw(model, phase.parts), phase.learning_rate, weight_decay=recipe.weight_decay)
        step = 0
        while budget.done(step) < 1:
            figures = []
            for _ in range(recipe.steps):
                done = budget.done(step)
                if done == 1:
                    break
                _pace(optimiser, *one_cycle(phase.learning_rate, done))
                figures.append(_step(model, optimiser, measure, *(part.to(device()) for part in next(batches))))
                averaged.update_parameters(model)
                step += 1
            loss, accuracy = np.mean(figures, axis=0)
            yield (number + budget.done(step)) / len(course), {"loss": float(loss), "accuracy": float(accuracy)}


def _thaw(model: nn.Sequential, parts: Sequence[str]) -> list[nn.Parameter]:
    """Let the named parts learn, keep the others as they are, and list what learns."""
    for name, part in model.named_children():
        part.train(mode=name in parts)
        part.requires_grad_(requires_grad=name in parts)
    return [weight for weight in model.parameters() if weight.requires_grad]


def _pace(optimiser: torch.optim.Optimizer, rate: float, momentum: float) -> None:
    for group in optimiser.param_groups:
        group["lr"], group["betas"] = rate, (momentum, group["betas"][1])


def _step(
    model: nn.Module, optimiser: torch.optim.Optimizer, measure: nn.Module, image: torch.Tensor, label: torch.Tensor
) -> tuple[float, float]:
    """Learn from one batch; returns its loss and the share it got right."""
    with mixed():
        told = logits(model(image)).float()
    loss = measure(told, label)
    optimiser.zero_grad()
    loss.backward()
    optimiser.step()
    return loss.item(), (told.argmax(dim=1) == label).float().mean().item()


def pools(study: Study, samples: Sequence[Sample], longest: int) -> Pools:
    """Pictures to draw views from, by class number and source, their longer sides at most `longest` pixels."""
    pools: dict[int, dict[str, list[Picture]]] = {}
    for sample in samples:
        if sample.label not in study.classes:
            raise DatasetError(f"{sample.image} is labelled {sample.label!r}; {study.name} knows {study.classes}")
        pools.setdefault(study.classes.index(sample.label), {}).setdefault(sample.source, []).append(
            _picture(sample, longest)
        )
    if study.drawn:
        for number in study.drawn.fit:
            source, label = study.drawn.origin(number)
            pools.setdefault(study.classes.index(label), {}).setdefault(source, []).append(study.drawn.draw(number))
    return pools


def _picture(sample: Sample, longest: int) -> Picture:
    """RGB (H, W, 3), its longer side at most `longest` pixels: views are far smaller."""
    picture = images.to_uint8(pixels.image(sample))
    rgb = picture if picture.ndim == 3 else np.repeat(picture[..., np.newaxis], 3, axis=2)
    scale = longest / max(rgb.shape[:2])
    if scale >= 1:
        return rgb
    return np.asarray(cv2.resize(rgb, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA), np.uint8)


def batches(pools: Pools, study: Study, recipe: ClassifierRecipe, rng: np.random.Generator) -> Batches:
    """Random views without end: (batch, 3, side, side) in [0, 1] and class numbers (batch,)."""
    while True:
        drawn = [_view(pools, study, recipe, rng) for _ in range(recipe.batch)]
        image = torch.from_numpy(np.stack([view for view, _ in drawn])).permute(0, 3, 1, 2)
        yield image, torch.tensor([label for _, label in drawn])


def _view(pools: Pools, study: Study, recipe: ClassifierRecipe, rng: np.random.Generator) -> tuple[Floats, int]:
    label = list(pools)[rng.integers(len(pools))]
    sources = list(pools[label].values())
    weights = np.power([len(source) for source in sources], 1 / 4)
    source = sources[rng.choice(len(sources), p=weights / weights.sum())]
    ranges = recipe.views.get(study.classes[label], PictureView())
    return picture_view(source[int(rng.integers(len(source)))], recipe.side, ranges, rng), label


def _predictor(model: nn.Module, contract: Contract) -> Predictor:
    def predict(batch: Floats) -> Floats:
        where = next(model.parameters()).device
        with torch.inference_mode():
            given = model.eval()(torch.from_numpy(to_stored(batch, contract)).to(where))
        return from_stored(given.cpu().numpy(), contract)

    return predict


def _check(study: Study, contract: Contract, predict: Predictor, samples: Sequence[Sample]) -> dict[str, float]:
    """Accuracy on the samples for choosing."""
    if not samples:
        return {}
    judged = classification.judge(study, contract, predict, samples)
    return {"choose_accuracy": float(np.mean(judged.probabilities.argmax(axis=1) == judged.labels))}


def _show(contract: Contract, predict: Predictor, samples: Sequence[Sample], longest: int, tracker: Tracker) -> None:
    """Keep one picture of each class, named by the class it is taken for."""
    for label, sample in {sample.label: sample for sample in samples}.items():
        picture = _picture(sample, longest)
        likeliest = int(classifying.class_probabilities(predict, contract, picture).argmax())
        tracker.picture(f"{label} taken for {contract.classes[likeliest]}", picture)
