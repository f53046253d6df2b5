"""How large the published networks are, known without building them."""

from __future__ import annotations

import torch

from .registry import ModelInfo

IMAGENET_CLASSES = 1000
IMAGENET_SIDE = 224
# Of the images that the small variants are made for.
SMALL_SIDE = 64

# Parameters for ImageNet's classes. A test builds every network and counts again; building them takes seconds.
_N_PARAMETERS = {
    "resnet18": 11_689_512,
    "bcos_resnet18": 11_693_120,
    "resnet34": 21_797_672,
    "bcos_resnet34": 21_797_568,
    "resnet50": 25_557_032,
    "bcos_resnet50": 25_538_880,
    "resnet101": 44_549_160,
    "bcos_resnet101": 44_504_896,
    "resnet152": 60_192_808,
    "bcos_resnet152": 60_125_504,
    "resnext50_32x4d": 25_028_904,
    "bcos_resnext50_32x4d": 25_003_200,
    "resnet50_long": 25_557_032,
    "bcos_resnet50_long": 25_538_880,
    "resnet152_long": 60_192_808,
    "bcos_resnet152_long": 60_125_504,
    "densenet121": 7_978_856,
    "bcos_densenet121": 7_945_440,
    "densenet161": 28_681_000,
    "bcos_densenet161": 28_584_144,
    "densenet169": 14_149_480,
    "bcos_densenet169": 14_078_688,
    "densenet201": 20_013_928,
    "bcos_densenet201": 19_907_808,
    "densenet121_long": 7_978_856,
    "bcos_densenet121_long": 7_945_440,
    "vgg11_bnu": 132_868_840,
    "bcos_vgg11_bnu": 132_855_872,
    "convnext_tiny": 28_589_128,
    "bcos_convnext_tiny": 28_543_392,
    "convnext_base": 88_591_464,
    "bcos_convnext_base": 88_466_304,
    "convnext_tiny_bnu": 28_589_128,
    "bcos_convnext_tiny_bnu": 28_543_392,
    "convnext_base_bnu": 88_591_464,
    "bcos_convnext_base_bnu": 88_466_304,
    "simple_vit_ti_patch16_224": 5_670_184,
    "bcos_simple_vit_ti_patch16_224": 5_800_128,
    "simple_vit_s_patch16_224": 21_956_200,
    "bcos_simple_vit_s_patch16_224": 22_217_088,
    "simple_vit_b_patch16_224": 86_378_728,
    "bcos_simple_vit_b_patch16_224": 86_901_504,
    "simple_vit_l_patch16_224": 178_104_296,
    "bcos_simple_vit_l_patch16_224": 178_787_328,
    "vitc_ti_patch1_14": 5_334_952,
    "bcos_vitc_ti_patch1_14": 5_318_712,
    "vitc_s_patch1_14": 20_910_184,
    "bcos_vitc_s_patch1_14": 20_878_704,
    "vitc_b_patch1_14": 81_388_648,
    "bcos_vitc_b_patch1_14": 81_326_016,
    "vitc_l_patch1_14": 167_541_352,
    "bcos_vitc_l_patch1_14": 167_444_160,
}


def n_parameters(info: ModelInfo) -> int:
    """Return the number of parameters of the published network, for ImageNet's classes."""
    known = _N_PARAMETERS.get(info.name)
    return counted_parameters(info) if known is None else known


def counted_parameters(info: ModelInfo) -> int:
    """Return the same number by building the network, without memory for its weights."""
    with torch.device("meta"):
        model = info.build("imagenet", IMAGENET_CLASSES)
    return sum(parameter.numel() for parameter in model.parameters())
