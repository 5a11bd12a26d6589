module libcmauth/bindings/go/cmoauth2

go 1.21

require (
	golang.org/x/oauth2 v0.21.0
	libcmauth/bindings/go v0.0.0
)

replace libcmauth/bindings/go => ../
