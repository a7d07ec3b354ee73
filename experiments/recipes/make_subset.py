#!/usr/bin/env python3
"""make_subset.py OUT --counts 6000,4645,...: an IDX data set of some images of Fashion-MNIST: so many of class 0, 1, ... of the
training images, the first there are; test images of these classes, all of them. A count of 0 leaves a class out, and the rest is
numbered anew. --from DIR: where Debian's dataset-fashion-mnist lies."""
import argparse
import gzip
import os
import struct


def read(path):
    raw = gzip.open(path).read()
    n = struct.unpack(">I", raw[4:8])[0]
    size = len(raw[8 if raw[3] == 1 else 16:]) // n
    body = raw[8 if raw[3] == 1 else 16:]
    return [body[i * size:(i + 1) * size] for i in range(n)]


def write(path, items, shape):
    head = struct.pack(">BBBB", 0, 0, 8, 1 + len(shape)) + struct.pack(">%dI" % (1 + len(shape)), len(items), *shape)
    with open(path, "wb") as f:
        f.write(head + b"".join(items))


def main():
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument("out")
    p.add_argument("--counts", required=True)
    p.add_argument("--from", dest="source", default="/usr/share/datasets/fashion-mnist")
    a = p.parse_args()
    counts = [int(c) for c in a.counts.split(",")]
    number = {}
    for c, n in enumerate(counts):
        if n:
            number[c] = len(number)
    os.makedirs(a.out, exist_ok=True)
    for split, name in ("train", "train"), ("test", "t10k"):
        images = read(f"{a.source}/{name}-images-idx3-ubyte.gz")
        labels = read(f"{a.source}/{name}-labels-idx1-ubyte.gz")
        left = dict(enumerate(counts)) if split == "train" else {c: len(images) for c in number}
        keep = []
        for image, label in zip(images, labels):
            c = label[0]
            if left.get(c, 0) > 0:
                left[c] -= 1
                keep.append((image, bytes([number[c]])))
        write(f"{a.out}/{name}-images-idx3-ubyte", [k[0] for k in keep], (28, 28))
        write(f"{a.out}/{name}-labels-idx1-ubyte", [k[1] for k in keep], ())


if __name__ == "__main__":
    main()
