# FLaaS in one container: `docker build -t flaas . && docker run -p 8000:8000 -v flaas:/data flaas`
# Runs alone with its private MongoDB and local files in /data; MONGODB_URI, AWS_* and PUSHWOOSH_*
# in the environment put real services in their place (README, "Settings").

FROM python:3.11-slim-bookworm AS build
COPY requirements.txt /build/
RUN python -m venv /opt/flaas \
    && /opt/flaas/bin/pip install --no-cache-dir --disable-pip-version-check -r /build/requirements.txt

FROM python:3.11-slim-bookworm
# libcurl4: the one library that the private mongod needs and this image has not.
RUN apt-get update \
    && apt-get install --yes --no-install-recommends libcurl4 \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --system --uid 10001 --home-dir /data flaas \
    && install --directory --owner=flaas --group=flaas /data
COPY --from=build /opt/flaas /opt/flaas
WORKDIR /app
COPY config ./config
COPY flaas ./flaas
COPY server.py ./
RUN /opt/flaas/bin/python -m compileall -q flaas

ENV PATH=/opt/flaas/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    FLAAS_ADDRESS=0.0.0.0 \
    FLAAS_DATA_DIR=/data \
    PORT=8000
USER flaas
VOLUME /data
EXPOSE 8000
HEALTHCHECK --interval=30s --timeout=10s --start-period=30s \
    CMD ["python", "-c", "import os, urllib.request as r; r.urlopen('http://127.0.0.1:%s/healthz' % os.environ['PORT'], timeout=8)"]
STOPSIGNAL SIGTERM
CMD ["python", "server.py", "serve"]
