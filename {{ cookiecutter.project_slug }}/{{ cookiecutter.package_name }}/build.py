"""From a configuration to the objects that it describes."""

import logging

import torch
from hydra.utils import instantiate
from lightning import seed_everything
from omegaconf import DictConfig
from torch import nn

from .classifier import Classifier
from .contradictions import mistakes_with_data
from .data import Data, with_label_noise

logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)  # every Trainer would advertise
logging.getLogger("lightning.pytorch.profilers").setLevel(logging.INFO)  # what trainer.profiler=simple has to tell


def build(config: DictConfig) -> tuple[Data, Classifier]:
    """Make the data, and a classifier with fresh weights that depend on ``config.seed`` alone.

    Raises: ValueError: what ``check`` cannot see without reading the data or calling the parts.
    """
    data = with_label_noise(instantiate(config.data.source), config.data.label_noise)
    mistakes = list(mistakes_with_data(config, len(data.train.y)))
    if mistakes:
        raise ValueError("\n".join(mistakes))
    seed_everything(config.seed, verbose=False)
    network = instantiate(config.network)(data.in_shape, data.num_classes)
    if "parts" in config.network:  # a network of one's own starts as it was made
        instantiate(config.initialisation)(network)
    refuse_misfit(network, data)
    classifier = Classifier(
        network,
        optimizer=instantiate(config.optimizer),
        scheduler=instantiate(config.scheduler),
        weight_decay=instantiate(config.weight_decay),
    )
    return data, classifier


def refuse_misfit(network: nn.Module, data: Data) -> None:
    """See that two rows become two rows of logits.

    Raises: ValueError: they do not.
    """
    shape = (2, *data.in_shape)
    try:
        with torch.no_grad():
            logits = network.eval()(data.train.x[:2])
    except RuntimeError as error:
        raise ValueError(f"the network cannot take a batch of shape {shape}: {error}") from error
    finally:
        network.train()
    if logits.shape != (2, data.num_classes):
        raise ValueError(f"the network must turn {shape} into (2, {data.num_classes}), got {tuple(logits.shape)}")
