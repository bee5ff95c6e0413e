//! What the service listens on: NOTIFY, and HTTP. A port that is in use is tried again.

use std::sync::{Arc, RwLock};

use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::sleep;

use crate::config::{NotifyConfig, WebConfig};
use crate::daemon::common::Common;
use crate::daemon::crew::Crew;
use crate::dns::Name;
use crate::source::{NotifyListener, NotifyTable};
use crate::time::Clock;
use crate::web::{Console, Desks, PushedLines, Readers, WebState};

/// The listener's name.
const NOTIFY: &str = "NOTIFY";
/// The listener's name: metrics.
const METRICS: &str = "HTTP of [metrics]";
/// The listener's name: history and pushes.
const WEB: &str = "HTTP of [web]";
/// The most bodies of pushed lines that are handed on at a time.
pub(super) const PUSHES_WAITING_MAX: usize = 16;

/// What a NOTIFY is heard with.
pub(super) struct Marks {
    /// Who may send one.
    pub senders: Arc<RwLock<NotifyTable>>,
    /// Where the zones go that are due.
    pub due: mpsc::Sender<Name>,
}

/// Everything that listens; nothing does any more when it is dropped.
pub(super) struct Listeners(JoinSet<()>);

impl Listeners {
    /// Begins to listen as the configuration that is in force says. Needs a runtime.
    pub fn open(common: &Arc<Common>, marks: &Marks, pushes: &mpsc::Sender<PushedLines>) -> Self {
        let mut tasks = JoinSet::new();
        let config = common.setup().config;
        if let Some(notify) = &config.notify {
            let (notify, senders) = (notify.clone(), marks.senders.clone());
            tasks.spawn(hear_notify(
                common.clone(),
                notify,
                senders,
                marks.due.clone(),
            ));
        }
        // One for each address: what one serves, such as the console, the other does not know.
        let state = |metrics_zones_max, token, tls, console| WebState {
            store_url: config.store_url.clone(),
            clock: common.clock.clone(),
            canary: config.canary.clone(),
            metrics_zones_max,
            token,
            proxies: Arc::default(),
            tls,
            console,
            readers: Readers::new(config.store_url.clone()),
            lookups: Readers::new(config.store_url.clone()).rather_at(config.read_url.clone()),
            pushes: pushes.clone(),
            troubles: common.troubles.clone(),
        };
        if let Some(web) = &config.web {
            let console = web
                .has_people()
                .then(|| open_console(common, web))
                .flatten();
            let state = WebState {
                proxies: web.proxies.clone().into(),
                ..state(None, web.token.clone(), web.tls.clone(), console)
            };
            tasks.spawn(serve(common.clone(), WEB, web.listen, state));
        }
        let metrics = config.metrics.as_ref();
        if let Some((listen, metrics)) = metrics.and_then(|it| it.listen.map(|at| (at, it))) {
            let state = state(Some(metrics.zones_max), None, None, None);
            tasks.spawn(serve(common.clone(), METRICS, listen, state));
        }
        Self(tasks)
    }

    /// Ends listening; the ports are free when this returns.
    pub async fn close(mut self) {
        self.0.shutdown().await;
    }
}

/// Makes what the console shares. One that cannot be made is told, and nobody enters.
fn open_console(common: &Arc<Common>, web: &WebConfig) -> Option<Console> {
    let bell = common.clone();
    let desks = Desks::new(common.setup(), common.clock.clone(), move || {
        bell.post.ring()
    });
    match Console::new(web, desks) {
        Ok(console) => Some(console),
        Err(fault) => {
            tracing::error!("console: {fault}");
            None
        }
    }
}

/// Hears NOTIFY messages and hands their zones on.
async fn hear_notify(
    common: Arc<Common>,
    notify: NotifyConfig,
    senders: Arc<RwLock<NotifyTable>>,
    due: mpsc::Sender<Name>,
) {
    loop {
        match NotifyListener::bind(&notify.listen, senders.clone()).await {
            Ok(mut listener) => {
                common.troubles.clear(NOTIFY, common.clock.now());
                while let Some(zone) = listener.due.recv().await {
                    if due.send(zone).await.is_err() {
                        return;
                    }
                }
            }
            Err(error) => {
                let pause = log_unheard(&common, NOTIFY, &error);
                sleep(pause).await;
            }
        }
    }
}

/// Says that an address cannot be listened on. Returns how long to wait before that is tried again.
fn log_unheard(common: &Common, name: &str, error: &std::io::Error) -> std::time::Duration {
    let fault = format!("cannot listen on {error}");
    let cure = "end what listens there (`ss -lnp` names it), or name another address in `listen`";
    common
        .troubles
        .note(name, fault, Some(cure), common.clock.now())
}

/// Serves HTTP at an address.
async fn serve(
    common: Arc<Common>,
    name: &'static str,
    listen: std::net::SocketAddr,
    state: WebState,
) {
    loop {
        let is_bound = || {
            tracing::info!("{name}: listening on {listen}");
            common.troubles.clear(name, common.clock.now());
        };
        let Err(error) = crate::web::serve(listen, state.clone(), is_bound).await else {
            return;
        };
        let pause = log_unheard(&common, name, &error);
        sleep(pause).await;
    }
}

/// Hands pushed lines on, as long as anybody may push some.
pub(super) async fn hand_on(crew: Arc<Crew>, mut pushed: mpsc::Receiver<PushedLines>) {
    while let Some(push) = pushed.recv().await {
        crew.push(push);
    }
}
