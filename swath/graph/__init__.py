"""A CNN as a graph.

Loads ONNX and PyTorch models, fixes shapes, folds constants and batch norm, knows receptive fields
and legal cuts, splits reductions, and extracts tiles as standalone ONNX models. May import
`swath.ops` and nothing above.
"""
