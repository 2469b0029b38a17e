# ragkit with its server, application and packaged models. Built by `docker compose build`.
# For machines without a GPU, pass the index of CPU wheels of torch:
#   docker compose build --build-arg PIP_EXTRA_INDEX_URL=URL
FROM python:3.12-slim-bookworm AS build
ARG PIP_EXTRA_INDEX_URL=
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
RUN python -m venv /opt/ragkit
WORKDIR /src
# The packages first: they change less often than the code.
COPY constraints.txt ./
RUN /opt/ragkit/bin/pip install -c constraints.txt torch
COPY pyproject.toml README.md LICENSE ./
COPY agents agents
COPY ingest ingest
COPY ragkit ragkit
RUN /opt/ragkit/bin/pip install -c constraints.txt ".[local,agents,mcp,server,ui]"

FROM python:3.12-slim-bookworm
RUN useradd --uid 10001 --create-home ragkit && install -d -o ragkit -g ragkit /data
COPY --from=build /opt/ragkit /opt/ragkit
ENV PATH=/opt/ragkit/bin:$PATH HOME=/data PYTHONUNBUFFERED=1 HF_HUB_OFFLINE=1
USER ragkit
WORKDIR /data
VOLUME /data
EXPOSE 8400 8501
ENTRYPOINT ["ragkit"]
CMD ["serve", "--host", "0.0.0.0"]
