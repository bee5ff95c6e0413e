//! Wrong passwords and tokens: each address waits longer before its next one is looked at, and the log tells of them.
//!
//! Who guesses is slowed down before the comparison, so hanging up early gains nothing. Other addresses do not wait.
//! Behind a proxy that the configuration names, the address is the one that the proxy tells ([`note_client`]); behind
//! another, all clients have one address, and share its wait of at most a second.
//!
//! An account whose password is guessed waits as well, from wherever the request comes, and nobody is refused for it: who
//! guesses makes others wait a second, and cannot lock anybody out.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::extract::{Request, State};
use axum::http::HeaderMap;
use axum::middleware::Next;
use axum::response::Response;
use subtle::{Choice, ConstantTimeEq};
use tokio::sync::Semaphore;
use tokio::time::{Instant, sleep};

use crate::count::counted;

/// How long an address waits after its first failure; each further one doubles it.
const DELAY_FIRST: Duration = Duration::from_millis(50);
/// The longest wait. With [`WAITING_MAX`], an address makes 8 guesses a second; without, it made 8,500.
const DELAY_MAX: Duration = Duration::from_secs(1);
/// How many requests of an address wait at a time; more are told to come again.
const WAITING_MAX: usize = 8;
/// How long after its last failure an address is forgotten.
const FORGET_AFTER: Duration = Duration::from_secs(60);
/// How often the failures of an address are logged at most.
// Guessing must not fill the disk with lines.
const LOG_EVERY: Duration = Duration::from_secs(60);
/// The most addresses and accounts that are remembered; the one whose last failure is oldest makes room.
// Whoever has an IPv6 prefix has more addresses than there is memory.
const ADDRESSES_MAX: usize = 4096;

/// What is remembered of an address.
struct Failures {
    /// How many there were since it was forgotten last.
    count: u32,
    /// The last one.
    last_at: Instant,
    /// How many were not logged yet.
    unlogged: u32,
    /// The last line.
    logged_at: Option<Instant>,
    /// How many requests wait now.
    waiting: usize,
}

/// Whose failures are counted together.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Guesser {
    /// An address; of IPv6 its /64, which is what one party has.
    Address(IpAddr),
    /// Whoever guesses the password of one account.
    Account(String),
}

/// The failures of all addresses and accounts.
#[derive(Clone, Default)]
pub(super) struct Attempts(Arc<Mutex<HashMap<Guesser, Failures>>>);

/// Who sent a request.
#[derive(Clone)]
pub(super) struct Caller {
    /// Where he is.
    peer: IpAddr,
    guesser: Guesser,
    attempts: Attempts,
}

/// Too many requests of this address wait already.
pub(super) struct Busy;

/// A request that waits; it is no longer counted when this is dropped.
struct Waiting<'a>(&'a Caller);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        if let Some(failures) = self.0.attempts.lock().get_mut(&self.0.guesser) {
            failures.waiting = failures.waiting.saturating_sub(1);
        }
    }
}

impl Attempts {
    /// Returns the map, also after a panic: each entry is sound by itself.
    fn lock(&self) -> MutexGuard<'_, HashMap<Guesser, Failures>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns who calls from an address.
    pub(super) fn caller(&self, address: IpAddr) -> Caller {
        let peer = address.to_canonical();
        Caller {
            peer,
            guesser: Guesser::of(peer),
            attempts: self.clone(),
        }
    }
}

impl Guesser {
    /// Returns whoever is at an address.
    fn of(address: IpAddr) -> Self {
        Self::Address(match address {
            IpAddr::V4(address) => IpAddr::V4(address),
            IpAddr::V6(address) => {
                let network = u128::from(address) >> 64 << 64;
                IpAddr::V6(Ipv6Addr::from(network))
            }
        })
    }
}

/// The header in which a proxy tells from where a request came; each proxy adds an address at its end.
const FORWARDED: &str = "x-forwarded-for";
/// The most addresses of [`FORWARDED`] that are read, from its end.
const FORWARDED_MAX: usize = 16;

/// Counts a request that came by a proxy for the client that the proxy tells of. Only the addresses that the
/// configuration names are believed: anybody else could give another address with each guess.
pub(super) async fn note_client(
    State(proxies): State<Arc<[IpAddr]>>,
    mut request: Request,
    next: Next,
) -> Response {
    if let Some(caller) = request.extensions().get::<Caller>()
        && let Some(client) = client_of(caller.peer, request.headers(), &proxies)
    {
        let caller = Caller {
            guesser: Guesser::of(client),
            ..caller.clone()
        };
        request.extensions_mut().insert(caller);
    }
    next.run(request).await
}

/// Returns the client that proxies tell of: the last address that is not one of theirs. `None` if the request came by
/// none of them, or they tell of nobody: what stands before an unreadable word is anybody's.
fn client_of(peer: IpAddr, headers: &HeaderMap, proxies: &[IpAddr]) -> Option<IpAddr> {
    if !proxies.contains(&peer) {
        return None;
    }
    let lines = headers.get_all(FORWARDED).iter().rev();
    let words = lines.flat_map(|line| line.to_str().unwrap_or("?").rsplit(','));
    for word in words.take(FORWARDED_MAX) {
        let address = word.trim().parse::<IpAddr>().ok()?.to_canonical();
        if !proxies.contains(&address) {
            return Some(address);
        }
    }
    None
}

impl Caller {
    /// Returns the address that the connection came from, a proxy's too.
    pub(super) fn peer(&self) -> IpAddr {
        self.peer
    }

    /// Returns whoever guesses the password of an account, from wherever.
    fn of_account(&self, name: &str) -> Self {
        // Longer names are nobody's; one bound for what is remembered of them.
        let name: String = name.chars().take(64).collect();
        Self {
            guesser: Guesser::Account(name),
            ..self.clone()
        }
    }

    /// Looks at a name and a password, after the waits that earlier failures of this address and of that account
    /// cost. `look` gives whom they let in; it blocks, and runs in one of the `places`.
    ///
    /// A client that hangs up gains nothing: the look holds its place until it ends, and then notes a failure.
    ///
    /// # Errors
    ///
    /// [`Busy`], without a look.
    pub(super) async fn log_in<T: Send + 'static>(
        &self,
        name: &str,
        places: Arc<Semaphore>,
        look: impl FnOnce() -> Option<T> + Send + 'static,
    ) -> Result<Option<T>, Busy> {
        let (caller, account) = (self.clone(), self.of_account(name));
        caller.wait().await?;
        account.wait().await?;
        let place = places.acquire_owned().await.map_err(|_| Busy)?;
        let looked = move || {
            let _place = place;
            let found = look();
            if found.is_none() {
                caller.note_failure();
                account.note_failure();
            }
            found
        };
        Ok(tokio::task::spawn_blocking(looked).await.ok().flatten())
    }

    /// Looks whether what was given is one of the secrets, after the wait that earlier failures cost.
    ///
    /// # Errors
    ///
    /// [`Busy`], without a look.
    pub(super) async fn may_enter<'a>(
        &self,
        given: &[u8],
        secrets: impl Iterator<Item = &'a [u8]>,
    ) -> Result<bool, Busy> {
        self.wait().await?;
        let may_enter = is_any(given, secrets);
        if !may_enter {
            self.note_failure();
        }
        Ok(may_enter)
    }

    /// Waits as long as earlier failures cost. Whoever looks at a secret after it notes a failure, in the job that
    /// looks: the client may have hung up by then.
    ///
    /// # Errors
    ///
    /// [`Busy`], if too many wait already.
    pub(super) async fn wait(&self) -> Result<(), Busy> {
        let delay = {
            let mut all = self.attempts.lock();
            let Some(failures) = all.get_mut(&self.guesser) else {
                return Ok(());
            };
            if failures.last_at.elapsed() >= FORGET_AFTER && failures.waiting == 0 {
                let unlogged = failures.unlogged;
                all.remove(&self.guesser);
                drop(all);
                log_failures(&self.guesser, unlogged);
                return Ok(());
            }
            // Of an account nobody is turned away: whoever guesses would lock its owner out by waiting.
            if failures.waiting >= WAITING_MAX && matches!(self.guesser, Guesser::Address(_)) {
                return Err(Busy);
            }
            failures.waiting += 1;
            delay_after(failures.count)
        };
        let waiting = Waiting(self);
        sleep(delay).await;
        drop(waiting);
        Ok(())
    }

    /// Notes a failure, and logs it unless one was logged a short while ago.
    pub(super) fn note_failure(&self) {
        let now = Instant::now();
        let mut all = self.attempts.lock();
        if all.len() >= ADDRESSES_MAX && !all.contains_key(&self.guesser) {
            let oldest = all.iter().min_by_key(|(_, failures)| failures.last_at);
            if let Some(oldest) = oldest.map(|(guesser, _)| guesser.clone())
                && let Some(failures) = all.remove(&oldest)
            {
                log_failures(&oldest, failures.unlogged);
            }
        }
        let failures = all.entry(self.guesser.clone()).or_insert(Failures {
            count: 0,
            last_at: now,
            unlogged: 0,
            logged_at: None,
            waiting: 0,
        });
        failures.count = failures.count.saturating_add(1);
        failures.unlogged = failures.unlogged.saturating_add(1);
        failures.last_at = now;
        let is_quiet = failures.logged_at.is_some_and(|at| now - at < LOG_EVERY);
        if !is_quiet {
            let count = std::mem::take(&mut failures.unlogged);
            failures.logged_at = Some(now);
            drop(all);
            log_failures(&self.guesser, count);
        }
    }
}

/// Logs how many attempts of an address failed, if any did.
fn log_failures(guesser: &Guesser, count: u32) {
    // A name may be anything that somebody typed, a password by mistake too: only addresses are logged.
    if let (1.., Guesser::Address(address)) = (count, guesser) {
        let what = counted(count, "attempt");
        tracing::warn!(%address, count, "http: {what} with a wrong password or token from {address}");
    }
}

/// Returns how long the next request waits after so many failures.
fn delay_after(failures: u32) -> Duration {
    let doublings = failures.saturating_sub(1).min(16);
    DELAY_MAX.min(DELAY_FIRST * 2u32.pow(doublings))
}

/// Returns whether what was given is one of the secrets. The time tells their lengths at most, not which of them is
/// near, nor which one it was.
fn is_any<'a>(given: &[u8], secrets: impl Iterator<Item = &'a [u8]>) -> bool {
    let found = secrets.fold(Choice::from(0), |found, secret| {
        found | (given.ct_eq(secret) & Choice::from(u8::from(!secret.is_empty())))
    });
    found.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delay_grows_and_is_bounded() {
        assert_eq!(delay_after(1), DELAY_FIRST);
        assert_eq!(delay_after(2), DELAY_FIRST * 2);
        assert_eq!(delay_after(6), DELAY_MAX);
        assert_eq!(delay_after(u32::MAX), DELAY_MAX);
    }

    #[test]
    fn secret_is_found_whole_or_not_at_all() {
        let secrets: [&[u8]; 3] = [b"one", b"", b"two"];
        let is = |given: &[u8]| is_any(given, secrets.iter().copied());
        assert!(is(b"one") && is(b"two"));
        for given in ["", "on", "one ", "One", "onetwo"] {
            assert!(!is(given.as_bytes()), "{given}");
        }
    }

    #[tokio::test]
    async fn failures_slow_their_own_address_and_no_other() {
        let attempts = Attempts::default();
        let guesser = attempts.caller(IpAddr::from([192, 0, 2, 1]));
        let other = attempts.caller(IpAddr::from([192, 0, 2, 2]));
        let secret: &[u8] = b"secret";
        let enter = async |caller: &Caller, given: &[u8]| {
            let started = Instant::now();
            let entered = caller.may_enter(given, [secret].into_iter()).await;
            (entered.ok(), started.elapsed())
        };
        assert_eq!(enter(&guesser, b"a").await.0, Some(false));
        assert!(enter(&guesser, b"b").await.1 >= DELAY_FIRST);
        // Who has the secret waits as well: a guess is not known before it was looked at.
        let (entered, waited) = enter(&guesser, secret).await;
        assert!(entered == Some(true) && waited >= DELAY_FIRST * 2);
        assert!(enter(&other, secret).await.1 < DELAY_FIRST);
        // More than so many at a time are not looked at.
        let mut all = tokio::task::JoinSet::new();
        for _ in 0..=WAITING_MAX {
            let guesser = guesser.clone();
            all.spawn(async move {
                let secret: &[u8] = b"secret";
                guesser
                    .may_enter(secret, [secret].into_iter())
                    .await
                    .is_ok()
            });
        }
        let looked_at = all.join_all().await;
        assert_eq!(looked_at.iter().filter(|it| **it).count(), WAITING_MAX);
    }

    #[tokio::test]
    async fn clients_that_hang_up_pile_up_no_jobs_and_their_failures_count() {
        const PLACES: usize = 2;
        let attempts = Attempts::default();
        let places = Arc::new(Semaphore::new(PLACES));
        // How many looks run now, the most at a time, and all that began.
        let looks = Arc::new(Mutex::new((0, 0, 0)));
        for octet in 0..8 {
            let caller = attempts.caller(IpAddr::from([192, 0, 2, octet]));
            let (places, looks) = (places.clone(), looks.clone());
            let look = move || -> Option<()> {
                let lock = || looks.lock().expect("nobody panicked");
                {
                    let mut now = lock();
                    *now = (now.0 + 1, now.1.max(now.0 + 1), now.2 + 1);
                }
                std::thread::sleep(Duration::from_millis(50));
                lock().0 -= 1;
                None
            };
            let name = format!("user{octet}");
            let request = tokio::spawn(async move { caller.log_in(&name, places, look).await });
            sleep(Duration::from_millis(10)).await;
            request.abort();
        }
        let all_places = u32::try_from(PLACES).expect("few");
        let _all_ended = places.acquire_many(all_places).await.expect("open");
        let (_, most, all) = *looks.lock().expect("nobody panicked");
        assert!((1..=PLACES).contains(&most), "{most} at a time");
        // One of the address and one of the account.
        assert_eq!(attempts.lock().len(), all * 2);
    }

    #[test]
    fn client_is_the_last_address_that_a_named_proxy_tells_of() {
        let address = |text: &str| text.parse::<IpAddr>().expect("an address");
        let proxies = [address("127.0.0.1"), address("2001:db8::9")];
        let of = |peer: &str, lines: &[&'static str]| {
            let mut headers = HeaderMap::new();
            for line in lines {
                headers.append(FORWARDED, line.parse().expect("a header"));
            }
            client_of(address(peer), &headers, &proxies).map(|it| it.to_string())
        };
        let client = Some("192.0.2.1".to_owned());
        assert_eq!(of("127.0.0.1", &["192.0.2.1"]), client);
        // What the client itself wrote stands before what the proxy adds.
        assert_eq!(of("127.0.0.1", &["198.51.100.1, 192.0.2.1"]), client);
        assert_eq!(of("127.0.0.1", &["198.51.100.1", "192.0.2.1"]), client);
        assert_eq!(of("127.0.0.1", &["192.0.2.1, 2001:db8::9"]), client);
        assert_eq!(of("127.0.0.1", &["192.0.2.1", "::ffff:127.0.0.1"]), client);
        for lines in [&["192.0.2.1, unknown"][..], &["127.0.0.1"], &[""], &[]] {
            assert_eq!(of("127.0.0.1", lines), None, "{lines:?}");
        }
        assert_eq!(of("192.0.2.7", &["192.0.2.1"]), None, "it is no proxy");
    }

    #[tokio::test]
    async fn guesses_from_everywhere_lock_nobody_out_of_an_account() {
        let attempts = Attempts::default();
        let places = Arc::new(Semaphore::new(2));
        for octet in 0..100 {
            let caller = attempts.caller(IpAddr::from([192, 0, 2, octet]));
            caller.of_account("anna").note_failure();
            let places = places.clone();
            tokio::spawn(async move { caller.log_in("anna", places, || None::<()>).await.ok() });
        }
        tokio::task::yield_now().await;
        let started = Instant::now();
        let owner = attempts.caller(IpAddr::from([198, 51, 100, 1]));
        let entered = owner.log_in("anna", places, || Some(())).await;
        assert!(matches!(entered, Ok(Some(()))), "the owner enters");
        let waited = started.elapsed();
        assert!((DELAY_MAX..DELAY_MAX * 3).contains(&waited), "{waited:?}");
    }

    #[test]
    fn addresses_of_one_network_are_one() {
        let attempts = Attempts::default();
        let of = |text: &str| attempts.caller(text.parse().expect("an address")).guesser;
        assert_eq!(of("2001:db8::1"), of("2001:db8::2"));
        assert_ne!(of("2001:db8::1"), of("2001:db8:0:1::1"));
        assert_eq!(of("::ffff:192.0.2.1"), of("192.0.2.1"));
    }
}
