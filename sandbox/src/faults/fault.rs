//! The faults there are: [`Fault`], each with the name it has on the wire and in documents, one sentence, and its kind.
//!
//! Only a list: `script` says when one is due, `raw`, `content` and `gate` say how it is done.

use std::fmt;
use std::str::FromStr;

/// At which point a fault takes the place of what a good server does. This also says what becomes of the request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// No connection comes about. Lasts until it is cleared, for a server cannot count who did not get in.
    Listener,
    /// The next connection, whatever it was for. Its request is not read.
    Connection,
    /// The next TLS handshake. The sandbox must have TLS.
    Handshake,
    /// The next request is served (its code is burned, its tokens are made or ended), but the answer goes wrong on its
    /// way.
    Answer,
    /// The next request is served, and a good token answer is changed: what it promises is there, said wrongly. Other
    /// answers stay as they are.
    Edit,
    /// The next request is answered so without being looked at: its code stays good, its tokens live on.
    Instead,
    /// The next request is served and answered well; the fault comes on the kept connection after it.
    Kept,
}

impl Kind {
    /// What the kind means, in a sentence.
    pub fn about(self) -> &'static str {
        match self {
            Kind::Listener => "No connection comes about, until the fault is cleared.",
            Kind::Connection => "The next connection ends; its request is not read.",
            Kind::Handshake => "The next TLS handshake goes wrong; needs a sandbox with TLS.",
            Kind::Answer => "The next request is served, and its answer goes wrong on the way.",
            Kind::Edit => "The next request is served, and a good token answer is changed.",
            Kind::Instead => "The next request is answered so without being served: codes and tokens stay as they are.",
            Kind::Kept => "The next request is served and answered well; the fault comes on the kept connection.",
        }
    }
}

macro_rules! faults {
    ($($kind:ident { $($fault:ident $name:literal $about:literal)* })*) => {
        /// Something that a server or the way to it can do wrong.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum Fault { $($(#[doc = $about] $fault,)*)* }

        impl Fault {
            /// Every fault there is.
            pub const ALL: &'static [Fault] = &[$($(Fault::$fault,)*)*];

            /// Its name: `"cut-body"`.
            pub fn name(self) -> &'static str {
                match self { $($(Fault::$fault => $name,)*)* }
            }

            /// What happens, in a sentence.
            pub fn about(self) -> &'static str {
                match self { $($(Fault::$fault => $about,)*)* }
            }

            /// Where it happens.
            pub fn kind(self) -> Kind {
                match self { $($(Fault::$fault)|* => Kind::$kind,)* }
            }
        }
    };
}

faults! {
    Listener {
        Refuse "refuse" "Nothing listens on the port."
        SilenceInConnect "silence-in-connect" "The listener is full: a connection attempt gets no answer."
    }
    Connection {
        Close "close" "The connection is closed as soon as it is made."
    }
    Handshake {
        SilenceInHandshake "silence-in-handshake" "The TLS handshake gets no answer."
        CloseInHandshake "close-in-handshake" "The connection is closed after the client's hello."
        ResetInHandshake "reset-in-handshake" "The connection is reset after the client's hello."
        PlainInHandshake "plain-in-handshake" "The client's hello is answered in plain HTTP."
    }
    Answer {
        CloseBeforeHead "close-before-head" "The connection is closed instead of an answer."
        ResetBeforeHead "reset-before-head" "The connection is reset instead of an answer."
        ResetInHead "reset-in-head" "The connection is reset within the head."
        ResetAfterHead "reset-after-head" "The connection is reset between head and body."
        CutHead "cut-head" "The connection is closed within the head."
        CutBody "cut-body" "The connection is closed within the body."
        CutChunk "cut-chunk" "The connection is closed within a chunk of the body."
        SilenceBeforeHead "silence-before-head" "No answer comes."
        SilenceInHead "silence-in-head" "Nothing comes any more, within the head."
        SilenceInBody "silence-in-body" "Nothing comes any more, within the body."
        ByteByByte "byte-by-byte" "The answer comes in pieces of one byte."
        Drip "drip" "A byte of the answer comes every 50 ms."
        LengthTooLong "length-too-long" "Content-Length promises more than comes before the connection is closed."
        LengthTooShort "length-too-short" "Content-Length promises less than comes; the connection is kept."
        LengthNonsense "length-nonsense" "Content-Length is a word."
        LengthNegative "length-negative" "Content-Length is negative."
        LengthsDiffer "lengths-differ" "Two Content-Lengths differ."
        NoLength "no-length" "No length is told: the body ends with the connection (which HTTP allows)."
        Chunked "chunked" "The body comes in chunks (which HTTP allows)."
        ChunkNonsense "chunk-nonsense" "A chunk begins with nonsense instead of its size."
        ChunkTooLarge "chunk-too-large" "A chunk's size has more digits than a number can hold."
        EndlessBody "endless-body" "The body never ends."
        EndlessChunks "endless-chunks" "The body never ends, in chunks."
        EndlessHead "endless-head" "Header lines never end."
        HugeHead "huge-head" "2 MB of header lines."
        HugeHeader "huge-header" "One header line of 2 MB."
        Gzip "gzip" "The body is packed with gzip, which nobody asked for."
        NotHttp "not-http" "The answer is that of a mail server."
        NulInHead "nul-in-head" "A header's value has a NUL in it."
        BareLf "bare-lf" "The lines of the head end in LF alone."
        Http10 "http-1.0" "The answer is HTTP/1.0 (which HTTP allows)."
        Continue "continue-first" "A 100 comes before the answer (which HTTP allows)."
        EarlyHints "early-hints-first" "A 103 comes before the answer (which HTTP allows)."
        SwitchingProtocols "status-101" "The answer is a 101: the server changes the protocol."
    }
    Edit {
        JsonCut "json-cut" "Half of the JSON, with the right length."
        JsonBehind "json-behind" "Text follows the JSON."
        JsonTwice "json-twice" "The access token is there twice (the last counts)."
        JsonDeep "json-deep" "An extra field is nested 10,000 times."
        JsonUtf16 "json-utf16" "The JSON is UTF-16."
        JsonBom "json-bom" "The JSON begins with a byte order mark."
        JsonLatin1 "json-latin1" "A text of the JSON is Latin-1."
        JsonLarge "json-large" "The JSON is larger than 64 KiB."
        JsonAsText "json-as-text" "The JSON is inside a JSON text."
        JsonAsHtml "json-as-html" "The Content-Type is text/html; the JSON is good."
        ExtraFields "extra-fields" "Extra fields of every JSON type follow."
        NoAccessToken "no-access-token" "access_token is missing."
        EmptyAccessToken "empty-access-token" "access_token is empty."
        NullAccessToken "null-access-token" "access_token is null."
        NumberAccessToken "number-access-token" "access_token is a number."
        ObjectAccessToken "object-access-token" "access_token is an object."
        NulInAccessToken "nul-in-access-token" "access_token ends in a NUL."
        CrLfInAccessToken "crlf-in-access-token" "access_token ends in CR LF and a header line."
        SpaceInAccessToken "space-in-access-token" "access_token has a space in it."
        NonAsciiAccessToken "non-ascii-access-token" "access_token has an é in it."
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
        TextExpiresIn "text-expires-in" "expires_in is \"43199\", a text."
        WordExpiresIn "word-expires-in" "expires_in is \"soon\"."
        NoScope "no-scope" "scope is missing."
        NumberScope "number-scope" "scope is a number."
        CrLfInScope "crlf-in-scope" "scope ends in CR LF and a header line."
    }
    Instead {
        Status204 "status-204" "204, and no body."
        Status300 "status-300" "300 to this same place."
        Status301 "status-301" "301 to this same place."
        Status302 "status-302" "302 to this same place."
        Status303 "status-303" "303 to this same place."
        Status304 "status-304" "304, and no body."
        Status305 "status-305" "305 to this same place."
        Status307 "status-307" "307 to this same place."
        Status308 "status-308" "308 to this same place."
        Status400 "status-400" "400, and no body."
        Status401 "status-401" "401, and no body."
        Status403 "status-403" "403, and no body."
        Status404 "status-404" "404, and no body."
        Status405 "status-405" "405, and no body."
        Status406 "status-406" "406, and no body."
        Status407 "status-407" "407, and no body."
        Status408 "status-408" "408, and no body."
        Status429 "status-429" "429, and no body."
        Status500 "status-500" "500, and no body."
        Status501 "status-501" "501, and no body."
        Status502 "status-502" "502, and no body."
        Status503 "status-503" "503, and no body."
        Status504 "status-504" "504, and no body."
        Status600 "status-600" "600, which is no status."
        RetryAfterSeconds "retry-after-seconds" "503 with Retry-After: 120."
        RetryAfterDate "retry-after-date" "429 with Retry-After and a date two minutes away."
        RetryAfterWord "retry-after-word" "503 with Retry-After: soon."
        Html200 "html-200" "200 with a web page, as of a hotel's network."
        Html400 "html-400" "400 with a web page."
        Html401 "html-401" "401 with a container's web page."
        Html502 "html-502" "502 with a proxy's web page."
        Html503 "html-503" "503 with a web page."
        Empty200 "empty-200" "200 and nothing."
        JsonNull "json-null" "200 and null."
        JsonArray "json-array" "200 and a list."
        JsonNumber "json-number" "200 and a number."
        JsonNest "json-nest" "200 and 10,000 open brackets."
        Error200 "error-200" "200 and an OAuth error."
        NoCredentials "no-credentials" "401 unauthorized, as without credentials."
        BadCredentials "bad-credentials" "401 unauthorized, as for a wrong id or secret."
        ClientDiffers "client-differs" "401 invalid_client, as for a client_id beside Basic."
        GrantNotAllowed "grant-not-allowed" "401 invalid_client, as for a grant that the client may not use."
        OtherClientsCode "other-clients-code" "401 invalid_client, as for another client's code."
        MethodNotAllowed "method-not-allowed" "405 method_not_allowed, as for GET."
        NoGrantType "no-grant-type" "400 invalid_request, as without grant_type."
        UnknownGrantType "unknown-grant-type" "400 unsupported_grant_type."
        UnknownScope "unknown-scope" "400 invalid_scope, as for a scope that the client does not have."
        NoCode "no-code" "400 invalid_request, as without a code."
        UnknownCode "unknown-code" "400 invalid_grant, as for a code that is unknown or used; echoes what was sent."
        RedirectMismatch "redirect-mismatch" "400 invalid_grant, as for another redirect URI."
        UnknownRefreshToken "unknown-refresh-token" "400 invalid_grant, as for a revoked refresh token; echoes what was sent."
        ExpiredRefreshToken "expired-refresh-token" "401 invalid_token, as for an expired refresh token; echoes what was sent."
        OtherClientsRefreshToken "other-clients-refresh-token" "400 invalid_grant, as for another client's refresh token; echoes what was sent."
        WiderScope "wider-scope" "400 invalid_scope, as for a scope that was not authorized."
        ServerError "server-error" "500 server_error, as after a crash or a race."
        UnknownAccessToken "unknown-access-token" "401 invalid_token, as for an unknown access token; echoes what was sent."
        ExpiredAccessToken "expired-access-token" "401 invalid_token, as for an expired access token; echoes what was sent."
        ScopeTooSmall "scope-too-small" "403 insufficient_scope."
        Forbidden "forbidden" "403 access_denied."
        Container401 "container-401" "401 with the JSON of a container, whose error is no OAuth code."
        Rest406 "rest-406" "406 in the REST API's own shape."
        Rest500 "rest-500" "500 in the REST API's own shape."
        Xml400 "xml-400" "400 invalid_grant in XML; echoes what was sent."
        Echo400 "echo-400" "400 that echoes the whole request, secrets and all, also HTML-escaped and with CR LF and NUL."
        ErrorOfWrongTypes "error-of-wrong-types" "400 with an error and a description that are no texts."
    }
    Kept {
        CloseIdle "close-idle" "The kept connection is closed."
        ResetIdle "reset-idle" "The kept connection is reset."
        CloseNotifyIdle "close-notify-idle" "TLS says close_notify on the kept connection, and TCP stays open; needs TLS."
        TimeoutIdle "timeout-idle" "A 408 that nobody asked for comes on the kept connection, which is closed."
        TwoAnswers "two-answers" "A second answer, with another token, comes at once with the good one."
        CloseNext "drop-next" "The kept connection is closed as the next request arrives."
        ResetNext "reset-next" "The kept connection is reset as the next request arrives."
    }
}

impl Fault {
    /// Whether it can only happen in a sandbox with TLS.
    pub fn needs_tls(self) -> bool {
        self.kind() == Kind::Handshake || self == Fault::CloseNotifyIdle
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A name that is no fault's.
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
    fn every_name_is_its_own_and_leads_back_to_its_fault() {
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
