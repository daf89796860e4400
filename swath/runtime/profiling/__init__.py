"""Measuring devices and links: what a profile holds.

The coordinator drives (`device`, `links`): it describes what is to be timed (`networks`, `chains`,
built with onnx) and asks the workers, in questions of about a second. What runs on a worker
(`answers`, `kernels`, `strain`, `echo`, `load`) imports neither onnx nor anything else that is
heavy.
"""
