# An image that runs grokinterp on the CPU as a user who is not root. It has not been built where it was written, since
# no container engine was there; a test checks its files, commands, and settings.
#   docker build -t grokinterp .
#   docker run --rm -v grokinterp:/work grokinterp demo
# The runs and pages are then in the volume "grokinterp". For a folder of the host, create it and run as yourself:
#   mkdir -p out
#   docker run --rm --user "$(id -u):$(id -g)" -v "$PWD/out:/work" grokinterp demo
FROM python:3.11-slim

WORKDIR /source
ENV PIP_CACHE_DIR=/pip

# PyTorch and the other requirements are a layer of their own, which stays until one of these two files changes. The
# default build of PyTorch includes NVIDIA's libraries; without them, pass the address of PyTorch's index of CPU builds:
#   docker build --build-arg TORCH_INDEX=... -t grokinterp .
ARG TORCH_INDEX=""
COPY pyproject.toml constraints.txt ./
RUN --mount=type=cache,target=/pip \
    pip install ${TORCH_INDEX:+--index-url "$TORCH_INDEX"} "$(grep '^torch==' constraints.txt)" \
 && python -c "import tomllib; print(*tomllib.load(open('pyproject.toml', 'rb'))['project']['dependencies'], sep='\n')" \
    > requirements.txt \
 && pip install -c constraints.txt -r requirements.txt

COPY README.md LICENSE ./
COPY manual manual
COPY grokinterp grokinterp
RUN --mount=type=cache,target=/pip pip install --no-deps .

# Any user id can work here: libraries keep their caches below HOME, and ask for the name of the user.
ENV HOME=/tmp USER=researcher
RUN useradd --no-create-home researcher && mkdir /work && chown researcher /work
USER researcher
WORKDIR /work
VOLUME /work
ENTRYPOINT ["grokinterp"]
CMD ["--help"]
