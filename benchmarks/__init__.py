"""Timings, never run by the tests: `python -m benchmarks sweep`, `python -m benchmarks train`."""
