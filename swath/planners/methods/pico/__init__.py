"""PICO: a pipeline of stages for throughput."""
