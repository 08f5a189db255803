# Built from dist/, where `make build` puts the static binary: nothing is downloaded or compiled here.
FROM scratch
COPY edgehold /edgehold
ENTRYPOINT ["/edgehold"]
