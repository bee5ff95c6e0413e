//! URLs of the configuration: what they may say, so that none means something else than it says.

use std::borrow::Cow;

use crate::dns::Name;

/// What `tls` may be in the URL of a mail server.
const TLS_VALUES: [&str; 2] = ["required", "opportunistic"];

/// A URL in its parts (RFC 3986 §3), each as it is written.
struct Parts<'a> {
    scheme: &'a str,
    /// What stands before the @.
    user: Option<&'a str>,
    host: &'a str,
    /// With its colon.
    port: &'a str,
    path: &'a str,
    /// Without its question mark.
    query: Option<&'a str>,
}

/// Returns the URL of a mail server, its host in A-labels, and whether it names a user.
///
/// # Errors
///
/// A sentence with the cure: an unknown, repeated or empty parameter, a fragment, a password, a host or port that
/// is none.
pub(super) fn check_smtp_url(text: &str) -> Result<(String, bool), String> {
    let parts = split(text)?;
    if !matches!(parts.scheme, "smtp" | "smtps") {
        return Err(format!(
            "{:?} is no scheme of a mail server; use smtp://host:25, smtps://host, smtp://host:587?tls=required or maildir:///path",
            parts.scheme
        ));
    }
    if let Some(user) = parts.user {
        if user.contains(':') {
            return Err("the password belongs in password_file".to_owned());
        }
        if user.is_empty() || user.contains('@') {
            return Err(
                "what stands before the @ is no user; write an @ of the user as %40".to_owned(),
            );
        }
    }
    // The mail library greets the server with the path, if there is one.
    let name = parts.path.trim_start_matches('/');
    let fits = |it: char| it.is_ascii_alphanumeric() || matches!(it, '.' | '-');
    // A host's own name has a dot; a path of a word alone is no greeting, and hardly meant as one.
    let is_name = name.is_empty() || name.trim_matches('.').contains('.');
    if !is_name || !name.chars().all(fits) {
        return Err(format!(
            "the path {:?} is not the name of a host to greet the server with, such as /client.example; take it out",
            parts.path
        ));
    }
    check_tls(&parts)?;
    let url = rebuilt(&parts)?;
    Ok((url, parts.user.is_some()))
}

/// Checks the parameters of a mail server's URL.
fn check_tls(parts: &Parts<'_>) -> Result<(), String> {
    let Some(query) = parts.query else {
        return Ok(());
    };
    let mut seen = false;
    for parameter in query.split('&') {
        let (key, value) = parameter.split_once('=').unwrap_or((parameter, ""));
        if key != "tls" {
            let cure = if strsim::osa_distance("tls", &key.to_ascii_lowercase()) <= 2 {
                "did you mean tls?"
            } else {
                "the only one is tls=required or tls=opportunistic"
            };
            return Err(format!("{key:?} is no parameter: {cure}"));
        }
        if seen {
            return Err("tls is there twice; write it once".to_owned());
        }
        seen = true;
        if !TLS_VALUES.contains(&value) {
            let near = TLS_VALUES
                .into_iter()
                .find(|it| strsim::osa_distance(it, &value.to_ascii_lowercase()) <= 2);
            let cure = match near {
                Some(near) => format!("did you mean {near}?"),
                None => "use required or opportunistic".to_owned(),
            };
            return Err(format!("tls is {value:?}: {cure}"));
        }
        if parts.scheme == "smtps" && value != "required" {
            return Err("smtps:// is always encrypted; take tls out, or use smtp://".to_owned());
        }
    }
    Ok(())
}

/// Checks what follows `maildir://`.
///
/// # Errors
///
/// A sentence with the cure.
pub(super) fn check_maildir_path(path: &str) -> Result<(), String> {
    if path.is_empty() {
        return Err("maildir:// lacks the path; write maildir:///var/mail/fluxwatch".to_owned());
    }
    if path.contains(['?', '#']) {
        return Err("maildir:// takes no parameters: leave out what follows ? or #".to_owned());
    }
    if path.chars().any(char::is_control) {
        Err("the path holds a control character; take it out".to_owned())
    } else {
        Ok(())
    }
}

/// Returns the URL of a webhook, its host in A-labels. Its parameters are the receiver's own.
///
/// # Errors
///
/// A sentence with the cure.
pub(super) fn check_webhook_url(text: &str) -> Result<String, String> {
    let parts = split(text)?;
    if !matches!(parts.scheme, "http" | "https") {
        // Its path and parameters may be secrets.
        let scheme = parts.scheme;
        return Err(format!(
            "{scheme:?} is no scheme of a webhook; use https:// or http://"
        ));
    }
    if parts.user.is_some() {
        return Err(
            "it has a user in it; leave that out: the receiver checks the signature that secret_file makes"
                .to_owned(),
        );
    }
    let keys = parts.query.into_iter().flat_map(|query| query.split('&'));
    for key in keys.map(|it| it.split('=').next().unwrap_or_default()) {
        if key == "tls" {
            return Err("tls is a parameter of smtp://; https:// is always encrypted".to_owned());
        }
    }
    rebuilt(&parts)
}

/// Splits a URL.
fn split(text: &str) -> Result<Parts<'_>, String> {
    if let Some(it) = text
        .chars()
        .find(|it| it.is_whitespace() || it.is_control())
    {
        return Err(format!(
            "the URL holds {it:?}; take it out, or write it as %XX"
        ));
    }
    let (scheme, rest) = text.split_once("://").ok_or_else(|| {
        let text = text.split(['?', '@']).next().unwrap_or_default();
        format!("{text:?} is no URL: it has no scheme, such as smtp:// or https://")
    })?;
    if rest.contains('#') {
        return Err("what follows # is never sent; leave it out, or write # as %23".to_owned());
    }
    let (rest, query) = match rest.split_once('?') {
        Some((_, "")) => return Err("nothing follows the ?; leave it out".to_owned()),
        Some((rest, query)) => (rest, Some(query)),
        None => (rest, None),
    };
    let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let (user, host) = match authority.rsplit_once('@') {
        Some((user, host)) => (Some(user), host),
        None => (None, authority),
    };
    // The colons of an IPv6 address stand in brackets (RFC 3986 §3.2.2).
    let colon = host.rfind(':').filter(|at| !host[*at..].contains(']'));
    let (host, port) = host.split_at(colon.unwrap_or(host.len()));
    if host.is_empty() {
        return Err("the URL names no host; write it after ://".to_owned());
    }
    let number = port.strip_prefix(':').map(str::parse::<u16>);
    if number.is_some_and(|number| !number.is_ok_and(|number| number > 0)) {
        return Err(format!(
            "{:?} is no port from 1 to 65535; leave it out, or write one",
            &port[1..]
        ));
    }
    Ok(Parts {
        scheme,
        user,
        host,
        port,
        path,
        query,
    })
}

/// Puts a URL together again, its host in A-labels.
fn rebuilt(parts: &Parts<'_>) -> Result<String, String> {
    let host: Cow<'_, str> = if parts.host.is_ascii() {
        parts.host.into()
    } else {
        Name::parse(parts.host)
            .map_err(|fault| format!("{:?} is no host: {fault}", parts.host))?
            .to_text_without_dot()
            .into()
    };
    let user = parts.user.map_or_else(String::new, |it| format!("{it}@"));
    let query = parts.query.map_or_else(String::new, |it| format!("?{it}"));
    let (scheme, port, path) = (parts.scheme, parts.port, parts.path);
    Ok(format!("{scheme}://{user}{host}{port}{path}{query}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_that_mean_something_else_than_they_say_are_refused_with_the_cure() {
        for (url, cure) in [
            ("smtp://mx.example:587?tsl=required", "did you mean tls?"),
            ("smtp://mx.example:587?TLS=required", "did you mean tls?"),
            (
                "smtp://mx.example?starttls=required",
                "the only one is tls=",
            ),
            ("smtp://mx.example?tls=require", "did you mean required?"),
            ("smtp://mx.example?tls=Required", "did you mean required?"),
            ("smtp://mx.example?tls=yes", "use required or opportunistic"),
            ("smtp://mx.example?tls=", "use required or opportunistic"),
            ("smtp://mx.example?tls", "use required or opportunistic"),
            ("smtp://mx.example?", "nothing follows the ?"),
            ("smtp://mx.example?tls=required&tls=required", "twice"),
            (
                "smtp://mx.example?tls=required&timeout=5",
                "\"timeout\" is no parameter",
            ),
            ("smtp://mx.example?tls=required#x", "leave it out"),
            ("smtp://mx.example?tls=required?tls=required", "tls is"),
            ("smtps://mx.example?tls=opportunistic", "take tls out"),
            ("smtps://mx.example?tsl=required", "did you mean tls?"),
            (
                "smtp://user:secret@mx.example?tls=required",
                "password_file",
            ),
            ("smtp://me@corp.example@mx.example", "%40"),
            ("smtp://mx.example:0", "port"),
            ("smtp://mx.example:smtp", "port"),
            ("smtp://mx.example/a/b", "take it out"),
            ("smtp://mx.example:25/foo", "take it out"),
            ("smtp://:25", "no host"),
            ("smtp://mx.example ", "holds"),
            ("mx.example:25", "no URL"),
            ("smpt://mx.example", "no scheme"),
        ] {
            let fault = check_smtp_url(url).expect_err(url);
            assert!(fault.contains(cure), "{url}: {fault}");
            assert!(!fault.contains("secret"), "{fault}");
        }
    }

    #[test]
    fn sound_urls_stay_as_they_are_and_hosts_become_a_labels() {
        for url in [
            "smtp://127.0.0.1:25",
            "smtp://[2001:db8::1]:25",
            "smtp://[2001:db8::1]",
            "smtps://mx.example",
            "smtps://user%40corp.example@mx.example:465/client.example",
            "smtp://mx.example:587?tls=required",
            "smtps://mx.example?tls=required",
            "smtp://mx.example?tls=opportunistic",
        ] {
            let has_user = url.contains('@');
            assert_eq!(check_smtp_url(url), Ok((url.to_owned(), has_user)));
        }
        assert_eq!(
            check_smtp_url("smtp://bücher.example:25").map(|it| it.0),
            Ok("smtp://xn--bcher-kva.example:25".to_owned())
        );
        assert_eq!(
            check_webhook_url("https://bücher.example/hook?a=b&c").as_deref(),
            Ok("https://xn--bcher-kva.example/hook?a=b&c")
        );
    }

    #[test]
    fn folders_and_webhooks_are_checked_in_the_same_way() {
        for path in ["", "/var/mail?tls=required", "/var/mail#x", "/var/\u{7}"] {
            assert!(check_maildir_path(path).is_err(), "{path:?}");
        }
        assert_eq!(check_maildir_path("desk"), Ok(()));
        for url in [
            "ftp://desk.example/hook",
            "https://",
            "https://desk.example/hook#part",
            "https://desk.example/a hook",
            "http://desk.example/hook?tls=required",
            "https://desk.example:99999/hook",
        ] {
            assert!(check_webhook_url(url).is_err(), "{url}");
        }
    }
}
