#!/usr/bin/env python3
"""make_minifloat.py - how ml_dtypes rounds to small floats, for tests/unit/test_format_minifloat.c. Run it in this folder; needs ml_dtypes
and safetensors.

<format>.level: every finite value, ascending. <format>.first: the smallest float16 that is rounded to it, after values beyond the largest
were cut off there (saturation). Rounding is monotonous, so that is all of the 63,488 finite float16 values.
"""
import ml_dtypes
import numpy as np
from safetensors.numpy import save_file

FORMATS = {"fp4": ml_dtypes.float4_e2m1fn, "fp6_e2m3": ml_dtypes.float6_e2m3fn, "fp6_e3m2": ml_dtypes.float6_e3m2fn,
           "fp8_e4m3": ml_dtypes.float8_e4m3fn, "fp8_e5m2": ml_dtypes.float8_e5m2}

halves = np.arange(65536, dtype=np.uint16).view(np.float16).astype(np.float32)
halves = np.sort(halves[np.isfinite(halves)])
tensors = {}
for name, dtype in FORMATS.items():
    largest = np.float32(ml_dtypes.finfo(dtype).max)
    rounded = np.clip(halves, -largest, largest).astype(dtype).astype(np.float32) + np.float32(0)
    level, first = np.unique(rounded, return_index=True)
    assert len(level) <= 256 and level[-1] == largest, name
    tensors[name + ".level"], tensors[name + ".first"] = level, halves[first]
save_file(tensors, "minifloat.safetensors")
