"""Measuring devices and links: what a profile holds.

The coordinator drives (`measure`, `links`): it describes what is to be timed (`networks`, `runs`,
`chains`, built with onnx) and asks the workers (`asking`), in questions of about a second. What
runs on a worker (`answers`, `kernels`, `echo`, `load`) imports neither onnx nor anything else that
is heavy.
"""
