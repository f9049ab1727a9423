# syntax=docker/dockerfile:1
# The operator's image: locked dependencies by hash, no package tools, no shell needed, not root.
# Pin the base by digest where the image is released: --build-arg PYTHON_IMAGE=python:3.13-slim-bookworm@sha256:...
ARG PYTHON_IMAGE=python:3.13-slim-bookworm

FROM ${PYTHON_IMAGE} AS dependencies
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
RUN python -m venv --without-pip /opt/spillway
COPY requirements-runtime.lock /tmp/
RUN python -m pip --python /opt/spillway/bin/python install --require-hashes --only-binary :all: \
    -r /tmp/requirements-runtime.lock
COPY operator/spillway /opt/spillway/app/spillway
COPY crds /opt/spillway/app/spillway/crds
RUN /opt/spillway/bin/python -m compileall -q /opt/spillway/app /opt/spillway/lib \
    && PYTHONPATH=/opt/spillway/app /opt/spillway/bin/python -m spillway version

FROM ${PYTHON_IMAGE}
COPY --from=dependencies /opt/spillway /opt/spillway
ENV PATH=/opt/spillway/bin:$PATH PYTHONPATH=/opt/spillway/app PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
USER 65532:65532
EXPOSE 8080
ENTRYPOINT ["python", "-m", "spillway"]
CMD ["run", "--config", "/etc/spillway/config.yaml"]
