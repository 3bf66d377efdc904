"""Reader of the files that Weights & Biases writes itself: records of protocol buffers in LevelDB's log format."""

import json
import struct

import pytest

BLOCK, HEAD = 32768, struct.Struct("<IHB")  # checksum, length, kind of a part
WHOLE, LAST = 1, 4  # kinds of parts that end a record


def wandb_records(folder):
    """Records of all runs in `folder`, in the order in which they were written."""
    protocol = pytest.importorskip("wandb.proto.wandb_internal_pb2")
    for path in sorted(folder.glob("wandb/offline-run-*/*.wandb")):
        data, place, parts = path.read_bytes(), 7, b""
        assert data[:4] == b":W&B"
        while place + HEAD.size <= len(data):
            if (left := BLOCK - place % BLOCK) < HEAD.size:
                place += left
                continue
            _, length, kind = HEAD.unpack_from(data, place)
            place += HEAD.size + length
            parts += data[place - length : place]
            if kind in (WHOLE, LAST):
                record, parts = protocol.Record.FromString(parts), b""
                yield record


def history(records):
    """Rows of metrics: name -> value; of a nested value the first part of its name -> its last part."""
    rows = [record.history for record in records if record.HasField("history")]
    return [{item.key or item.nested_key[0]: json.loads(item.value_json) for item in row.item} for row in rows]
