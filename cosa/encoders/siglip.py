"""SigLIP's image encoders (Zhai et al., 2023; Tschannen et al., 2025): no class token, pooled by attention, or by the mean."""

from cosa.encoders.plain_vit import PlainVit


class SigLip(PlainVit):
    """Weights come in timm's files: Google's own are no state dicts."""

    title = "SigLIP"
    names = ("vit_*_siglip*",)
    example = "vit_base_patch16_siglip_224"
