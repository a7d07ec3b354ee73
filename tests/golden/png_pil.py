#!/usr/bin/env python3
"""png_pil.py - PNG files of every kind and what PIL makes of them, for tests/unit/test_image.c.

    python3 -m venv v && v/bin/pip install pillow numpy safetensors &&
    v/bin/python tests/golden/png_pil.py

Writes png_pil.safetensors: NAME.png the file, NAME.rgb [h, w, 3] and NAME.grey [h, w] its pixels by PIL (made with
Pillow 13.0.0). The files are packed here, byte by byte, so that no writer decides what is in them. Transparent images are
pasted onto grey level 200. PIL has no answer for three kinds, which are computed here from the stored samples: 16-bit
grey (convert("L") clips at 255; we keep the upper byte, as PIL does for 16-bit colour), and the transparent colour of
files with other than 8 bits (PIL compares it with samples that it has scaled).
"""
import io
import os
import struct
import zlib

import numpy as np
from PIL import Image
from safetensors.numpy import save_file

H, W, BACKGROUND = 5, 9, 200
SAMPLES = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
ADAM7 = [(0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2), (0, 1, 2, 2), (1, 0, 2, 1)]


def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def pack_rows(px, depth):
    out = b""
    for row in px:
        if depth == 16:
            body = row.astype(">u2").tobytes()
        elif depth == 8:
            body = row.astype(np.uint8).tobytes()
        else:
            flat = row.reshape(-1)
            bits = np.unpackbits(flat.astype(np.uint8)[:, None], axis=1)[:, 8 - depth:].reshape(-1)
            body = np.packbits(bits).tobytes()
        out += b"\0" + body
    return out


def png(kind, depth, px, interlaced=False, chunks=()):
    if interlaced:
        parts = [px[y::dy, x::dx] for y, x, dy, dx in ADAM7]
        raw = b"".join(pack_rows(p, depth) for p in parts if p.size)
    else:
        raw = pack_rows(px, depth)
    head = struct.pack(">IIBBBBB", px.shape[1], px.shape[0], depth, kind, 0, 0, int(interlaced))
    return (b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + b"".join(chunk(k, d) for k, d in chunks)
            + chunk(b"IDAT", zlib.compress(raw, 9)) + chunk(b"IEND", b""))


def to8(px, depth):
    return px >> 8 if depth == 16 else px * (255 // ((1 << depth) - 1))


def by_hand(px, depth, key):
    """RGBA from stored samples, for what PIL cannot do."""
    v = to8(px, depth)
    v = np.repeat(v, 3, axis=2) if v.shape[2] == 1 else v
    alpha = np.full(px.shape[:2], 255) if key is None else np.where((px == key).all(axis=2), 0, 255)
    return Image.fromarray(np.dstack([v, alpha]).astype(np.uint8), "RGBA")


def expected(data, px, kind, depth, key):
    im = Image.open(io.BytesIO(data))
    if (kind == 0 and depth == 16) or (key is not None and depth != 8):
        im = by_hand(px, depth, key)
    elif kind in (4, 6) or "transparency" in im.info:
        im = im.convert("RGBA")
    if im.mode == "RGBA":
        flat = Image.new("RGB", im.size, (BACKGROUND,) * 3)
        flat.paste(im, mask=im.getchannel("A"))
        im = flat
    return np.array(im.convert("RGB")), np.array(im.convert("L"))


def main():
    rng = np.random.default_rng(1)
    tensors = {}

    def add(name, kind, depth, interlaced=False, chunks=(), key=None, px=None):
        n = SAMPLES[kind]
        if px is None:
            px = rng.integers(0, 1 << depth, (H, W, n))
        data = png(kind, depth, px, interlaced, chunks)
        rgb, grey = expected(data, px, kind, depth, key)
        tensors[name + ".png"] = np.frombuffer(data, np.uint8).copy()
        tensors[name + ".rgb"], tensors[name + ".grey"] = rgb, grey

    palette = {d: rng.integers(0, 256, 3 << d).astype(np.uint8).tobytes() for d in (1, 2, 4, 8)}
    for kind, depths in {0: (1, 2, 4, 8, 16), 2: (8, 16), 3: (1, 2, 4, 8), 4: (8, 16), 6: (8, 16)}.items():
        for depth in depths:
            plte = [(b"PLTE", palette[depth])] if kind == 3 else []
            for interlaced in (False, True):
                add(f"type{kind}.bits{depth}" + (".adam7" if interlaced else ""), kind, depth, interlaced, plte)
    profile = zlib.compress(b"\0\0\0\x84" + bytes(128))
    colour = {"gamma1": (b"gAMA", struct.pack(">I", 100000)), "gamma045": (b"gAMA", struct.pack(">I", 45455)),
              "gamma22": (b"gAMA", struct.pack(">I", 220000)), "srgb": (b"sRGB", b"\0"),
              "chrm": (b"cHRM", struct.pack(">8I", 31270, 32900, 68000, 32000, 26500, 69000, 15000, 6000)),
              "iccp": (b"iCCP", b"x\0\0" + profile)}
    for name, c in colour.items():
        for kind, depth in ((0, 8), (2, 8), (3, 4), (6, 8), (2, 16)):
            plte = [(b"PLTE", palette[depth])] if kind == 3 else []
            add(f"{name}.type{kind}.bits{depth}", kind, depth, chunks=[c] + plte)
    add("sbit.type0.bits8", 0, 8, chunks=[(b"sBIT", b"\5")])
    add("sbit.type2.bits8", 2, 8, chunks=[(b"sBIT", b"\5\6\5")])
    for depth in (1, 2, 4, 8, 16):
        px = rng.integers(0, 1 << depth, (H, W, 1))
        add(f"key.type0.bits{depth}", 0, depth, px=px, key=px[2, 3],
            chunks=[(b"tRNS", struct.pack(">H", int(px[2, 3, 0])))])
    for depth in (8, 16):
        px = rng.integers(0, 1 << depth, (H, W, 3))
        px[1] = px[2, 3]
        px[1, 4, 0] ^= 1  # one bit away from it: not transparent
        add(f"key.type2.bits{depth}", 2, depth, px=px, key=px[2, 3],
            chunks=[(b"tRNS", struct.pack(">3H", *map(int, px[2, 3])))])
    for depth in (2, 8):
        alpha = rng.integers(0, 256, (1 << depth) // 2 + 1).astype(np.uint8).tobytes()
        add(f"alpha.type3.bits{depth}", 3, depth, chunks=[(b"PLTE", palette[depth]), (b"tRNS", alpha)])
    tensors = {k: np.ascontiguousarray(v) for k, v in tensors.items()}
    save_file(tensors, os.path.join(os.path.dirname(__file__), "png_pil.safetensors"))
    print(len(tensors) // 3, "files")


main()
