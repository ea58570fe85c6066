# One image; docker-compose.yml starts web, bridge, worker and beat from it.
FROM python:3.11-slim AS packages
COPY requirements.txt /
RUN python -m venv /venv \
    && /venv/bin/pip install --no-cache-dir --require-hashes --no-deps -r /requirements.txt

FROM python:3.11-slim
RUN useradd --system --uid 10001 --no-create-home countersign
COPY --from=packages /venv /venv
ENV PATH=/venv/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    COUNTERSIGN_NO_BOOTSTRAP=1
WORKDIR /app
COPY manage.py requirements.in requirements.txt ./
COPY config config
COPY approvals approvals
COPY mcp_bridge mcp_bridge
COPY templates templates
COPY locale locale
RUN python -m compileall -q config approvals mcp_bridge
USER countersign
EXPOSE 8000 8001
