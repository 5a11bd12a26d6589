//! The table: the expected result of each call with each fault.

use cmauth::{Advice, Status};
use cmauth_sandbox::{Fault, Kind};

/// The expected result of a call. `None`: it succeeds.
pub type Expected = Option<(Status, Advice)>;

/// The expected results of exchange, refresh and logout.
pub type Results = [Expected; 3];

const SUCCESS: Results = [None; 3];

/// All calls fail until a person changes something.
fn fix(status: Status) -> Results {
    [Some((status, Advice::Fix)); 3]
}

/// All calls fail before a byte is sent, so each can be retried.
fn unsent(status: Status) -> Results {
    [Some((status, Advice::Retry)); 3]
}

/// All calls fail after the request was sent. They can be retried, except for the exchange, whose code may be used up.
fn sent(status: Status) -> Results {
    let retry = Some((status, Advice::Retry));
    [Some((status, Advice::LogIn)), retry, retry]
}

/// The same for a defect in the body of the response, which a logout does not read.
fn except_logout([exchange, refresh, _]: Results) -> Results {
    [exchange, refresh, None]
}

/// The table of expected results.
pub fn expected(fault: Fault, tls: bool) -> Results {
    use Fault as F;
    let log_in = Some((Status::LoginRequired, Advice::LogIn));
    let token_rejected = Some((Status::TokenRejected, Advice::Refresh));
    let request_rejected = Some((Status::RequestRejected, Advice::Fix));
    let client_rejected = Some((Status::ClientRejected, Advice::Fix));
    match fault {
        F::Refuse | F::CloseInHandshake | F::ResetInHandshake => unsent(Status::Network),
        F::SilenceInConnect | F::SilenceInHandshake => unsent(Status::Timeout),
        // Without TLS, the client has sent the request by then.
        F::Close if tls => unsent(Status::Network),
        F::Close => sent(Status::Network),
        F::PlainInHandshake => fix(Status::Tls),

        F::CloseBeforeHead | F::ResetBeforeHead | F::ResetInHead | F::CutHead => sent(Status::Network),
        F::ResetAfterHead | F::CutBody | F::CutChunk | F::LengthTooLong => except_logout(sent(Status::Network)),
        F::SilenceBeforeHead | F::SilenceInHead | F::Drip => sent(Status::Timeout),
        F::SilenceInBody => except_logout(sent(Status::Timeout)),
        F::ByteByByte | F::NoLength | F::Chunked | F::Http10 | F::BareLf | F::Continue | F::EarlyHints => SUCCESS,
        F::LengthNonsense | F::LengthNegative | F::LengthsDiffer | F::NotHttp | F::NulInHead => fix(Status::Protocol),
        F::EndlessHead | F::HugeHead | F::HugeHeader | F::SwitchingProtocols => fix(Status::Protocol),
        F::LengthTooShort | F::ChunkNonsense | F::ChunkTooLarge | F::EndlessBody | F::EndlessChunks | F::Gzip => {
            except_logout(fix(Status::Protocol))
        }

        F::JsonAsHtml | F::JsonTwice | F::ExtraFields | F::UpperTokenType => SUCCESS,
        F::NoRefreshToken | F::EmptyRefreshToken | F::NullRefreshToken => SUCCESS,
        F::NoExpiresIn | F::ZeroExpiresIn | F::NegativeExpiresIn | F::HugeExpiresIn => SUCCESS,
        F::FractionExpiresIn | F::TextExpiresIn | F::WordExpiresIn => SUCCESS,
        F::NoScope | F::NumberScope | F::CrLfInScope => SUCCESS,
        _ if fault.kind() == Kind::Edit => except_logout(fix(Status::Protocol)),
        _ if fault.kind() == Kind::Idle => SUCCESS,

        F::Status204 | F::Html200 | F::Empty200 | F::JsonNull | F::JsonArray | F::JsonNumber => {
            except_logout(fix(Status::Protocol))
        }
        F::JsonNest | F::Error200 => except_logout(fix(Status::Protocol)),
        F::Status300 | F::Status301 | F::Status302 | F::Status303 | F::Status304 => fix(Status::Protocol),
        F::Status305 | F::Status307 | F::Status308 | F::Status600 => fix(Status::Protocol),
        F::Status400 | F::Status404 | F::Status405 | F::Status406 | F::Status407 | F::Status408 => {
            fix(Status::RequestRejected)
        }
        F::Html400 | F::Xml400 | F::Echo400 | F::ErrorOfWrongTypes | F::Rest406 => fix(Status::RequestRejected),
        F::MethodNotAllowed | F::NoGrantType | F::UnknownGrantType | F::UnknownScope | F::NoCode | F::WiderScope => {
            fix(Status::RequestRejected)
        }
        F::Status401 | F::Html401 | F::Container401 | F::NoCredentials | F::BadCredentials | F::ClientDiffers => {
            [client_rejected, client_rejected, token_rejected]
        }
        F::GrantNotAllowed | F::OtherClientsCode => [client_rejected, client_rejected, token_rejected],
        F::Status403 | F::ScopeTooSmall | F::Forbidden => fix(Status::AccessDenied),
        F::Status429 | F::Status500 | F::Status501 | F::Status502 | F::Status503 | F::Status504 => sent(Status::Server),
        F::RetryAfterSeconds | F::RetryAfterDate | F::RetryAfterWord => sent(Status::Server),
        F::Html502 | F::Html503 | F::ServerError | F::Rest500 => sent(Status::Server),
        // `invalid_grant` is an error of the token endpoint only.
        F::UnknownCode | F::RedirectMismatch | F::UnknownRefreshToken | F::OtherClientsRefreshToken => {
            [log_in, log_in, request_rejected]
        }
        F::ExpiredRefreshToken | F::UnknownAccessToken | F::ExpiredAccessToken => [log_in, log_in, token_rejected],
        other => panic!("{other} is not in the table"),
    }
}
