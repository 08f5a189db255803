# Two images, alike: `host` has the binary of this machine, for `make image`, and downloads and compiles nothing; `docker build .`
# compiles the source, for which it needs a network. Both run as a user without rights, on a file system that may be read-only: only
# /data is written to. The folders of /init are for `edgehold init`.

FROM scratch AS host
COPY edgehold /edgehold
COPY --chown=65532:65532 rootfs/ /
USER 65532:65532
ENTRYPOINT ["/edgehold"]

FROM golang:1.26 AS build
WORKDIR /src
COPY go.mod go.sum ./
RUN go mod download
COPY . .
ARG VERSION=devel
RUN CGO_ENABLED=0 go build -trimpath -pgo cmd/edgehold/edgehold.pgo -ldflags "-s -w -X main.version=$VERSION" -o /out/edgehold ./cmd/edgehold \
 && mkdir -p /out/rootfs/data /out/rootfs/init/bootstrap /out/rootfs/init/server /out/rootfs/init/edge \
 && chmod 0700 /out/rootfs/data /out/rootfs/init/*

FROM scratch
COPY --from=build /out/edgehold /edgehold
COPY --from=build --chown=65532:65532 /out/rootfs/ /
USER 65532:65532
ENTRYPOINT ["/edgehold"]
