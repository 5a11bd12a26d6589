module libcmauth/tests/clients

go 1.21

require golang.org/x/oauth2 v0.21.0
