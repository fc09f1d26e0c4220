# The search service of one gallery: docs/operations.md says how it is used.
FROM python:3.11-slim AS build
# PyTorch's index of builds for processors alone; without it torch brings CUDA, several GB.
ARG TORCH_INDEX=""
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
RUN python -m venv /opt/crosslight
WORKDIR /src
COPY requirements.lock ./
RUN /opt/crosslight/bin/pip install --quiet --constraint requirements.lock ${TORCH_INDEX:+--index-url "$TORCH_INDEX"} torch torchvision
COPY pyproject.toml README.md LICENSE ./
COPY src src
RUN /opt/crosslight/bin/pip install --quiet --constraint requirements.lock ".[service,video]"

FROM python:3.11-slim
RUN useradd --uid 10001 --no-create-home --home-dir /gallery crosslight
RUN install --directory --owner crosslight --group crosslight --mode 700 /gallery /var/cache/crosslight
COPY --from=build /opt/crosslight /opt/crosslight
ENV PATH=/opt/crosslight/bin:$PATH NUMBA_CACHE_DIR=/var/cache/crosslight
USER crosslight
WORKDIR /gallery
VOLUME /gallery
EXPOSE 8000
HEALTHCHECK --interval=30s --timeout=5s --start-period=60s CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8000/health', timeout=4)"]
ENTRYPOINT ["crosslight"]
CMD ["serve", "people.lance", "--host", "0.0.0.0", "--port", "8000", "--users", "users.txt"]
