"""Rows whose inputs lie in a mapped file, cut into batches without waiting for the disk row by row."""

import ctypes
import mmap

from torch import Tensor

from .data import Rows

madvise = ctypes.CDLL(None).madvise if hasattr(mmap, "MADV_WILLNEED") else None  # Windows has no such call


class MappedRows(Rows):
    """Told at once which rows are wanted, the system fetches them side by side; else one after the other."""

    def at(self, index: Tensor) -> Rows:
        if madvise is not None:
            size = self.x[0].nbytes
            for address in (self.x.data_ptr() + size * index).tolist():
                before = address % mmap.PAGESIZE
                madvise(ctypes.c_void_p(address - before), ctypes.c_size_t(before + size), mmap.MADV_WILLNEED)
        return super().at(index)
