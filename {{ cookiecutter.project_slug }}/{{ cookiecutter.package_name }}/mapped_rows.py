"""Rows whose inputs lie in a mapped file, cut into batches without waiting for the disk row by row."""

import ctypes
import mmap

from torch import Tensor

from .data import Rows

madvise = ctypes.CDLL(None).madvise if hasattr(mmap, "MADV_WILLNEED") else None  # Windows has no such call
if madvise is not None:
    madvise.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int)


class MappedRows(Rows):
    """Told at once which rows are wanted, the system fetches them side by side; else one after the other."""

    def at(self, index: Tensor) -> Rows:
        if madvise is not None:
            size = self.x[0].nbytes
            addresses = self.x.data_ptr() + size * index
            before = addresses % mmap.PAGESIZE  # advice is about whole pages
            for start, length in zip((addresses - before).tolist(), (before + size).tolist(), strict=True):
                madvise(start, length, mmap.MADV_WILLNEED)
        return super().at(index)
