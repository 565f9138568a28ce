//! The question that a program asks of this library, and the answer.

use std::{ffi::OsString, fmt, net::SocketAddr};

use portwise_model::Family;

use crate::{
    Answer, Endpoint, Setting, SocketSettings, Trouble,
    explain::{self, FixReport},
    observe::{live, user},
    render::{page::Style, text},
    verb,
};

/// May an endpoint be bound, on this machine and as things are now? By whoever calls, unless
/// another user, process or program is named.
///
/// ```
/// use portwise::Request;
///
/// let own = Request::bind("127.0.0.1:8080")?;
/// let theirs = Request::bind("[::]:53/udp")?.as_user("65534");
/// # Ok::<(), portwise::Trouble>(())
/// ```
#[derive(Clone, Debug)]
pub struct Request {
    endpoint: Endpoint,
    settings: SocketSettings,
    family: Option<Family>,
    asked: live::Asked,
    user: Option<String>,
}

impl Request {
    /// To bind an endpoint, spelt as on the command line: `127.0.0.1:80`, `*:8080`,
    /// `[::1]:53/udp`, `localhost:3000`, `3000`.
    ///
    /// # Errors
    /// If it is none.
    pub fn bind(endpoint: &str) -> Result<Request, Trouble> {
        Ok(Request {
            endpoint: endpoint.parse()?,
            settings: SocketSettings::default(),
            family: None,
            asked: live::Asked::default(),
            user: None,
        })
    }

    /// With these options on the socket. Rust's `TcpListener` sets `reuseaddr`.
    #[must_use]
    pub fn with(self, settings: SocketSettings) -> Request {
        Request { settings, ..self }
    }

    /// Of the addresses that a name stands for, only those of this family.
    #[must_use]
    pub fn only(self, family: Family) -> Request {
        Request { family: Some(family), ..self }
    }

    /// As this user, by name or number, would.
    #[must_use]
    pub fn as_user(self, user: &str) -> Request {
        Request { user: Some(user.into()), ..self }
    }

    /// As this process would, in its network.
    #[must_use]
    pub fn as_process(mut self, pid: u32) -> Request {
        self.asked.pid = Some(pid);
        self
    }

    /// As this program would, once started with these arguments. It is looked at, not started.
    #[must_use]
    pub fn as_program(mut self, command: impl IntoIterator<Item = impl Into<OsString>>) -> Request {
        self.asked.command = command.into_iter().map(Into::into).collect();
        self
    }

    fn setting(&self) -> Result<Setting, Trouble> {
        let mut setting = live::setting_of(&self.asked)?;
        if let Some(who) = &self.user {
            setting.ask_as(user::named(who, &user::here()).map_err(Trouble::new)?);
        }
        Ok(setting)
    }
}

impl From<SocketAddr> for Request {
    fn from(address: SocketAddr) -> Request {
        Request::bind(&address.to_string()).expect("an address is an endpoint")
    }
}

/// The answer to a [`Request`]. It prints as the command `portwise why` does.
#[derive(Clone, Debug)]
pub struct Report {
    /// One for each address that the endpoint stands for: a name may have several.
    pub answers: Vec<explain::Report>,
}

impl Report {
    /// The answer to all addresses together: no if there is a no, else unknown if there is one.
    pub fn answer(&self) -> Answer {
        let of = |wanted| self.answers.iter().any(|one| one.decision.answer == wanted);
        match (of(Answer::No), of(Answer::Unknown)) {
            (true, _) => Answer::No,
            (_, true) => Answer::Unknown,
            _ => Answer::Yes,
        }
    }

    /// The changes that would help, each proven by deciding again, smallest first.
    pub fn fixes(&self) -> impl Iterator<Item = &FixReport> {
        self.answers.iter().flat_map(|one| &one.fixes)
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&text::why(&self.answers, &[], &[], text::Detail::Normal, Style::default()))
    }
}

/// Answers a question about this machine. Nothing is bound and nothing changed to find out.
///
/// ```
/// # #[cfg(target_os = "linux")] {
/// use portwise::{Answer, Request, why};
///
/// let taken = std::net::TcpListener::bind("127.0.0.1:0")?;
/// let report = why(&Request::from(taken.local_addr()?))?;
/// assert_eq!(report.answer(), Answer::No);
/// assert_eq!(report.answers[0].decision.refusals(), "EADDRINUSE");
/// assert!(report.fixes().any(|fix| fix.id == "linux.another-port"));
/// assert!(report.to_string().contains("held"));
/// # }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// If the machine cannot be looked at, or a name, user or process is not there.
pub fn why(request: &Request) -> Result<Report, Trouble> {
    let mut setting = request.setting()?;
    let Request { endpoint, family, settings, .. } = request;
    Ok(Report { answers: verb::why::why(&mut setting, endpoint, *family, settings)? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_no_is_no() {
        let mut setting = crate::observe::assumed::setting(
            crate::observe::assumed::kernel("linux-6.12").unwrap(),
            None,
            &[],
        );
        let mut ask = |endpoint: &str| {
            let (endpoint, settings) = (endpoint.parse().unwrap(), SocketSettings::default());
            verb::why::why(&mut setting, &endpoint, None, &settings).unwrap().remove(0)
        };
        let (yes, no) = (ask("127.0.0.1:8080"), ask("127.0.0.1:80"));
        let open = ask("192.0.2.7:8080");
        let answer = |answers: &[&explain::Report]| {
            Report { answers: answers.iter().copied().cloned().collect() }.answer()
        };
        assert_eq!(answer(&[&yes]), Answer::Yes);
        assert_eq!(answer(&[&yes, &open]), Answer::Unknown);
        assert_eq!(answer(&[&yes, &open, &no]), Answer::No);
    }
}
