"""Conceptual 12M (Changpinyo et al., CVPR 2021): 12.4 million images of the web with their alternative texts.

Format: `cc12m.tsv`, an address and a caption in a line, separated by a tab, without names of columns, as readers of it on the
Hugging Face hub take it. Names of persons are <PERSON>.
"""

from __future__ import annotations

from cosa.datasets.authors.conceptual_captions import CaptionTable
from cosa.datasets.authors.source_file import SourceFile

_TABLE = CaptionTable(SourceFile("cc12m.tsv"), ("url", "caption"))

CORPUS = _TABLE.corpus("CC12M", "https://github.com/google-research-datasets/conceptual-12m")
write_sample = _TABLE.write_sample
