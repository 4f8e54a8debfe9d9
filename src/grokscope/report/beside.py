"""Data that is too large for the page: files beside it, to which its links lead."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from grokscope.files import write_atomic
from grokscope.report.sections.blocks import Block, Download, Fold, Section


def write_beside(sections: Sequence[Section], page: Path) -> list[Path]:
    """Write the files that downloads of these sections lie in; those inside the page need none."""
    files = []
    for section in sections:
        for download in _downloads(section.blocks):
            if download.content is not None:
                path = page.with_name(download.name)
                data = download.content().encode()
                write_atomic(path, lambda file, data=data: file.write(data))
                files.append(path)
    return files


def _downloads(blocks: Sequence[Block]) -> Iterator[Download]:
    for block in blocks:
        if isinstance(block, Download):
            yield block
        elif isinstance(block, Fold):
            yield from _downloads(block.blocks)
