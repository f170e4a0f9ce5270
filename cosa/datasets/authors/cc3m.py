"""Conceptual Captions (Sharma et al., ACL 2018): 3.3 million images of the web with their cleaned alternative texts.

Format: `Train_GCC-training.tsv`, a caption and an address in a line, separated by a tab, without names of columns, as its
download page and img2dataset's example describe it.
"""

from __future__ import annotations

from cosa.datasets.authors.conceptual_captions import CaptionTable
from cosa.datasets.authors.source_file import SourceFile

_TABLE = CaptionTable(SourceFile("Train_GCC-training.tsv", also=("Train-GCC-training.tsv", "cc3m.tsv")), ("caption", "url"))

CORPUS = _TABLE.corpus("CC3M", "https://ai.google.com/research/ConceptualCaptions/")
write_sample = _TABLE.write_sample
