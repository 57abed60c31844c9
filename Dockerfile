# docker build -t yolean .                          for CPUs
# docker build -t yolean --build-arg RUNTIME=gpu .  for NVIDIA GPUs; run it with --gpus all
# docker run -p 8000:8000 -e YOLEAN_API_KEY=... -v ./models:/models:ro -e YOLEAN_MODELS=/models yolean

FROM python:3.13-slim AS build
ARG RUNTIME=cpu
COPY . /src
RUN python -m venv /opt/yolean \
 && /opt/yolean/bin/pip install --no-cache-dir "/src[${RUNTIME},server]" \
 # CUDA and cuDNN as wheels: the slim image has neither
 && if [ "$RUNTIME" = gpu ]; then /opt/yolean/bin/pip install --no-cache-dir "onnxruntime-gpu[cuda,cudnn]"; fi \
 && /opt/yolean/bin/pip uninstall --yes pip

FROM python:3.13-slim
COPY --from=build /opt/yolean /opt/yolean
RUN useradd --system --uid 10001 --no-create-home yolean
USER 10001
ENV PATH=/opt/yolean/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    YOLEAN_HOST=0.0.0.0 \
    YOLEAN_PORT=8000 \
    YOLEAN_CACHE=/tmp/yolean \
    NVIDIA_VISIBLE_DEVICES=all \
    NVIDIA_DRIVER_CAPABILITIES=compute,utility
EXPOSE 8000
# Ready, not only alive: a container that drains or still loads gets no traffic.
HEALTHCHECK --interval=10s --timeout=3s --start-period=60s --start-interval=1s CMD ["python", "-c", \
    "import os, urllib.request as u; u.urlopen(f'http://127.0.0.1:{os.environ[\"YOLEAN_PORT\"]}/readyz', timeout=2)"]
STOPSIGNAL SIGTERM
CMD ["yolean", "serve"]
