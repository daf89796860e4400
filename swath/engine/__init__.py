"""ONNX Runtime sessions: weights shared, buffers bound, timed. Light: workers import it."""
