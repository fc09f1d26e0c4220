"""What D2RL minimises (Wang et al., CVPR 2019), in the order of our notes: L_I, L_F, and both.

Letters and the names of what is drawn as in `crosslight.methods.d2rl.image_level`. Each loss is
plain here; `image_weights` and `feature_weights` say what it counts in the sum.
"""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor
from torch.nn import functional as F

from crosslight.losses import batch_hard_triplet, weighted_regularised_triplet
from crosslight.methods.d2rl.config import D2RLConfig, ImageLoss
from crosslight.methods.d2rl.feature_level import FeatureLevel
from crosslight.methods.d2rl.image_level import Drawn, ImageLevel
from crosslight.methods.terms import ACCURACY, Term
from crosslight.nn.distributed import gather_with_gradient
from crosslight.nn.freezing import frozen
from crosslight.nn.patch_critic import critic_loss, generator_loss
from crosslight.nn.vae import kl_to_standard_normal


def l_vae(config: D2RLConfig, mean: Tensor, recon: Tensor, image: Tensor) -> Tensor:
    """L_VAE of one light: the code near a standard normal, the image given back."""
    divergence = config.kl_weight * kl_to_standard_normal(mean)
    return divergence + config.recon_weight * F.l1_loss(recon, image)


def l_cc(config: D2RLConfig, mean: Tensor, back: Tensor, image: Tensor) -> Tensor:
    """L_CC: an image translated there and back is the image."""
    divergence = config.cycle_kl_weight * kl_to_standard_normal(mean)
    return divergence + config.cycle_weight * F.l1_loss(back, image)


def critic_losses(level: ImageLevel, drawn: Drawn) -> dict[str, Tensor]:
    """What D_v and D_i minimise: their side of L_GANv and L_GANi.

    Their fakes are drawn with noise of their own (UNIT).
    """
    judged = {
        "v": (level.critic_v, drawn.x, level.decoder_v, drawn.mean_i),
        "i": (level.critic_i, drawn.y, level.decoder_i, drawn.mean_v),
    }
    losses = {}
    for domain, (critic, real, decoder, mean) in judged.items():
        if f"gan_{domain}" in level.config.without:
            continue
        fake = level.fake(decoder, mean)
        losses[f"loss_critic_{domain}"] = critic_loss(critic(real), critic(fake), level.config.gan)
    return losses


def image_losses(level: ImageLevel, drawn: Drawn) -> dict[str, Tensor]:
    """L_I: the six image losses that are switched on."""
    config = level.config
    with frozen(*level.critics):
        on_fake_v, on_fake_i = level.critic_v(drawn.fake_v), level.critic_i(drawn.fake_i)
    found: dict[ImageLoss, Tensor] = {
        "vae_v": l_vae(config, drawn.mean_v, drawn.recon_v, drawn.x),
        "vae_i": l_vae(config, drawn.mean_i, drawn.recon_i, drawn.y),
        "gan_v": generator_loss(on_fake_v, config.gan),
        "gan_i": generator_loss(on_fake_i, config.gan),
        "cc_v": l_cc(config, drawn.mean_cycle_v, drawn.cycle_v, drawn.x),
        "cc_i": l_cc(config, drawn.mean_cycle_i, drawn.cycle_i, drawn.y),
    }
    losses = {f"loss_{name}": loss for name, loss in found.items() if name not in config.without}
    return {**losses, **keep_losses(level, drawn)} if config.keep_weight else losses


def keep_losses(level: ImageLevel, drawn: Drawn) -> dict[str, Tensor]:
    """Identity mapping (Zhu et al., ICCV 2017, section 5.2): nothing to do is left undone."""
    kept_v, kept_i = level.keep(drawn.x, drawn.y)
    return {
        "loss_keep_v": F.l1_loss(kept_v, drawn.x),
        "loss_keep_i": F.l1_loss(kept_i, drawn.y),
    }


def image_weights(config: D2RLConfig) -> dict[str, float]:
    """Of L_I's terms; the lambdas within L_VAE and L_CC are theirs."""
    visible = {"vae": 1.0, "gan": config.gan_weight, "cc": 1.0, "keep": config.keep_weight}
    return {f"loss_{name}_v": weight for name, weight in visible.items()} | {
        f"loss_{name}_i": config.infrared_weight * weight for name, weight in visible.items()
    }


def feature_losses(
    level: FeatureLevel, unified: Tensor, labels: Tensor
) -> tuple[dict[str, Tensor], Tensor]:
    """L_F: L_tri of FC-128 and L_ce of FC-N_p over all ranks' images; and the accuracy.

    Args:
        level: T_F.
        unified: (B, U, H, W) in [0, 1]; both modalities form one pool.
        labels: (B,).
    """
    config = level.config
    features = level(unified)
    metric = gather_with_gradient(features.metric)
    logits = gather_with_gradient(features.logits)
    people = gather_with_gradient(labels)
    losses = {
        "loss_triplet": l_tri(config, metric, people),
        "loss_id": F.cross_entropy(logits, people, label_smoothing=config.label_smoothing),
    }
    accuracy = (logits.argmax(dim=1) == people).float().mean()
    return losses, accuracy


def l_tri(config: D2RLConfig, metric: Tensor, people: Tensor) -> Tensor:
    """L_tri of (B, M) features."""
    if config.triplet == "weighted":
        return weighted_regularised_triplet(metric, people, as_released=False)
    return batch_hard_triplet(metric, people, margin=config.margin)


def feature_weights(config: D2RLConfig, *, joint: bool) -> dict[str, float]:
    """Of L_F's terms: alone, or w_F times as much beside L_I."""
    whole = config.feature_weight if joint else 1.0
    return {
        "loss_triplet": whole * config.triplet_weight,
        "loss_id": whole * config.id_weight,
    }


TERMS: Mapping[str, Term] = {
    "loss_vae_v": Term(symbol="L_{VAE_v}", meaning="a visible image through its own autoencoder"),
    "loss_vae_i": Term(symbol="L_{VAE_i}", meaning="an infrared image through its own autoencoder"),
    "loss_gan_v": Term(symbol="L_{GAN_v}", meaning="drawn colours pass for real"),
    "loss_gan_i": Term(symbol="L_{GAN_i}", meaning="drawn infrared passes for real"),
    "loss_cc_v": Term(symbol="L_{CC_v}", meaning="a visible image to infrared and back"),
    "loss_cc_i": Term(symbol="L_{CC_i}", meaning="an infrared image to colours and back"),
    "loss_critic_v": Term(
        symbol="L_{GAN_v}", side="critic", meaning="its critic tells drawn colours from real ones"
    ),
    "loss_critic_i": Term(
        symbol="L_{GAN_i}", side="critic", meaning="its critic tells drawn infrared from real"
    ),
    "loss_keep_v": Term(meaning="the gray of a visible image gets its colours back", origin="here"),
    "loss_keep_i": Term(
        meaning="an infrared image taken for a visible one stays as it is", origin="here"
    ),
    "loss_triplet": Term(
        symbol="L_{tri}", meaning="people apart on FC-128, the lights in one pool"
    ),
    "loss_id": Term(symbol="L_{ce}", meaning="who is seen, on FC-N"),
    "l1_recon_v": Term(meaning="mean error of a visible image given back", origin="figure"),
    "l1_recon_i": Term(meaning="mean error of an infrared image given back", origin="figure"),
    "l1_cycle_v": Term(
        meaning="mean error of a visible image after infrared and back", origin="figure"
    ),
    "l1_cycle_i": Term(
        meaning="mean error of an infrared image after colours and back", origin="figure"
    ),
    "accuracy": ACCURACY,
}
"""Symbols as our notes on the paper have them; they number no equations."""
