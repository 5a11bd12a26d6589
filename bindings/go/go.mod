module libcmauth/bindings/go

go 1.21
