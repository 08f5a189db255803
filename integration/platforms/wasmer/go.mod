module github.com/edgehold/edgehold/integration/platforms/wasmer

go 1.26.8

replace github.com/edgehold/edgehold => ../../..

require (
	github.com/edgehold/edgehold v0.0.0-00010101000000-000000000000
	github.com/wasmerio/wasmer-go v1.0.4
)
