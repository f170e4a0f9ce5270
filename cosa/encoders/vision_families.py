"""The families of image encoders that exist. Another one: a file like those beside this one, and a line here."""

from fnmatch import fnmatchcase

from cosa.encoders.clip import Clip
from cosa.encoders.plain_vit import PlainVit
from cosa.encoders.siglip import SigLip
from cosa.encoders.swin import Swin
from cosa.encoders.vision_family import VisionFamily
from cosa.table import Table


def _problem(name: str, family: object) -> str | None:
    """What is wrong with a family that is to be added, if anything."""
    del name
    if not isinstance(family, VisionFamily):
        return f"expected an object of a VisionFamily, not {family!r}"
    if isinstance(family.names, str):
        return f"its `names` is a text; expected a tuple of patterns, such as ({family.names!r},)"
    return None


VISION_FAMILIES: Table[VisionFamily] = Table(
    "family of image encoders", {"swin": Swin(), "clip": Clip(), "siglip": SigLip(), "vit": PlainVit()}, _problem
)


def family_of(encoder: str) -> VisionFamily:
    """The family of one of timm's names, with or without a tag.

    Raises:
        ValueError: it belongs to none.
    """
    name = encoder.partition(".")[0]
    matches = [
        (len(pattern), family) for family in VISION_FAMILIES.values() for pattern in family.names if fnmatchcase(name, pattern)
    ]
    if not matches:
        known = ", ".join(
            f"{' or '.join(family.names)} ({family.title}) such as {family.example!r}" for family in VISION_FAMILIES.values()
        )
        raise ValueError(f"encoder {encoder!r} belongs to no family of image encoders; expected a timm name: {known}")
    return max(matches, key=lambda match: match[0])[1]
