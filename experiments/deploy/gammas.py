"""gammas.py - how many of a training checkpoint's batch-norm gammas are negative.     usage: gammas.py FILE.safetensors"""
import json
import struct
import sys

raw = open(sys.argv[1], "rb").read()
size = struct.unpack("<Q", raw[:8])[0]
negative = total = 0
for name, t in json.loads(raw[8 : 8 + size]).items():
    if name.endswith(".gamma") and "/" not in name:
        first, last = (8 + size + v for v in t["data_offsets"])
        values = struct.unpack(f"<{(last - first) // 4}f", raw[first:last])
        total += len(values)
        negative += sum(v < 0 for v in values)
print(f"{negative} of {total} gammas are negative")
