//! `[web]` as far as people enter by it: users, a proxy that vouches for them, TLS, links.

use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};

use crate::config::check::Checker;
use crate::config::resolved::{ProxyConfig, WebConfig, WebTlsFiles};
use crate::config::written::{ProxySection, WebSection};
use crate::people::{USERS_FILE_OCTETS_MAX, Users};
use crate::time::Span;

/// The longest file of a private key, perhaps with its chain.
const KEY_OCTETS_MAX: u64 = 64 << 10;
/// How long a session may be unused where nothing is written.
const IDLE_USUAL: Span = Span::hours(8);
/// How long a session may last where nothing is written.
const SESSION_USUAL: Span = Span::days(7);
/// The longest session that may be written: whoever holds its cookie enters for so long.
const SESSION_MAX: Span = Span::days(31);

impl Checker<'_> {
    /// Resolves who may enter the console, and how.
    pub(super) fn check_people(
        &self,
        web: &WebSection,
        listen: SocketAddr,
        token: Option<String>,
    ) -> WebConfig {
        let users = web.users_file.as_ref().map(|path| self.read_users(path));
        let tls = self.check_web_tls(web);
        let proxy = web.proxy.as_ref().map(|proxy| self.check_proxy(proxy));
        let has_people = users.is_some() || proxy.is_some();
        let is_open = !listen.ip().is_loopback() && tls.is_none();
        if is_open && has_people {
            let what = format!(
                "{listen} is not loopback: passwords and cases would cross the network without TLS"
            );
            let cure = "listen on 127.0.0.1 or [::1] behind a proxy that speaks TLS, or name certificate and key";
            self.error("web.listen", &what, cure);
        } else if is_open {
            let what =
                format!("{listen} is not loopback: the token crosses the network without TLS");
            let cure = "listen on 127.0.0.1 or [::1], behind a proxy that speaks TLS";
            self.warn("web.listen", &what, cure);
        }
        let span = |value: Option<Span>, usual: Span, key: &str| match value {
            Some(span) if span < Span::seconds(60) || span > SESSION_MAX => {
                self.error(
                    key,
                    &format!("{span} is no length of a session"),
                    "write 1m to 31d",
                );
                usual
            }
            value => value.unwrap_or(usual),
        };
        WebConfig {
            listen,
            token,
            users_path: web.users_file.as_ref().map(|path| self.resolve(path)),
            users: users.unwrap_or_default(),
            proxy,
            proxies: self.proxy_addresses(&web.proxies, "web.proxies"),
            tls,
            approve_by_other: web.approve_by_other,
            public_url: web
                .public_url
                .as_deref()
                .and_then(|url| self.check_public_url(url)),
            session_idle: span(web.session_idle, IDLE_USUAL, "web.session_idle"),
            session_max: span(web.session_max, SESSION_USUAL, "web.session_max"),
        }
    }

    /// Reads who may enter. Refused if others can read the file.
    fn read_users(&self, path: &Path) -> Users {
        let Some(text) = self.read_secret_text(path, "web.users_file", USERS_FILE_OCTETS_MAX)
        else {
            return Users::default();
        };
        Users::parse(&text).unwrap_or_else(|fault| {
            let file = self.resolve(path);
            let what = format!("{}: line {} {}", file.display(), fault.line, fault.what);
            self.error("web.users_file", &what, &fault.cure);
            Users::default()
        })
    }

    /// Resolves the certificate and the key: both or neither.
    fn check_web_tls(&self, web: &WebSection) -> Option<WebTlsFiles> {
        let resolve = |path: &PathBuf| self.resolve(path);
        match (&web.certificate, &web.key) {
            (Some(certificate), Some(key)) => {
                let _ = self.read_secret_text(key, "web.key", KEY_OCTETS_MAX);
                let _ = self.read_authorities(certificate, "web.certificate");
                Some(WebTlsFiles {
                    certificate: resolve(certificate),
                    key: resolve(key),
                })
            }
            (None, None) => None,
            (Some(_), None) => {
                let cure = "name the file with its key: web.key";
                self.error("web.certificate", "has no key", cure);
                None
            }
            (None, Some(_)) => {
                let cure = "name the file with its certificate: web.certificate";
                self.error("web.key", "has no certificate", cure);
                None
            }
        }
    }

    /// Resolves the proxy that vouches for people.
    fn check_proxy(&self, proxy: &ProxySection) -> ProxyConfig {
        let header = |name: &Option<String>, key: &str| {
            let name = name.as_ref()?;
            let is_sound = |c: char| c.is_ascii_alphanumeric() || c == '-';
            if name.is_empty() || !name.chars().all(is_sound) {
                let what = format!("{name:?} is no name of a header");
                self.error(key, &what, "write one such as \"X-Remote-User\"");
            }
            Some(name.to_ascii_lowercase())
        };
        let name = self.need(&proxy.name_header, "web.proxy.name_header");
        if proxy.from.is_empty() {
            let cure = "name the addresses that the proxy connects from, such as [\"127.0.0.1\"]";
            self.error(
                "web.proxy.from",
                "names no address: anybody could say who he is",
                cure,
            );
        }
        let groups = header(&proxy.groups_header, "web.proxy.groups_header");
        let named = [&proxy.viewers, &proxy.reviewers, &proxy.approvers];
        if named.iter().all(|groups| groups.is_empty()) {
            let cure = "name groups in viewers, reviewers and approvers";
            self.error("web.proxy", "lets nobody in: no group has a role", cure);
        } else if groups.is_none() {
            let cure =
                "name the header that the proxy writes groups into, such as \"X-Remote-Groups\"";
            self.error("web.proxy.groups_header", "is missing", cure);
        }
        ProxyConfig {
            name_header: header(&name, "web.proxy.name_header").unwrap_or_default(),
            groups_header: groups.unwrap_or_default(),
            from: self.proxy_addresses(&proxy.from, "web.proxy.from"),
            viewers: proxy.viewers.clone(),
            reviewers: proxy.reviewers.clone(),
            approvers: proxy.approvers.clone(),
        }
    }

    /// Reads the addresses that proxies connect from, which stand under a key.
    fn proxy_addresses(&self, from: &[String], key: &str) -> Vec<IpAddr> {
        let read = |(i, text): (usize, &String)| {
            let address = text.parse::<IpAddr>().ok();
            if address.is_none() {
                let what = format!("{text:?} is no address");
                let cure = "write one such as \"127.0.0.1\" or \"::1\"";
                self.error(&format!("{key}[{i}]"), &what, cure);
            }
            address
        };
        from.iter().enumerate().filter_map(read).collect()
    }

    /// Returns the address under which people reach the console, without a slash at its end.
    fn check_public_url(&self, url: &str) -> Option<String> {
        let host = url
            .strip_prefix("https://")
            .or_else(|| url.strip_prefix("http://"));
        let is_sound = |c: char| c.is_ascii_alphanumeric() || "-._~:/[]%".contains(c);
        match host {
            Some(host) if !host.trim_matches('/').is_empty() && host.chars().all(is_sound) => {
                Some(url.trim_end_matches('/').to_owned())
            }
            _ => {
                let what = format!("{url:?} is no address of a page");
                let cure = "write one such as \"https://fluxwatch.registrar.example\"";
                self.error("web.public_url", &what, cure);
                None
            }
        }
    }
}
