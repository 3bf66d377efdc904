# An image that runs the program: docs/install.md has the commands.
# BUILD is the build of torch: cuda (default) or cpu. INDEX is a further package index, which has torch's CPU builds.
FROM python:3.11.13-slim-bookworm

SHELL ["/bin/bash", "-o", "pipefail", "-c"]

# EGL, OpenGL and OSMesa draw the images of DeepMind Control, with or without a GPU. Debian keeps only the newest
# version of a package, so these have no pins.
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install --yes --no-install-recommends libegl1 libgl1 libosmesa6 \
    && rm -rf /var/lib/apt/lists/*

RUN useradd --create-home --uid 1000 dreamer && install -d -o dreamer -g dreamer /dreamer /dreamer/logs
WORKDIR /dreamer

ARG BUILD=cuda
ARG INDEX=""
COPY requirements-hashes.txt requirements-cpu.txt requirements-cuda.txt ./
RUN python -m pip install --no-cache-dir --require-hashes --no-deps ${INDEX:+--extra-index-url "$INDEX"} \
    -r requirements-hashes.txt -r "requirements-$BUILD.txt"

COPY --chown=dreamer:dreamer dreamer.py pyproject.toml LICENSE ./
COPY --chown=dreamer:dreamer common common
COPY --chown=dreamer:dreamer configs configs
COPY --chown=dreamer:dreamer dreamer_v1 dreamer_v1
COPY --chown=dreamer:dreamer dreamer_v2 dreamer_v2
COPY --chown=dreamer:dreamer dreamer_v3 dreamer_v3
COPY --chown=dreamer:dreamer pretrained pretrained
COPY --chown=dreamer:dreamer examples examples

USER 1000
ENTRYPOINT ["python", "dreamer.py"]
CMD ["demo"]
