//! The list of faults: [`Fault`], with a name, a description and a kind for each.
//!
//! `queue` decides when a fault happens. `raw`, `content` and `listener` do it.

use std::fmt;
use std::str::FromStr;

/// The point at which a fault happens. It decides whether the server serves the request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Connections fail. It lasts until it is cleared, because the server cannot count such connections.
    Listener,
    /// The next connection fails, whatever its request is. The server does not read the request.
    Connection,
    /// The next TLS handshake fails. The sandbox must have TLS.
    Handshake,
    /// The server serves the next request (it uses up the code, makes or ends tokens), but the response is broken.
    Response,
    /// The server serves the next request, but changes the content of a token response. Other responses stay as they
    /// are.
    Edit,
    /// The server sends a canned response and does not serve the request: codes and tokens stay valid.
    Canned,
    /// The server serves the next request well. The fault happens on the idle connection after it.
    Idle,
}

impl Kind {
    /// A description of the kind, in one sentence.
    pub fn about(self) -> &'static str {
        match self {
            Kind::Listener => "Connections fail until the fault is cleared.",
            Kind::Connection => "The next connection ends; the server does not read its request.",
            Kind::Handshake => "The next TLS handshake fails; needs a sandbox with TLS.",
            Kind::Response => "The server serves the next request, but breaks the response.",
            Kind::Edit => "The server serves the next request, but changes a good token response.",
            Kind::Canned => {
                "The server sends this response and does not serve the request: codes and tokens stay valid."
            }
            Kind::Idle => "The server serves the next request; the fault happens on the idle connection after it.",
        }
    }
}

macro_rules! faults {
    ($($kind:ident { $($fault:ident $name:literal $about:literal)* })*) => {
        /// A fault of a server, or of the network between.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum Fault { $($(#[doc = $about] $fault,)*)* }

        impl Fault {
            /// All faults.
            pub const ALL: &'static [Fault] = &[$($(Fault::$fault,)*)*];

            /// The name: `"cut-body"`.
            pub fn name(self) -> &'static str {
                match self { $($(Fault::$fault => $name,)*)* }
            }

            /// A description, in one sentence.
            pub fn about(self) -> &'static str {
                match self { $($(Fault::$fault => $about,)*)* }
            }

            /// The kind.
            pub fn kind(self) -> Kind {
                match self { $($(Fault::$fault)|* => Kind::$kind,)* }
            }
        }
    };
}

faults! {
    Listener {
        Refuse "refuse" "Nothing listens on the port."
        SilenceInConnect "silence-in-connect" "The queue of the listener is full: connection attempts get no reply."
    }
    Connection {
        Close "close" "The server closes the connection as soon as it is made."
    }
    Handshake {
        SilenceInHandshake "silence-in-handshake" "The server does not respond to the TLS handshake."
        CloseInHandshake "close-in-handshake" "The server closes the connection after the ClientHello."
        ResetInHandshake "reset-in-handshake" "The server resets the connection after the ClientHello."
        PlainInHandshake "plain-in-handshake" "The server responds to the ClientHello in plain HTTP."
    }
    Response {
        CloseBeforeHead "close-before-head" "The server closes the connection without a response."
        ResetBeforeHead "reset-before-head" "The server resets the connection without a response."
        ResetInHead "reset-in-head" "The server resets the connection within the head."
        ResetAfterHead "reset-after-head" "The server resets the connection between head and body."
        CutHead "cut-head" "The server closes the connection within the head."
        CutBody "cut-body" "The server closes the connection within the body."
        CutChunk "cut-chunk" "The server closes the connection within a chunk of the body."
        SilenceBeforeHead "silence-before-head" "The server never responds."
        SilenceInHead "silence-in-head" "The server stops within the head, and keeps the connection open."
        SilenceInBody "silence-in-body" "The server stops within the body, and keeps the connection open."
        ByteByByte "byte-by-byte" "The response arrives in pieces of one byte."
        Drip "drip" "One byte of the response arrives every 50 ms."
        LengthTooLong "length-too-long" "Content-Length is larger than the body; the server then closes the connection."
        LengthTooShort "length-too-short" "Content-Length is smaller than the body; the server keeps the connection open."
        LengthNonsense "length-nonsense" "Content-Length is a word."
        LengthNegative "length-negative" "Content-Length is negative."
        LengthsDiffer "lengths-differ" "Two Content-Lengths differ."
        NoLength "no-length" "The response has no length: the body ends with the connection (which HTTP allows)."
        Chunked "chunked" "The body is sent in chunks (which HTTP allows)."
        ChunkNonsense "chunk-nonsense" "A chunk begins with a word instead of its size."
        ChunkTooLarge "chunk-too-large" "A chunk's size has more digits than a number can hold."
        EndlessBody "endless-body" "The body never ends."
        EndlessChunks "endless-chunks" "The body never ends, in chunks."
        EndlessHead "endless-head" "Header lines never end."
        HugeHead "huge-head" "2 MB of header lines."
        HugeHeader "huge-header" "One header line of 2 MB."
        Gzip "gzip" "The body is compressed with gzip, although the request did not allow that."
        NotHttp "not-http" "The response is the greeting of a mail server."
        NulInHead "nul-in-head" "The value of a header contains a NUL."
        BareLf "bare-lf" "The lines of the head end with LF only."
        Http10 "http-1.0" "The response is HTTP/1.0 (which HTTP allows)."
        Continue "continue-first" "A 100 precedes the response (which HTTP allows)."
        EarlyHints "early-hints-first" "A 103 precedes the response (which HTTP allows)."
        SwitchingProtocols "status-101" "The response is 101: the server switches the protocol."
    }
    Edit {
        JsonCut "json-cut" "The body is the first half of the JSON, with the right length."
        JsonBehind "json-behind" "Text follows the JSON."
        JsonTwice "json-twice" "The JSON has access_token twice (the last one counts)."
        JsonDeep "json-deep" "An extra field is nested 10,000 times."
        JsonUtf16 "json-utf16" "The JSON is UTF-16."
        JsonBom "json-bom" "The JSON begins with a byte order mark."
        JsonLatin1 "json-latin1" "A string of the JSON is Latin-1."
        JsonLarge "json-large" "The JSON is larger than 64 KiB."
        JsonAsText "json-as-text" "The JSON is inside a JSON string."
        JsonAsHtml "json-as-html" "The Content-Type is text/html; the JSON is good."
        ExtraFields "extra-fields" "Extra fields of every JSON type follow."
        NoAccessToken "no-access-token" "access_token is missing."
        EmptyAccessToken "empty-access-token" "access_token is empty."
        NullAccessToken "null-access-token" "access_token is null."
        NumberAccessToken "number-access-token" "access_token is a number."
        ObjectAccessToken "object-access-token" "access_token is an object."
        NulInAccessToken "nul-in-access-token" "access_token ends in a NUL."
        CrLfInAccessToken "crlf-in-access-token" "access_token ends in CR LF and a header line."
        SpaceInAccessToken "space-in-access-token" "access_token contains a space."
        NonAsciiAccessToken "non-ascii-access-token" "access_token contains an é."
        NoRefreshToken "no-refresh-token" "refresh_token is missing."
        EmptyRefreshToken "empty-refresh-token" "refresh_token is empty."
        NullRefreshToken "null-refresh-token" "refresh_token is null."
        NumberRefreshToken "number-refresh-token" "refresh_token is a number."
        NulInRefreshToken "nul-in-refresh-token" "refresh_token ends in a NUL."
        CrLfInRefreshToken "crlf-in-refresh-token" "refresh_token ends in CR LF and a header line."
        NoTokenType "no-token-type" "token_type is missing."
        OtherTokenType "other-token-type" "token_type is mac."
        NumberTokenType "number-token-type" "token_type is a number."
        UpperTokenType "upper-token-type" "token_type is BEARER."
        NoExpiresIn "no-expires-in" "expires_in is missing."
        ZeroExpiresIn "zero-expires-in" "expires_in is 0."
        NegativeExpiresIn "negative-expires-in" "expires_in is negative."
        HugeExpiresIn "huge-expires-in" "expires_in is 9e99."
        FractionExpiresIn "fraction-expires-in" "expires_in is 43199.9."
        TextExpiresIn "text-expires-in" "expires_in is the string \"43199\"."
        WordExpiresIn "word-expires-in" "expires_in is \"soon\"."
        NoScope "no-scope" "scope is missing."
        NumberScope "number-scope" "scope is a number."
        CrLfInScope "crlf-in-scope" "scope ends in CR LF and a header line."
    }
    Canned {
        Status204 "status-204" "204 without a body."
        Status300 "status-300" "300 to the same URL."
        Status301 "status-301" "301 to the same URL."
        Status302 "status-302" "302 to the same URL."
        Status303 "status-303" "303 to the same URL."
        Status304 "status-304" "304 without a body."
        Status305 "status-305" "305 to the same URL."
        Status307 "status-307" "307 to the same URL."
        Status308 "status-308" "308 to the same URL."
        Status400 "status-400" "400 without a body."
        Status401 "status-401" "401 without a body."
        Status403 "status-403" "403 without a body."
        Status404 "status-404" "404 without a body."
        Status405 "status-405" "405 without a body."
        Status406 "status-406" "406 without a body."
        Status407 "status-407" "407 without a body."
        Status408 "status-408" "408 without a body."
        Status429 "status-429" "429 without a body."
        Status500 "status-500" "500 without a body."
        Status501 "status-501" "501 without a body."
        Status502 "status-502" "502 without a body."
        Status503 "status-503" "503 without a body."
        Status504 "status-504" "504 without a body."
        Status600 "status-600" "600, which is not a status of HTTP."
        RetryAfterSeconds "retry-after-seconds" "503 with Retry-After: 120."
        RetryAfterDate "retry-after-date" "429 with Retry-After: a date in two minutes."
        RetryAfterWord "retry-after-word" "503 with Retry-After: soon."
        Html200 "html-200" "200 with a web page, as from a captive portal (hotel Wi-Fi)."
        Html400 "html-400" "400 with a web page."
        Html401 "html-401" "401 with the web page of a servlet container."
        Html502 "html-502" "502 with the web page of a proxy."
        Html503 "html-503" "503 with a web page."
        Empty200 "empty-200" "200 without a body."
        JsonNull "json-null" "200; the body is the JSON value null."
        JsonArray "json-array" "200; the body is a JSON array."
        JsonNumber "json-number" "200; the body is a JSON number."
        JsonNest "json-nest" "200; the body is 10,000 open brackets."
        Error200 "error-200" "200 and an OAuth error."
        NoCredentials "no-credentials" "401 unauthorized, as without credentials."
        BadCredentials "bad-credentials" "401 unauthorized, as for a wrong id or secret."
        ClientDiffers "client-differs" "401 invalid_client, as for a client_id parameter that differs from the Basic header."
        GrantNotAllowed "grant-not-allowed" "401 invalid_client, as for a grant that the client may not use."
        OtherClientsCode "other-clients-code" "401 invalid_client, as for the code of another client."
        MethodNotAllowed "method-not-allowed" "405 method_not_allowed, as for GET."
        NoGrantType "no-grant-type" "400 invalid_request, as without grant_type."
        UnknownGrantType "unknown-grant-type" "400 unsupported_grant_type."
        UnknownScope "unknown-scope" "400 invalid_scope, as for a scope that the client does not have."
        NoCode "no-code" "400 invalid_request, as without a code."
        UnknownCode "unknown-code" "400 invalid_grant, as for a code that is unknown or used; echoes the code."
        RedirectMismatch "redirect-mismatch" "400 invalid_grant, as for another redirect URI."
        UnknownRefreshToken "unknown-refresh-token" "400 invalid_grant, as for a revoked refresh token; echoes the refresh token."
        ExpiredRefreshToken "expired-refresh-token" "401 invalid_token, as for an expired refresh token; echoes the refresh token."
        OtherClientsRefreshToken "other-clients-refresh-token" "400 invalid_grant, as for the refresh token of another client; echoes the refresh token."
        WiderScope "wider-scope" "400 invalid_scope, as for a scope that was not authorized."
        ServerError "server-error" "500 server_error, as after a crash or a race condition in the server."
        UnknownAccessToken "unknown-access-token" "401 invalid_token, as for an unknown access token; echoes the access token."
        ExpiredAccessToken "expired-access-token" "401 invalid_token, as for an expired access token; echoes the access token."
        ScopeTooSmall "scope-too-small" "403 insufficient_scope."
        Forbidden "forbidden" "403 access_denied."
        Container401 "container-401" "401 with the JSON of a servlet container; its field error is not an OAuth error code."
        Rest406 "rest-406" "406 in the error format of the REST API."
        Rest500 "rest-500" "500 in the error format of the REST API."
        Xml400 "xml-400" "400 invalid_grant in XML; repeats the code or the token that was sent."
        Echo400 "echo-400" "400 that repeats the whole request with its secrets: unchanged, HTML-escaped, and with CR LF and NUL."
        ErrorOfWrongTypes "error-of-wrong-types" "400 with an error and a description that are not strings."
    }
    Idle {
        CloseIdle "close-idle" "The server closes the idle connection."
        ResetIdle "reset-idle" "The server resets the idle connection."
        CloseNotifyIdle "close-notify-idle" "The server sends close_notify on the idle connection, but TCP stays open."
        TimeoutIdle "timeout-idle" "The server sends a 408 on the idle connection, although no request was sent, and closes it."
        TwoAnswers "two-answers" "Directly after the good response, the server sends a second one with another token."
        CloseNext "drop-next" "The server closes the idle connection when the next request arrives."
        ResetNext "reset-next" "The server resets the idle connection when the next request arrives."
    }
}

impl Fault {
    /// Whether it needs a sandbox with TLS.
    pub fn needs_tls(self) -> bool {
        self.kind() == Kind::Handshake || self == Fault::CloseNotifyIdle
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The error for a name that no fault has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownFault(pub String);

impl fmt::Display for UnknownFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "there is no fault {:?}; GET /sandbox/faults and --help list them", self.0)
    }
}

impl std::error::Error for UnknownFault {}

impl FromStr for Fault {
    type Err = UnknownFault;

    fn from_str(name: &str) -> Result<Fault, UnknownFault> {
        Fault::ALL.iter().copied().find(|fault| fault.name() == name).ok_or_else(|| UnknownFault(name.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn names_are_unique_and_can_be_parsed() {
        let names: HashSet<_> = Fault::ALL.iter().map(|fault| fault.name()).collect();
        assert_eq!(names.len(), Fault::ALL.len());
        for &fault in Fault::ALL {
            assert_eq!(fault.name().parse(), Ok(fault));
            let is_kebab = |letter: char| matches!(letter, 'a'..='z' | '0'..='9' | '-' | '.');
            assert!(fault.name().chars().all(is_kebab), "{fault}");
            assert!(fault.about().ends_with(['.']), "{fault}");
        }
        assert_eq!("nothing".parse::<Fault>(), Err(UnknownFault("nothing".to_owned())));
    }
}
