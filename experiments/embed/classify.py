"""classify.py - the shared library from Python, without a package: python3 classify.py model.int.safetensors image.png"""
import ctypes as c
import sys

nb = c.CDLL("libnibble.so.0")
nb.nb_ctx_create.restype = c.c_void_p
nb.nb_ctx_error.restype = nb.nb_intmodel_class_name.restype = c.c_char_p


class PngSpec(c.Structure):
    _fields_ = [(n, c.c_int32) for n in ("h", "w", "c", "background")] + [("resize", c.c_bool)]


ctx, model = c.c_void_p(nb.nb_ctx_create()), c.c_void_p()
size = [c.c_int32() for _ in range(4)]  # height, width, channels, classes
if nb.nb_intmodel_load(ctx, sys.argv[1].encode(), c.byref(model)):
    sys.exit(nb.nb_ctx_error(ctx).decode())
nb.nb_intmodel_sizes(model, *map(c.byref, size))
h, w, ch, classes = (s.value for s in size)
pixels, logits = (c.c_uint8 * (h * w * ch))(), (c.c_float * classes)()
if nb.nb_png_load(ctx, sys.argv[2].encode(), c.byref(PngSpec(h, w, ch, 255, True)), pixels) or nb.nb_intmodel_logits(ctx, model, pixels, logits):
    sys.exit(nb.nb_ctx_error(ctx).decode())
best = max(range(classes), key=lambda i: logits[i])
print(best, nb.nb_intmodel_class_name(model, best).decode())
