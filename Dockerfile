# A small image for the CPU. It was not built where it was written, since no container engine was there.
#   docker build -t grokinterp .
#   docker run --rm -v "$PWD/out:/work" grokinterp demo
FROM python:3.12-slim

WORKDIR /source
COPY pyproject.toml constraints.txt README.md LICENSE CHANGELOG.md ./
COPY manual manual
COPY grokinterp grokinterp

# For an image without NVIDIA's libraries, pass the address of PyTorch's index of CPU builds:
#   docker build --build-arg TORCH_INDEX=... -t grokinterp .
ARG TORCH_INDEX=""
RUN pip install --no-cache-dir ${TORCH_INDEX:+--index-url "$TORCH_INDEX"} "$(grep '^torch==' constraints.txt)" \
 && pip install --no-cache-dir -c constraints.txt .

WORKDIR /work
RUN useradd --create-home researcher && chown researcher /work
USER researcher
ENTRYPOINT ["grokinterp"]
CMD ["--help"]
