module github.com/edgehold/edgehold/integration/platforms/wasmer

go 1.26.8

replace github.com/edgehold/edgehold => ../../..

require (
	github.com/edgehold/edgehold v0.0.0-00010101000000-000000000000
	github.com/wasmerio/wasmer-go v1.0.4
)

require (
	github.com/cespare/xxhash/v2 v2.3.0 // indirect
	go.opentelemetry.io/otel v1.47.0 // indirect
	go.opentelemetry.io/otel/trace v1.47.0 // indirect
)
