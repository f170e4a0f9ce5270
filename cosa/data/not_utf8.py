"""Says where a text file is not UTF-8."""

import codecs
from pathlib import Path

from cosa.data.compressed import BUFFER, open_annotations
from cosa.errors import DataError
from cosa.message_text import shown

ADVICE = "save it as UTF-8 (iconv -f ENCODING -t UTF-8)"


def not_utf8(path: Path) -> DataError:
    """The error of a file that is not UTF-8, with the place of the first byte that is wrong. The file is read once more."""
    decoder, done, line = codecs.getincrementaldecoder("utf-8")(), 0, 1
    with open_annotations(path) as file:
        while True:
            part = file.read(BUFFER)
            begun = len(decoder.getstate()[0])
            try:
                line += decoder.decode(part, final=not part).count("\n")
            except UnicodeDecodeError as error:
                line += error.object[: error.start].count(b"\n")
                place = done - begun + error.start
                return DataError(f"{shown(path)}, line {line}: not UTF-8 text (byte {place}); {ADVICE}")
            if not part:
                return DataError(f"{shown(path)} is not UTF-8 text; {ADVICE}")
            done += len(part)
