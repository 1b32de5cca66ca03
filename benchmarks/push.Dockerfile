# What shipwheel's pushes are measured against: the environment in one layer, the code in the next.
# The wheels come from a folder (build context "wheels"), so no index takes part.
ARG BASE
FROM ${BASE} AS build
WORKDIR /app
COPY pyproject.toml requirements.txt ./
RUN --mount=type=bind,from=wheels,target=/wheels \
    python3 -m venv .venv \
 && .venv/bin/pip install --quiet --no-cache-dir --disable-pip-version-check --no-index --no-deps --find-links /wheels -r requirements.txt

FROM ${BASE}
WORKDIR /app
COPY --from=build /app/.venv .venv
COPY src src
ENV PATH=/app/.venv/bin:$PATH PYTHONPATH=/app/src
USER 65532:65532
CMD ["python", "-m", "shop"]
