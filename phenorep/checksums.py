"""Checksums that files carry in themselves, since disks and copies damage what lies on them.

They find accidents, not intent: CRC-32, which costs little. A file without one is taken as it is.
"""

import json
import zlib
from pathlib import Path

import numpy as np
import pyarrow as pa

from phenorep.errors import UserError

FOOTER = b"phenorep_crc32"  # the key in a table's own metadata
COLUMN = "Checksum"  # of a samples table: that of each sample's pixels


class Damaged(UserError, ValueError):
    """A file cannot be read, or is not what was written: removed, it is made again."""

    def __init__(self, path: str | Path, what: str, reason: object):
        if isinstance(reason, FileNotFoundError):
            super().__init__(f"{path}: there is no such file. Name one that is there, or let the workflow make it.")
        else:
            super().__init__(f"{path}: cannot be read as {what} ({reason}). Remove the file and run again.")


def of_bytes(*parts: bytes) -> str:
    """Checksum of some bytes, one part after another."""
    total = 0
    for part in parts:
        total = zlib.crc32(part, total)
    return f"{total:08x}"


def of_samples(block: np.ndarray) -> np.ndarray:
    """Checksum of each sample of a block (n, C, H, W), (n,) uint32: of its pixels as they lie in the array."""
    return np.array([zlib.crc32(np.ascontiguousarray(sample)) for sample in block], np.uint32)


def of_facts(facts: dict) -> str:
    """Checksum of plain values, as they stand in a JSON file."""
    return of_bytes(json.dumps(facts, sort_keys=True).encode())


def of_footer(schema: pa.Schema, metadata: dict[bytes, bytes] | None, rows: int) -> bytes:
    """Checksum of what a table's footer says: names, plain types, facts, and the number of rows."""
    facts = sorted((key, value) for key, value in (metadata or {}).items() if key not in (FOOTER, b"ARROW:schema"))
    # Nested types are called otherwise when they are read again.
    plain = (not (field.type.num_fields or pa.types.is_dictionary(field.type)) for field in schema)
    columns = [(field.name, str(field.type) if is_plain else "") for field, is_plain in zip(schema, plain, strict=True)]
    return of_bytes(repr((columns, facts, rows)).encode()).encode()
