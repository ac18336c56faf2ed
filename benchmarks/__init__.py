"""Programs that measure the template. Run them from its root: ``python -m benchmarks.NAME``, for speed, doctor, gallery
and kill. Results are kept in ``build/``, so each can be stopped at any time and continues when it is run again.
"""
