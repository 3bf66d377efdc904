#!/bin/sh
# Check and measure everything that needs a GPU: see benchmarks/gpu.py. PYTHON names another Python than python3.
cd "$(dirname "$0")/.." && exec "${PYTHON:-python3}" benchmarks/gpu.py "$@"
