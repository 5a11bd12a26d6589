//! The server of a simulated world. The user has one pair of tokens, which all installations share. A refresh ends the old access
//! token at once. If the server rotates refresh tokens, a refresh ends the old refresh token too.

use crate::error::{Error, Status};
use crate::session::simulation::plan::ServerFault;

/// The pair of tokens that the server accepts.
#[derive(Clone, Debug)]
pub(super) struct Login {
    pub(super) refresh_token: String,
    pub(super) access_token: Option<String>,
    /// When the access token expires, in true time.
    pub(super) expires_at: i64,
    /// A session has stored it, so it must not be lost.
    pub(super) was_stored: bool,
    /// Why it may be lost although it was stored.
    pub(super) loss_excused: Option<&'static str>,
}

/// The content of a token response.
#[derive(Clone, Debug)]
pub(super) struct Issued {
    pub(super) access_token: String,
    pub(super) refresh_token: String,
    pub(super) expires_in: i64,
}

pub(super) struct Server {
    rotates: bool,
    /// In ms.
    lifetime: i64,
    pub(super) login: Option<Login>,
    issued: u32,
    /// Time of the last token request, because two requests at once can fail.
    last_request: i64,
    pub(super) fault: Option<(ServerFault, i64)>,
    pub(super) rejects_until: i64,
}

impl Server {
    pub(super) fn new(rotates: bool, lifetime: i64) -> Server {
        Server {
            rotates,
            lifetime: lifetime * 1000,
            login: None,
            issued: 0,
            last_request: -1000,
            fault: None,
            rejects_until: 0,
        }
    }

    pub(super) fn fault(&self, at: i64) -> Option<ServerFault> {
        self.fault.and_then(|(fault, until)| (at < until).then_some(fault))
    }

    /// A login in a browser. Issues the pair that exists, or a new one.
    pub(super) fn log_in(&mut self, at: i64) -> Issued {
        let refresh_token = match &self.login {
            Some(login) => login.refresh_token.clone(),
            None => self.name('R'),
        };
        let alive = self.login.as_ref().filter(|login| login.access_token.is_some() && at < login.expires_at).cloned();
        let (access_token, expires_at) = match alive {
            Some(login) => (login.access_token.unwrap_or_default(), login.expires_at),
            None => (self.name('A'), at + self.lifetime),
        };
        let was_stored = self.login.as_ref().is_some_and(|login| login.was_stored && login.loss_excused.is_none());
        self.login = Some(Login {
            refresh_token: refresh_token.clone(),
            access_token: Some(access_token.clone()),
            expires_at,
            was_stored,
            loss_excused: None,
        });
        Issued { access_token, refresh_token, expires_in: (expires_at - at) / 1000 }
    }

    pub(super) fn refresh(
        &mut self,
        refresh_token: &str,
        at: i64,
        is_only_request: bool,
        have_ended: bool,
    ) -> Result<Issued, Error> {
        let at_once = at - self.last_request < 20;
        self.last_request = at;
        if at_once && !is_only_request {
            return Err(Error::new(Status::Server, "500 server_error", "try again"));
        }
        let (rotates, lifetime) = (self.rotates, if have_ended { 0 } else { self.lifetime });
        let access_token = self.name('A');
        let next = if rotates { self.name('R') } else { refresh_token.to_owned() };
        match &mut self.login {
            Some(login) if login.refresh_token == refresh_token => {
                login.access_token = Some(access_token.clone());
                login.expires_at = at + lifetime;
                login.refresh_token.clone_from(&next);
                Ok(Issued { access_token, refresh_token: next, expires_in: lifetime / 1000 })
            }
            _ => Err(Error::new(Status::LoginRequired, "400 invalid_grant", "log in again")),
        }
    }

    pub(super) fn end_tokens(&mut self, access_token: &str, at: i64) -> Result<(), Error> {
        if self.knows(access_token, at) {
            self.login = None;
            Ok(())
        } else {
            Err(Error::new(Status::TokenRejected, "401 invalid_token", "refresh"))
        }
    }

    /// Whether the API accepts the access token.
    pub(super) fn accepts(&self, access_token: &str, at: i64) -> bool {
        at >= self.rejects_until && self.knows(access_token, at)
    }

    pub(super) fn knows(&self, access_token: &str, at: i64) -> bool {
        self.login
            .as_ref()
            .is_some_and(|login| login.access_token.as_deref() == Some(access_token) && at < login.expires_at)
    }

    fn name(&mut self, kind: char) -> String {
        self.issued += 1;
        format!("{kind}{}", self.issued)
    }
}
