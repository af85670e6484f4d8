# One image, four commands: `serve intake|casework|scoring|notify`, and `migrate`. Runs as an ordinary user, writes only /data.
FROM python:3.11-slim-bookworm AS build
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
WORKDIR /build
COPY requirements.lock deploy/image/requirements.sh ./
# The embedded servers are not part of the image: here they are servers of their own.
RUN python -m venv /opt/fengping && sh requirements.sh requirements.lock > serving.lock \
 && /opt/fengping/bin/pip install --require-hashes --no-deps -r serving.lock

FROM python:3.11-slim-bookworm
LABEL org.opencontainers.image.title="fengping" org.opencontainers.image.licenses="MIT"
# The command `fengping`, for those who come into a running container.
RUN groupadd --gid 10001 fengping && useradd --uid 10001 --gid 10001 --no-create-home --shell /usr/sbin/nologin fengping \
 && install -d -o fengping -g fengping /data \
 && install -d -m 700 -o fengping -g fengping /keys/intake /keys/casework /keys/scoring /keys/notify /keys/admin \
 && install -d -m 750 -o fengping -g fengping /keys/broker /keys/monitor && install -d -m 755 -o fengping -g fengping /keys/authorities \
 && install -d -m 755 -o fengping -g fengping /witness-logs && install -d -m 700 -o 10002 -g 10002 /witness \
 && printf '%s\n' '#!/bin/sh' 'exec python -m services.cli "$@"' > /usr/local/bin/fengping && chmod 755 /usr/local/bin/fengping
COPY --from=build /opt/fengping /opt/fengping
WORKDIR /srv/fengping
COPY services services
COPY shared shared
COPY deploy/migrations deploy/migrations
ENV PATH=/opt/fengping/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 PYTHONPATH=/srv/fengping \
    FENGPING_DATA_FOLDER=/data \
    FENGPING_HOST=0.0.0.0 FENGPING_PORT=8080 FENGPING_INTERNAL_HOST=0.0.0.0 FENGPING_INTERNAL_PORT=8081
USER 10001:10001
VOLUME /data
# Pages and API; health and metrics, which no gateway routes to.
EXPOSE 8080 8081
HEALTHCHECK --interval=10s --timeout=5s --start-period=40s --retries=3 \
    CMD ["python", "-c", "import urllib.request as u; u.urlopen('http://127.0.0.1:8081/livez', timeout=4)"]
ENTRYPOINT ["python", "-m", "services.cli"]
CMD ["serve", "intake"]
