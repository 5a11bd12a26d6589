module libcmauth/examples/go

go 1.21

require libcmauth/bindings/go v0.0.0

replace libcmauth/bindings/go => ../../bindings/go
