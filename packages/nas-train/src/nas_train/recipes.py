"""The named recipes, each with the place its numbers come from.

What a paper leaves open is taken from the authors' published code, or else from the protocol that the paper follows;
the citation says so. Depth and width (N, F, C) belong to the network, not to the recipe.

The authors' codes are those of google-research/nasbench, D-X-Y/AutoDL-Projects, quark0/darts, chenxin061/pdarts,
rubinxin/vega_NAGO, pipilurj/BONAS and renqianluo/NAO; files are named from their roots. What they do and no recipe can
say: DARTS and those that follow it also change the hue of ImageNet's colours; NAO drops the inputs of the last linear
map (0.4 on CIFAR-10, 0.2 on CIFAR-100, where it also drops paths with 0.4 against its text).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType

from nas_train.recipe import Recipe

# Ours ---------------------------------------------------------------------------------------------------------------

_DIGITS = Recipe(
    "digits",
    epochs=12,
    batch=64,
    learning_rate=0.03,
    warmup=1.0,
    padding=1,
    citation="this toolkit: a short training for scans of 8 x 8 pixels",
)
_SMALL = Recipe(
    "small",
    epochs=10,
    batch=64,
    learning_rate=0.1,
    warmup=1.0,
    padding=4,
    flip=True,
    images=5000,
    citation="this toolkit: a short training for images of CIFAR's size on a CPU",
)
_PROXY = Recipe(
    "proxy",
    epochs=12,
    batch=256,
    learning_rate=0.2,
    warmup=1.0,
    padding=4,
    flip=True,
    label_smoothing=0.1,
    dtype="bfloat16",
    citation="this toolkit: a short training on all of CIFAR, to order networks cheaply on a GPU",
)
_OURS = (
    _DIGITS,
    replace(_DIGITS, name="digits_final", epochs=60, learning_rate=0.2),
    _SMALL,
    replace(_SMALL, name="small_final", epochs=30, images=None),
    _PROXY,
)

# Tabular benchmarks -------------------------------------------------------------------------------------------------

_NASBENCH201 = Recipe(
    "nasbench201",
    epochs=200,
    batch=256,
    learning_rate=0.1,
    padding=4,
    flip=True,
    citation="Dong & Yang 2020 (NAS-Bench-201), §2.3; its code, configs/nas-benchmark/hyper-opts/200E.config",
)
_NASBENCH101 = Recipe(
    "nasbench101",
    epochs=108,
    batch=256,
    learning_rate=0.2,
    nesterov=False,
    weight_decay=1e-4,
    padding=4,
    flip=True,
    weight_optimizer="rmsprop",
    second_momentum=0.9,
    epsilon=1.0,
    citation="Ying et al. 2019 (NAS-Bench-101), §2.3 and supplement S2; its code, nasbench/lib/config.py (0.1 on each "
    "of two shards) and model_builder.py (epsilon 1, TensorFlow's decay of 0.9)",
)
_BENCHMARKS = (
    _NASBENCH201,
    replace(
        _NASBENCH201,
        name="nasbench201_12",
        epochs=12,
        citation="Dong & Yang 2020 (NAS-Bench-201), §2.3; its code, configs/nas-benchmark/hyper-opts/12E.config",
    ),
    _NASBENCH101,
)

# DARTS, and what follows its protocol -------------------------------------------------------------------------------

_DARTS = Recipe(
    "darts_final",
    epochs=600,
    batch=96,
    learning_rate=0.025,
    nesterov=False,
    weight_decay=3e-4,
    padding=4,
    flip=True,
    cutout=16,
    drop_path=0.2,
    auxiliary_weight=0.4,
    gradient_clip=5.0,
    citation="Liu et al. 2019 (DARTS), §3.2 and appendix A.2; clipping from its code, cnn/train.py",
)
_MOBILE = Recipe(
    "imagenet_mobile",
    epochs=250,
    batch=128,
    learning_rate=0.1,
    nesterov=False,
    weight_decay=3e-5,
    schedule="step",
    period=1.0,
    decay=0.97,
    label_smoothing=0.1,
    flip=True,
    resized_crop=True,
    colour=0.4,
    auxiliary_weight=0.4,
    gradient_clip=5.0,
    citation="Liu et al. 2019 (DARTS), §3.3 and appendix A.3; Shi et al. 2020 (BONAS), §4.4.1, trains as it does; "
    "smoothing, colours and clipping from the code of DARTS, cnn/train_imagenet.py",
)
_MOBILE_LINEAR = replace(
    _MOBILE,
    name="imagenet_mobile_linear",
    batch=1024,
    learning_rate=0.5,
    schedule="linear",
    period=None,
    decay=1.0,
    warmup=5.0,
    citation="Chen et al. 2019 (P-DARTS), §4.3: the mobile setting with large batches and a linear schedule; its code, "
    "train_imagenet.py, has the schedule and the warm-up",
)
_BONAS = (
    replace(
        _DARTS,
        name="bonas_search",
        epochs=120,
        citation="Shi et al. 2020 (BONAS), §4.3: 120 epochs; the rest as Liu et al. 2019 (DARTS), §3.2, with a cosine "
        "over the epochs that are run, as in its code, fully_train/train_cifar10.py",
    ),
    Recipe(
        "bonas_resnet",
        epochs=40,
        batch=256,
        learning_rate=0.1,
        weight_decay=1e-4,
        nesterov=False,
        warmup=1.0,
        flip=True,
        resized_crop=True,
        citation="Shi et al. 2020 (BONAS), appendix D: 40 epochs, 'a fast convergence schedule', here a cosine; "
        "the rest as He et al. 2016, §3.4",
    ),
)

# NAGO ---------------------------------------------------------------------------------------------------------------

_NAGO_COMPLETE = Recipe(
    "nago_complete",
    epochs=600,
    batch=96,
    learning_rate=0.025,
    nesterov=False,
    weight_decay=3e-4,
    padding=4,
    flip=True,
    cutout=16,
    citation="Ru et al. 2020 (NAGO), §4, complete training protocol; cosine and weight decay, which it leaves open, as "
    "Liu et al. 2019 (DARTS), §3.2, who have its rate, batch and epochs; nago.yml in its code has another protocol",
)
_NAGO_COMPLETE_LARGE = replace(_NAGO_COMPLETE, name="nago_complete_large", padding=0, resized_crop=True, cutout=112)
_NAGO_SEARCH = replace(
    _NAGO_COMPLETE,
    name="nago_search",
    epochs=120,
    largest_batch=512,
    largest_rate=0.1,
    citation="Ru et al. 2020 (NAGO), §4.1: batch by memory, rate along a line; the rest as its complete training",
)
_NAGO_SEARCH_LARGE = replace(_NAGO_SEARCH, name="nago_search_large", padding=0, resized_crop=True, cutout=112)
_NAGO = (
    _NAGO_SEARCH,
    _NAGO_SEARCH_LARGE,
    replace(_NAGO_SEARCH_LARGE, name="nago_search_sport8", epochs=400),
    replace(
        _NAGO_SEARCH_LARGE,
        name="nago_search_imagenet",
        epochs=60,
        citation="Ru et al. 2020 (NAGO), §4.3: up to 60 epochs; the rest as its search in §4.1",
    ),
    _NAGO_COMPLETE,
    _NAGO_COMPLETE_LARGE,
    Recipe(
        "nago_imagenet",
        epochs=250,
        batch=256,
        learning_rate=0.1,
        nesterov=False,
        weight_decay=5e-5,
        label_smoothing=0.1,
        flip=True,
        resized_crop=True,
        cutout=112,
        citation="Ru et al. 2020 (NAGO), §4, complete training protocol: the small regime of Xie et al. 2019, §4.1, "
        "whose weight decay two public ports have, JiaminRen/RandWireNN and seungwonpark/RandWireNN",
    ),
)

# NAO ----------------------------------------------------------------------------------------------------------------

_NAO_SEARCH = Recipe(
    "nao_search",
    epochs=25,
    batch=128,
    learning_rate=0.024,
    nesterov=False,
    weight_decay=5e-4,
    period=100.0,
    padding=4,
    flip=True,
    drop_path=0.3,
    auxiliary_weight=0.4,
    gradient_clip=5.0,
    citation="Luo et al. 2018 (NAO), §4.1; the cosine's period of 100 epochs, drop path and clipping from its code, "
    "NAO/cnn/train_cifar10_search.sh and train_cifar.py",
)
_NAO_WEIGHT_SHARING = Recipe(
    "nao_weight_sharing",
    epochs=150,
    batch=160,
    learning_rate=0.05,
    weight_decay=2e-4,
    floor=5e-4,
    period=10.0,
    growth=2.0,
    padding=4,
    flip=True,
    drop_path=0.4,
    citation="Luo et al. 2018 (NAO), §3.4 with the set-up of Pham et al. 2018 (ENAS), §3.2; numbers from its code, "
    "NAO-WS/cnn/train_search.sh, whose penalty of 1e-4 is on squares, not on half of them (utils.py)",
)
_NAO = (
    _NAO_SEARCH,
    replace(
        _NAO_SEARCH,
        name="nao_final",
        epochs=600,
        period=None,
        cutout=16,
        citation="Luo et al. 2018 (NAO), §4.1, for F = 36, 64 and 128, the first two without cutout in table 1; drop "
        "path, clipping and cutout of 16 from its code, NAO/cnn/train_cifar10_final.sh",
    ),
    _NAO_WEIGHT_SHARING,
    replace(
        _NAO_WEIGHT_SHARING,
        name="nao_weight_sharing_final",
        epochs=630,
        batch=144,
        weight_decay=4e-4,
        floor=1e-4,
        citation="Luo et al. 2018 (NAO), table 1, NAONet-WS (N = 5, F = 36); numbers from its code, "
        "NAO-WS/cnn/train_final.sh",
    ),
)

RECIPES: Mapping[str, Recipe] = MappingProxyType(
    {recipe.name: recipe for recipe in (*_OURS, *_BENCHMARKS, _DARTS, _MOBILE, _MOBILE_LINEAR, *_BONAS, *_NAGO, *_NAO)}
)
"""The named recipes."""

FIDELITIES: Mapping[str, tuple[int, ...]] = MappingProxyType(
    {
        "nago_search": (30, 60, 120),
        "nago_search_large": (30, 60, 120),
        "nago_search_sport8": (100, 200, 400),
        "nago_search_imagenet": (15, 30, 60),
    }
)
"""Epochs at which a recipe's paper evaluates, from the cheapest, by the recipe's name (Ru et al. 2020, §4.1, §4.3)."""
