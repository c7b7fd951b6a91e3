# Four stages: nginx is the proxy's image; build fetches dependencies; test fails the build if a check or a
# test fails; the last one contains only what was tested. Works with BuildKit and the legacy builder, which
# builds every stage up to its target, so nginx is first.

# The same packages as in the tests. nginx.conf and nginx.sh are mounted.
FROM debian:bookworm-slim AS nginx
RUN apt-get update -qq \
  && apt-get install -y -qq --no-install-recommends nginx libnginx-mod-http-lua curl >/dev/null \
  && rm -rf /var/lib/apt/lists/* \
  && install -d -o 101 -g 101 /var/log/tallybook
USER 101:101
EXPOSE 8080
STOPSIGNAL SIGTERM
CMD ["sh", "/etc/tallybook/nginx.sh"]

FROM denoland/deno:2.9.6 AS build
WORKDIR /app
ENV DENO_NO_UPDATE_CHECK=1 DENO_NO_PROMPT=1
# PEM certificates of a TLS-inspecting proxy between this machine and the package registry.
ARG EXTRA_CA=
# Dependencies first, so that a change of the source reuses these layers. Production has a dependency folder
# of its own, without the test tools and the embedded database.
COPY deno.json deno.lock ./
COPY src/cli/deploy/slim.ts /slim/
RUN fetch() { if [ -n "$EXTRA_CA" ]; then DENO_CERT=/tmp/ca.pem deno "$@"; else deno "$@"; fi; } \
  && echo "$EXTRA_CA" >/tmp/ca.pem \
  && fetch install --quiet --frozen \
  && deno run --quiet --no-config --allow-read --allow-write /slim/slim.ts deno.json /slim/deno.json \
  && cp deno.lock /slim/ && cd /slim && export DENO_DIR=/slim/deno-dir \
  && fetch install --quiet --frozen=false
COPY . .

FROM build AS test
RUN deno fmt --check && deno lint && deno check
RUN deno task test:pure
# src/cli/stack is for machines without containers.
RUN mkdir /tested \
  && cp -r events migrations projections src /slim/deno.json /slim/deno.lock /tested/ \
  && rm -r /tested/src/cli/stack /tested/src/cli/stack.ts

FROM denoland/deno:2.9.6
WORKDIR /app
ENV DENO_DIR=/deno-dir DENO_NO_UPDATE_CHECK=1 DENO_NO_PROMPT=1 PORT=8000
COPY --from=build /slim/deno-dir /deno-dir
# From the test stage, so that neither builder can skip it.
COPY --from=test /tested ./
# Compiled now, because the file system is read-only at run time. A new volume inherits the owner and mode of
# the folder that it is mounted on; 101 is Nginx.
RUN deno cache --quiet --frozen --no-check src/main.ts src/cli/*.ts src/cli/deploy/*.ts \
  && chown root: /deno-dir && install -d -o 101 -g 101 /var/log/tallybook \
  && install -d -o deno -g deno -m 0700 backups data \
  && for folder in owner data app cache edge; do install -d -o deno -g deno "/secrets/$folder"; done
USER deno
EXPOSE 8000
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=3s --timeout=3s --start-period=30s --retries=3 \
  CMD ["deno", "run", "--quiet", "--cached-only", "--frozen", "--allow-env", "--allow-net", \
  "--allow-read", "--allow-sys=networkInterfaces", "src/cli/deploy/health.ts"]
# The same flags as in deno.json; src/cli/stack/app.ts gives the reason.
CMD ["sh", "src/cli/deploy/run.sh", "--v8-flags=--max-semi-space-size=16,--heap-growing-percent=60", \
  "src/main.ts"]
