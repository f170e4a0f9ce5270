"""The samples of a split's shards as columns of captions: what evaluation reads, as of an annotation file."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from cosa.data.annotation_columns import AnnotationColumns, AnnotationSource
from cosa.data.shards.index import ShardIndex, index_file
from cosa.data.shards.part import chosen_rows
from cosa.data.split_reading import SplitReading


def shard_columns(index: ShardIndex, reading: SplitReading) -> AnnotationColumns:
    """A row for each usable sample, in the stored order. All identifiers are in memory, which suits the size of evaluations.

    Raises:
        DataError: the index is damaged.
    """
    ids, captions = [pa.array([], pa.large_string())], [pa.array([], pa.large_string())]
    for number, shard in enumerate(index.shards):
        rows = index.rows(number)
        ids.append(pc.binary_join_element_wise(shard.name, rows.column("key"), "/").cast(pa.large_string()))
        captions.append(rows.column("caption").cast(pa.large_string()))
    numbers = np.arange(len(index), dtype=np.int32)
    source = AnnotationSource(index_file(index.folder, index.split), "captions", reading)
    texts = pa.table({"text": pa.chunked_array(captions)})
    lines = np.zeros(len(index), np.int32)  # They are places in a text file.
    return AnnotationColumns(source, numbers, numbers, lines, texts, pa.concat_arrays(ids), chosen_rows(index, reading))
