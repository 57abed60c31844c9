"""Networks whose classes are texts, with classes fixed; and the decoder of RT-DETR.

YOLO-World and YOLOE compare features of the image with features of texts. A text model, which is a download,
makes the latter; random ones of the same length give the same graph. `families.py` builds the rest.
"""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import torch
from torch import nn
from ultralytics.nn.modules.head import WorldDetect, YOLOEDetect

TEXTS = ("person", "bus", "disk", "a box with a lid", "star", "traffic sign", "tree")
_FEATURES = 512  # of a text


def fix_classes(yolo: Any) -> None:
    """Give a promptable network its classes, as `set_classes` does; leave others alone."""
    network, head = yolo.model, yolo.model.model[-1]
    features = nn.functional.normalize(torch.randn(1, len(TEXTS), _FEATURES), dim=-1)
    if isinstance(head, YOLOEDetect):
        yolo.set_classes(list(TEXTS), features)
    elif isinstance(head, WorldDetect):  # its set_classes takes texts alone
        network.txt_feats, head.nc = features, len(TEXTS)
        network.names = dict(enumerate(TEXTS))


def free_of_prompts(yolo: Any) -> None:
    """Make a YOLOE with fixed classes one without prompts, which filters anchors before it names them."""
    network, head = yolo.model, yolo.model.model[-1]
    head.fuse(network.pe)
    vocabulary = nn.ModuleList(branch[-1] for branch in head.cv3)
    for branch in head.cv3:
        branch[-1] = nn.Conv2d(branch[-1].in_channels, 1, 1)  # whether an anchor is an object
    network.pe = network.pe[:, :1]  # one class until the vocabulary is set: an object
    yolo.set_vocab(deepcopy(vocabulary), list(TEXTS))


def is_similarity(layer: Any) -> bool:
    """Whether a layer compares features of the image with those of texts."""
    return hasattr(layer, "logit_scale")


def standard_similarity(value: torch.Tensor, deviation: float) -> torch.Tensor:
    """(N, classes, h, w) with mean 0 and such a deviation over all."""
    return (value - value.mean()) / (value.std() + 1e-6) * deviation


def rescale_similarity(layer: Any, value: torch.Tensor, deviation: float, shift: float) -> None:
    """Make a layer that gives `value` give `standard_similarity(value, deviation) + shift`."""
    factor = deviation / (value.std() + 1e-6)
    layer.logit_scale += factor.log()
    layer.bias.copy_((layer.bias - value.mean()) * factor + shift)


def rescale_linear(layer: nn.Linear, value: torch.Tensor, deviation: float, shift: float) -> None:
    """Make a layer that gives `value` (N, queries, classes) give every class this deviation and mean."""
    mean, factor = value.mean((0, 1)), deviation / (value.std((0, 1)) + 1e-6)
    layer.weight *= factor[:, None]
    layer.bias.copy_((layer.bias - mean) * factor + shift)


def vary_boxes(decoder_head: Any) -> None:
    """Let the last layers of RT-DETR's boxes move them: they begin with zeros."""
    for boxes in (decoder_head.enc_bbox_head, *decoder_head.dec_bbox_head):
        nn.init.normal_(boxes.layers[-1].weight, std=0.05)
