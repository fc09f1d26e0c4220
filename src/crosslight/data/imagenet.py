"""The colours of ImageNet, RGB in [0, 1]: what pretrained backbones expect, what erasing fills."""

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
