# The images of local/compose.embedded.yaml, from what was built on the host: a
# folder each, below .task/compose. A builder older than BuildKit builds all
# targets above the one it is asked for; nothing here costs it anything.
FROM scratch AS base
USER 65532:65532

FROM base AS predict
COPY predict /
ENTRYPOINT ["/predict"]

FROM base AS learn
COPY learn /
ENTRYPOINT ["/learn"]

FROM base AS setup
COPY setup /
ENTRYPOINT ["/setup"]

FROM base AS simulate
COPY simulate /
ENTRYPOINT ["/simulate"]

# A new volume takes its owner from the folder of the image that it hides.
FROM base AS local
COPY local /
COPY --chown=65532:65532 data /data
ENTRYPOINT ["/local"]

FROM scratch AS redis
COPY redis /
COPY --chown=999:999 data /data
USER 999:999
